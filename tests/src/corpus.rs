use std::fs;
use std::path::{Path, PathBuf};

use chathook_protocol::Command;
use strum::IntoEnumIterator;

/// A request of the wire corpus.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its command.
    pub command: Command,
    /// What it shows; `sample` is the main one.
    pub shape: String,
    /// The query, without a signature.
    pub query: String,
    /// The body.
    pub body: String,
}

fn folder(command: Command) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wire").join(command.as_str())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The main sample of every command.
pub fn samples() -> impl Iterator<Item = Sample> {
    Command::iter().map(|command| sample(command, "sample"))
}

/// Every shape of a command.
#[must_use]
pub fn shapes(command: Command) -> Vec<Sample> {
    let mut shapes: Vec<_> = fs::read_dir(folder(command))
        .unwrap_or_else(|error| panic!("{command}: {error}"))
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .map(|shape| sample(command, &shape))
        .collect();
    shapes.sort_by(|one, other| one.shape.cmp(&other.shape));
    shapes
}

fn sample(command: Command, shape: &str) -> Sample {
    let own = folder(command).join(format!("{shape}.query"));
    let query = if own.exists() { own } else { folder(command).join("sample.query") };
    Sample {
        command,
        shape: shape.to_owned(),
        query: read(&query).trim_end().to_owned(),
        body: read(&folder(command).join(format!("{shape}.json"))),
    }
}
