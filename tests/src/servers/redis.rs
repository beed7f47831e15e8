use tokio::process::Command;

use super::{Server, find};
use crate::Certificates;

const INSTALL: &str = "apt-get install redis-server";

impl Server {
    /// Redis that has on disk what it acknowledged; `more` are further arguments, such as `["--requirepass", "k3y"]`.
    pub async fn redis(more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|&argument| argument.to_owned()).collect();
        // Whoever has to give a password first is greeted, too.
        Self::start((b"ECHO a b\r\n", b"-ERR wrong number of arguments"), move |port, dir| {
            let mut command = Command::new(find("redis-server", &[], INSTALL));
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
            command.arg("--port").arg(port.to_string()).arg("--dir").arg(dir).args(&more);
            command
        })
        .await
    }

    /// Redis that speaks TLS only.
    pub async fn redis_tls(certificates: &Certificates) -> Self {
        let Certificates { ca, cert, key } = certificates;
        let files = [("--tls-ca-cert-file", ca), ("--tls-cert-file", cert), ("--tls-key-file", key)];
        let files: Vec<_> = files.into_iter().map(|(name, file)| (name, file.clone())).collect();
        Self::start((b"", b""), move |port, dir| {
            let mut command = Command::new(find("redis-server", &[], INSTALL));
            command.args(["--bind", "127.0.0.1", "--save", "", "--port", "0", "--tls-auth-clients", "no"]);
            command.arg("--tls-port").arg(port.to_string()).arg("--dir").arg(dir);
            for (name, file) in &files {
                command.arg(name).arg(file);
            }
            command
        })
        .await
    }

    /// `redis://` and where it is.
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address())
    }
}
