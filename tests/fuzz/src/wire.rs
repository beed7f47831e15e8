//! The wire corpus, `tests/wire`.

use std::fs;
use std::sync::LazyLock;

use bytes::Bytes;
use chathook_protocol::{Command, Phase};
use strum::VariantArray;

/// The command that a byte stands for.
pub(crate) fn command(byte: u8) -> Command {
    Command::VARIANTS[usize::from(byte) % Command::VARIANTS.len()]
}

/// The before-command that a byte stands for.
pub(crate) fn before(byte: u8) -> Command {
    let before = before_commands();
    before[usize::from(byte) % before.len()]
}

/// The byte that stands for a before-command.
pub(crate) fn byte_of_before(command: Command) -> u8 {
    let place = before_commands().iter().position(|before| *before == command);
    place.and_then(|place| place.try_into().ok()).expect("a before-command")
}

/// All commands that wait for a decision.
pub(crate) fn before_commands() -> Vec<Command> {
    Command::VARIANTS.iter().copied().filter(|command| command.phase() == Phase::Before).collect()
}

/// The files of all commands whose names end so, with the place of their command in the table.
pub(crate) fn files(ending: &str) -> Vec<(u8, Vec<u8>)> {
    let mut files = Vec::new();
    for (place, command) in (0..).zip(Command::VARIANTS) {
        let folder = crate::repository("tests/wire").join(command.as_str());
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder that can be read").path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.to_string_lossy().ends_with(ending)) {
            files.push((place, fs::read(path).expect("a file that can be read")));
        }
    }
    files
}

/// The main body of a command.
pub(crate) fn sample(command: Command) -> &'static Bytes {
    static SAMPLES: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
        let samples = files("/sample.json").into_iter().map(|(_, body)| body.into());
        samples.collect()
    });
    &SAMPLES[command as usize]
}
