use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::{LIMIT, Server, find, free_port};
use crate::Certificates;

impl Server {
    /// RabbitMQ, with TLS on a port beside, and gives that. Its user is `guest` with the password `guest`. It takes
    /// seconds to start.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn rabbitmq(certificates: &Certificates) -> (Self, u16) {
        let install = "apt-get install rabbitmq-server";
        // Not the script of the same name in the PATH, which changes the user.
        let program = find("rabbitmq-server", &["/usr/lib/rabbitmq/bin/rabbitmq-server"], install);
        // Where its nodes find each other: started here, for else it would start one that stays.
        let names = free_port();
        let mut epmd = Command::new(find("epmd", &[], install));
        epmd.args(["-address", "127.0.0.1", "-port", &names.to_string()]);
        epmd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let epmd = epmd.kill_on_drop(true).spawn().expect("epmd can be called");
        let is_up = async {
            while TcpStream::connect(("127.0.0.1", names)).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, is_up).await.expect("epmd starts");
        let (nodes, tls_port) = (free_port(), free_port());
        let Certificates { ca, cert, key } = certificates;
        let tls = format!(
            "listeners.ssl.1 = 127.0.0.1:{tls_port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
            ca.display(),
            cert.display(),
            key.display()
        );
        let mut server = Self::start((b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00"), move |port, dir| {
            let mut command = Command::new(&program);
            command.envs(environment(port, dir, &tls)).env("ERL_EPMD_PORT", names.to_string());
            command.env("RABBITMQ_DIST_PORT", nodes.to_string());
            command
        })
        .await;
        server.helper = Some(epmd);
        (server, tls_port)
    }

    /// Has RabbitMQ find that it lacks memory, so that it takes nothing from whoever publishes; or that it has enough.
    ///
    /// # Panics
    /// When it cannot be told.
    pub async fn rabbitmq_lacks_memory(&self, lacks: bool) {
        let limit: &[&str] = if lacks { &["0"] } else { &["absolute", "512MB"] };
        let program = find("rabbitmqctl", &["/usr/lib/rabbitmq/bin/rabbitmqctl"], "apt-get install rabbitmq-server");
        let mut command = Command::new(program);
        // What tells where the node is.
        for (name, value) in (self.call)(self.port, self.dir()).as_std().get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let told = command.env_remove("RUNNING_UNDER_SYSTEMD").arg("set_vm_memory_high_watermark").args(limit).output();
        let told = told.await.expect("rabbitmqctl can be called");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }

    /// `amqp://`, the user, and where it is; the virtual host is `/`.
    #[must_use]
    pub fn rabbitmq_url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }
}

/// Everything of its own.
fn environment(port: u16, dir: &Path, more: &str) -> Vec<(&'static str, String)> {
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nlog.console = true\nlog.file = false\n\
         disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.absolute = 512MB\n{more}"
    );
    std::fs::write(dir.join("rabbitmq.conf"), config).expect("the folder can be written");
    std::fs::write(dir.join("plugins"), "[].").expect("the folder can be written");
    let path = |name: &str| dir.join(name).display().to_string();
    vec![
        ("HOME", path("")),
        ("LANG", "C.UTF-8".to_owned()),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        ("RABBITMQ_LOG_BASE", path("logs")),
        ("RABBITMQ_MNESIA_BASE", path("data")),
        ("RABBITMQ_NODENAME", format!("test{port}@localhost")),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none".to_owned()),
        // The script becomes the server, and starts none beside itself.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
    ]
}
