//! A running gateway, asked over its admin listener.

use std::time::Duration;

use reqwest::{Method, Url};
use serde::Serialize;
use serde_json::Value;

use super::{Failed, print, say};
use crate::http_client::root_cause;

/// What a subcommand that asks a gateway is called with: something to do, else a list is printed.
#[derive(clap::Args)]
pub(super) struct Args<Call: clap::Subcommand, Filter: clap::Args> {
    #[command(flatten)]
    pub(super) admin: Admin,
    #[command(subcommand)]
    pub(super) call: Option<Call>,
    #[command(flatten)]
    pub(super) filter: Filter,
}

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

/// Which part of a list.
#[derive(clap::Args, Serialize)]
pub(super) struct Page {
    /// Only what is before this position: the next page.
    #[arg(long)]
    before: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Page {
    /// Says how to go on, where a list may do so.
    pub(super) fn end(&self, list: &Value) {
        let (count, last) = (rows(list).count(), rows(list).last());
        if let Some(last) = last.filter(|_| count >= self.limit) {
            say(&format!("there may be more: --before {}", text(last, "position")));
        }
    }
}

/// No answer takes longer: a search may read the whole journal, and a great many dead letters may be replayed at once.
const LIMIT: Duration = Duration::from_mins(10);

impl Admin {
    /// Asks for something; `query` is a struct of strings, numbers and truth values, and what is not there is not sent.
    pub(super) async fn get(&self, path: &[&str], query: &impl Serialize) -> Result<Value, Failed> {
        self.ask(Method::GET, path, query, None).await
    }

    /// Has something done, and says who wants it.
    pub(super) async fn post(&self, path: &[&str], query: &impl Serialize) -> Result<Value, Failed> {
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        self.ask(Method::POST, path, query, user).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &impl Serialize,
        by: Option<String>,
    ) -> Result<Value, Failed> {
        let mut url: Url = self.url.parse().map_err(|error| self.usage(&error))?;
        url.path_segments_mut().map_err(|()| self.usage(&"has no path"))?.pop_if_empty().push("api").extend(path);
        let query = serde_json::to_value(query).map_err(|error| Failed::Usage(error.to_string()))?;
        for (name, value) in query.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            url.query_pairs_mut().append_pair(name, &text);
        }
        if let Some(by) = by {
            url.query_pairs_mut().append_pair("by", &by);
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| Failed::Outcome(format!("{}: {}", self.url, root_cause(&error)));
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().map_err(failed)?;
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

/// Prints an answer as JSON.
pub(super) fn pretty(answer: &Value) -> Result<(), Failed> {
    print(&serde_json::to_string_pretty(answer).map_err(|error| Failed::Outcome(error.to_string()))?);
    Ok(())
}

/// The rows of an answer.
pub(super) fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

/// A field as text that a terminal can show; what is not there is a dash.
pub(super) fn text(row: &Value, field: &str) -> String {
    let text = match row.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text,
    }
}
