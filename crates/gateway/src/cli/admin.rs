//! A running gateway, asked over its admin listener.

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::Failed;
use crate::http_client::root_cause;

/// Where the gateway is.
#[derive(clap::Args)]
pub(super) struct Admin {
    /// The admin listener of the gateway.
    #[arg(long = "admin", value_name = "URL", default_value = "http://127.0.0.1:9090", global = true)]
    url: String,
    /// Prints JSON as the API gives it.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// No answer takes longer: a search may read the whole journal.
const LIMIT: Duration = Duration::from_secs(60);

impl Admin {
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Result<Value, Failed> {
        self.ask(Method::GET, path, query).await
    }

    pub(super) async fn post(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Result<Value, Failed> {
        self.ask(Method::POST, path, query).await
    }

    async fn ask(&self, method: Method, path: &[&str], query: &[(&str, Option<String>)]) -> Result<Value, Failed> {
        let mut url: Url = self.url.parse().map_err(|error| self.usage(&error))?;
        url.path_segments_mut().map_err(|()| self.usage(&"has no path"))?.pop_if_empty().push("api").extend(path);
        for (name, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| Failed::Outcome(format!("{}: {}", self.url, root_cause(&error)));
        let client = reqwest::Client::builder().timeout(LIMIT).build().map_err(failed)?;
        let response = client.request(method, url).send().await.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|_| Failed::Outcome(format!("{}: {status}: this is no gateway's admin listener", self.url)))?;
        match value.get("error").and_then(Value::as_str) {
            Some(problem) => Err(Failed::Outcome(problem.to_owned())),
            None if status.is_success() => Ok(value),
            None => Err(Failed::Outcome(format!("{}: {status}", self.url))),
        }
    }

    fn usage(&self, problem: &dyn std::fmt::Display) -> Failed {
        Failed::Usage(format!("--admin {}: {problem}", self.url))
    }
}

/// Who does this, for the record.
pub(super) fn by() -> Option<String> {
    std::env::var("USER").ok().filter(|user| !user.is_empty())
}

/// The rows of an answer.
pub(super) fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

/// A field as text that a terminal can show; what is not there is a dash.
pub(super) fn text(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if !text.contains(char::is_control) => text.clone(),
        Some(Value::String(text)) => text.escape_debug().to_string(),
        Some(value) => value.to_string(),
    }
}
