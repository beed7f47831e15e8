//! The samples of the wire corpus, built into the binary.

use chathook_protocol::Command;

#[derive(rust_embed::Embed)]
#[folder = "../../tests/wire"]
struct Wire;

/// A body of `command` as Chat sends it.
pub(super) fn body(command: Command) -> Option<Vec<u8>> {
    Wire::get(&format!("{command}/sample.json")).map(|file| file.data.into_owned())
}

/// The query of `command` as Chat sends it, for the application of the samples.
pub(super) fn query(command: Command) -> Option<String> {
    let file = Wire::get(&format!("{command}/sample.query"))?;
    Some(String::from_utf8_lossy(&file.data).trim_end().to_owned())
}
