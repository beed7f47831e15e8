use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// A list of words, users, groups: written out (`["a", "b"]`), or in a file (`{ file = "list.txt" }`), one entry a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List(Source);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Written(Vec<String>),
    File(PathBuf),
}

impl List {
    /// The file that holds it.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.0 {
            Source::File(file) => Some(file),
            Source::Written(_) => None,
        }
    }

    /// Reads it. In a file, blank lines and lines that begin with `#` are skipped, and so are blanks around an entry.
    ///
    /// # Errors
    /// When it cannot be read, or has no entry: a file that was cut must not switch a rule off.
    pub(crate) fn read(&self) -> Result<Entries, String> {
        let entries = self.entries()?;
        match (&entries.file, entries.entries.is_empty()) {
            (_, false) => Ok(entries),
            (Some(file), true) => Err(format!("{} has no entry", file.display())),
            (None, true) => Err("has no entry".to_owned()),
        }
    }

    fn entries(&self) -> Result<Entries, String> {
        match &self.0 {
            Source::Written(entries) => {
                Ok(Entries { file: None, entries: (1..).zip(entries.iter().cloned()).collect() })
            }
            Source::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let lines = (1..).zip(text.lines().map(str::trim));
                let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
                let entries = entries.map(|(number, line)| (number, line.to_owned())).collect();
                Ok(Entries { file: Some(file.clone()), entries })
            }
        }
    }
}

/// What was read of a list.
pub(crate) struct Entries {
    file: Option<PathBuf>,
    /// With the number of the line in the file, or of the entry, from 1.
    entries: Vec<(usize, String)>,
}

impl Entries {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(_, entry)| entry.as_str())
    }

    /// Where an entry stands, counted from 0.
    pub(crate) fn place(&self, entry: usize) -> String {
        let number = self.entries.get(entry).map_or(entry, |(number, _)| *number);
        match &self.file {
            Some(file) => format!("{}, line {number}", file.display()),
            None => format!("entry {number}"),
        }
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = List;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of strings or { file = \"...\" }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = items.next_element()? {
                    entries.push(entry);
                }
                Ok(List(Source::Written(entries)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<List, A::Error> {
                let list = match fields.next_key::<String>()?.as_deref() {
                    Some("file") => List(Source::File(fields.next_value()?)),
                    Some(other) => return Err(de::Error::unknown_field(other, &["file"])),
                    None => return Err(de::Error::missing_field("file")),
                };
                match fields.next_key::<String>()? {
                    Some(other) => Err(de::Error::unknown_field(&other, &["file"])),
                    None => Ok(list),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
