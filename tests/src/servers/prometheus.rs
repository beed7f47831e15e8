use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Server, find};

impl Server {
    /// Prometheus with this configuration; `rules` is the file `rules.yml` that it may name.
    ///
    /// # Panics
    /// When it does not take them.
    pub async fn prometheus(config: &str, rules: &str) -> Self {
        let (config, rules) = (config.to_owned(), rules.to_owned());
        Self::start((b"GET /-/ready HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK"), move |port, dir| {
            let file = dir.join("prometheus.yml");
            std::fs::write(&file, &config).expect("the folder can be written");
            std::fs::write(dir.join("rules.yml"), &rules).expect("the folder can be written");
            let mut command = Command::new(find("prometheus", &[], "apt-get install prometheus"));
            command.arg("--config.file").arg(file).arg("--storage.tsdb.path").arg(dir.join("data"));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        })
        .await
    }

    /// The `data` that the API of Prometheus has at `path`, such as `query`, for these parameters.
    ///
    /// # Errors
    /// With what Prometheus says is wrong.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn asked(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let form: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = format!("GET /api/v1/{path}?{} HTTP/1.0\r\n\r\n", form.join("&"));
        let mut stream = TcpStream::connect(self.address()).await.expect("Prometheus listens");
        stream.write_all(request.as_bytes()).await.expect("Prometheus reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("Prometheus answers");
        let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut answer: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {response}"));
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(answer["error"].to_string()),
        }
    }

    /// The series that Prometheus finds for a query now, each with its labels and its value.
    ///
    /// # Panics
    /// When the query is wrong.
    pub async fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let data = self.asked("query", &[("query", query)]).await;
        let mut data = data.unwrap_or_else(|error| panic!("{query}: {error}"));
        let found = data["result"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
        found.into_iter().filter_map(|mut series| Some((series["metric"].take(), value(&series)?))).collect()
    }
}

/// As it stands in a query.
fn encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}
