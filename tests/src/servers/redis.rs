use tokio::process::Command;

use super::{Server, find};

impl Server {
    /// Redis that has on disk what it acknowledged; `more` are further arguments, such as `["--requirepass", "k3y"]`.
    pub async fn redis(more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|&argument| argument.to_owned()).collect();
        // Whoever has to give a password first is greeted, too.
        Self::start((b"ECHO a b\r\n", b"-ERR wrong number of arguments"), move |port, dir| {
            let mut command = Command::new(find("redis-server", &[], "apt-get install redis-server"));
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
            command.arg("--port").arg(port.to_string()).arg("--dir").arg(dir).args(&more);
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
