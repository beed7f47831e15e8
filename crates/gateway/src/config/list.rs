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
    pub(crate) fn read(&self) -> Result<Vec<String>, String> {
        match &self.0 {
            Source::Written(entries) => Ok(entries.clone()),
            Source::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let entries = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                Ok(entries.map(str::to_owned).collect())
            }
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
