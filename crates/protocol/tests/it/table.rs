//! The table of commands is whole, and its names lead where they should.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chathook_protocol::{Command, CommandName, Query};
use strum::IntoEnumIterator;

use crate::corpus::wire;

fn names(command: Command) -> impl Iterator<Item = &'static str> {
    std::iter::once(command.as_str()).chain(command.aliases().iter().copied())
}

#[test]
fn there_are_61_commands_of_chat_and_30_of_its_sister_products() {
    assert_eq!(Command::iter().count(), 91);
    assert_eq!(Command::chat().count(), 61);
}

#[test]
fn a_name_or_an_alias_belongs_to_one_command_and_is_read_as_it() {
    let mut owners = BTreeMap::new();
    for command in Command::iter() {
        for name in names(command) {
            if let Some(other) = owners.insert(name, command) {
                panic!("{name} is a name of {other:?} and of {command:?}");
            }
            assert_eq!(CommandName::from(name), CommandName::Known(command));
            assert_eq!(CommandName::from(name).as_str(), command.as_str(), "an alias is shown as its command");
        }
    }
}

#[test]
fn any_other_name_is_unknown_and_kept() {
    for name in ["", "Group.CallbackAfterTomorrow", "group.callbackbeforesendmsg", "Group.CallbackBeforeSendMsg "] {
        let read = CommandName::from(name);
        assert_eq!(read.known(), None);
        assert_eq!(read.as_str(), name);
    }
}

#[test]
fn every_row_has_samples_and_every_folder_of_samples_a_row() {
    let mut folders: BTreeSet<String> =
        fs::read_dir(wire()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for command in Command::iter() {
        assert!(folders.remove(command.as_str()), "{command} has no folder in tests/wire");
        for file in ["sample.json", "sample.query"] {
            let path = wire().join(command.as_str()).join(file);
            assert!(path.is_file(), "{command} has no {file} in tests/wire");
        }
    }
    assert!(folders.is_empty(), "folders in tests/wire without a row in callbacks.rs: {folders:?}");
}

#[test]
fn every_query_of_the_corpus_names_its_command_and_the_application() {
    for command in Command::iter() {
        for file in fs::read_dir(wire().join(command.as_str())).unwrap() {
            let path = file.unwrap().path();
            let extension = path.extension().unwrap().to_str().unwrap();
            assert!(matches!(extension, "json" | "query"), "{command}: what is {}?", path.display());
            if extension == "query" {
                assert!(path.with_extension("json").is_file(), "{command}: {} has no body", path.display());
                let query = Query::parse(fs::read_to_string(&path).unwrap().trim_end());
                assert_eq!(query.command, Some(command.into()), "{}", path.display());
                assert_eq!(query.sdk_app_id, Some(1_400_000_001), "{}", path.display());
            }
        }
    }
}

const START: &str = "<!-- commands -->";
const END: &str = "<!-- /commands -->";

/// The commands as a Markdown table, those of Chat first.
fn table() -> String {
    let mut table = String::from("\n| Command | Phase | Family | Answer |\n| --- | --- | --- | --- |\n");
    let others = Command::iter().filter(|command| !command.family().is_chat());
    for command in Command::chat().chain(others) {
        let (phase, family, answer) = (command.phase(), command.family(), command.answer_type());
        writeln!(table, "| `{command}` | {phase} | {family} | `{answer}` |").unwrap();
    }
    table.push('\n');
    table
}

#[test]
fn the_readme_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(&path).unwrap_or_else(|_| format!("{START}\n{END}\n"));
    let (head, rest) = readme.split_once(START).unwrap_or_else(|| panic!("README.md has no {START}"));
    let (shown, tail) = rest.split_once(END).unwrap_or_else(|| panic!("README.md has no {END}"));
    let table = format!("\n{}", table());
    if shown != table {
        fs::write(&path, format!("{head}{START}{table}{END}{tail}")).unwrap();
        panic!("the commands in README.md were out of date, and are up to date now: look at the difference");
    }
}
