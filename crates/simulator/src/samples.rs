//! The samples of the wire corpus, built in: bodies and queries as Chat sends them.

use std::collections::BTreeSet;

use chathook_protocol::Command;

#[derive(rust_embed::Embed)]
#[folder = "../../tests/wire"]
struct Wire;

/// The main shape of every command.
pub const MAIN: &str = "sample";

/// The body of `command` in its main shape.
#[must_use]
pub fn body(command: Command) -> Option<Vec<u8>> {
    shape(command, MAIN)
}

/// The query of `command`, unsigned and for the application 1400000001.
#[must_use]
pub fn query(command: Command) -> Option<String> {
    query_of(command, MAIN)
}

/// The body of `command` in one of its [`shapes`].
#[must_use]
pub fn shape(command: Command, shape: &str) -> Option<Vec<u8>> {
    Wire::get(&format!("{command}/{shape}.json")).map(|file| file.data.into_owned())
}

/// The query that goes with a shape of `command`; most have that of the main one.
#[must_use]
pub fn query_of(command: Command, shape: &str) -> Option<String> {
    let own = Wire::get(&format!("{command}/{shape}.query"));
    let file = own.or_else(|| Wire::get(&format!("{command}/{MAIN}.query")))?;
    Some(String::from_utf8_lossy(&file.data).trim_end().to_owned())
}

/// The names of all shapes of `command`, in the order of the alphabet.
#[must_use]
pub fn shapes(command: Command) -> BTreeSet<String> {
    let folder = format!("{command}/");
    Wire::iter().filter_map(|path| path.strip_prefix(&folder)?.strip_suffix(".json").map(str::to_owned)).collect()
}
