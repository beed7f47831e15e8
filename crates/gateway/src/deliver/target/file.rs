//! A file as a target: one CloudEvent a line (NDJSON), on the disk before it counts as delivered.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chathook_journal::Record;
use serde::Deserialize;

use super::cloudevent::CloudEvent;
use super::lines::{Lines, Sink};
use super::{Delivered, Undelivered};
use crate::config::{Invalid, size};

/// `file = { ... }`: NDJSON, one structured CloudEvent a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The file; its folder is made where there is none. One process writes to it.
    pub path: PathBuf,
    /// Before it becomes larger than this, in bytes, it becomes `<path>.1`, that `<path>.2`, and so on. Default: `100MiB`.
    #[serde(default = "default_max_size", deserialize_with = "size")]
    pub max_size: usize,
    /// How many old files stay. Default: 10.
    #[serde(default = "default_keep")]
    pub keep: u32,
}

fn default_max_size() -> usize {
    100 << 20
}

fn default_keep() -> u32 {
    10
}

impl Config {
    /// A file, and all else as it is by default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_size: default_max_size(), keep: default_keep() }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self {
            Self { path, .. } if path.file_name().is_none() => Err(Invalid::new("file.path", "names no file")),
            Self { max_size: 0, .. } => Err(Invalid::new("file.max_size", "must be more than zero")),
            Self { keep: 1001.., .. } => Err(Invalid::new("file.keep", "must be 1000 or less")),
            _ => Ok(()),
        }
    }
}

/// A file at work.
pub(crate) struct FileTarget(Lines);

impl FileTarget {
    pub(crate) fn open(name: &str, config: &Config) -> Result<Self, Invalid> {
        let rotated = Rotated {
            path: config.path.clone(),
            max_size: u64::try_from(config.max_size).unwrap_or(u64::MAX),
            keep: config.keep,
            current: None,
        };
        let lines = Lines::to(&format!("target {name}"), rotated);
        lines.map(Self).map_err(|error| Invalid::new("file", format!("its writer cannot be started: {error}")))
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        self.0.write(CloudEvent::of(event).line()?).await
    }
}

/// A file that makes room for a new one when it is full.
struct Rotated {
    path: PathBuf,
    max_size: u64,
    keep: u32,
    current: Option<Current>,
}

/// The file that is written to.
struct Current {
    file: File,
    size: u64,
    id: (u64, u64),
}

impl Sink for Rotated {
    fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        self.append(lines).map_err(|error| {
            // What went wrong may have to do with the file as it is open.
            self.current = None;
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

impl Rotated {
    fn append(&mut self, mut lines: &[Vec<u8>]) -> io::Result<()> {
        while !lines.is_empty() {
            let max_size = self.max_size;
            let current = self.current()?;
            let mut size = current.size;
            let fitting = lines.iter().take_while(|line| {
                size = size.saturating_add(line.len() as u64);
                size <= max_size
            });
            // A line that is longer than any file may be has one of its own.
            let count = match fitting.count() {
                0 if current.size > 0 => {
                    self.rotate()?;
                    continue;
                }
                count => count.max(1),
            };
            let (now, later) = lines.split_at(count);
            current.append(&now.concat())?;
            lines = later;
        }
        Ok(())
    }

    /// The file of this name, opened where it is not open, or where another program put it away.
    fn current(&mut self) -> io::Result<&mut Current> {
        let is_there = |current: &Current| fs::metadata(&self.path).is_ok_and(|found| id(&found) == current.id);
        let current = match self.current.take().filter(is_there) {
            Some(current) => current,
            None => Current::open(&self.path)?,
        };
        Ok(self.current.insert(current))
    }

    /// Puts the file away, and the oldest one out.
    fn rotate(&mut self) -> io::Result<()> {
        self.current = None;
        let old = |n: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(OsString::from(format!(".{n}")));
            PathBuf::from(name)
        };
        for n in (1..self.keep).rev() {
            unless_missing(fs::rename(old(n), old(n + 1)))?;
        }
        unless_missing(match self.keep {
            0 => fs::remove_file(&self.path),
            _ => fs::rename(&self.path, old(1)),
        })?;
        sync_folder(&self.path)
    }
}

impl Current {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process or target writes to it")),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        let mut size = found.len();
        if size == 0 {
            sync_folder(path)?;
        } else if !ends_with_line_break(&mut file)? {
            // A crash cut it off. Nobody was told that it is there.
            file.write_all(b"\n")?;
            size = size.saturating_add(1);
        }
        Ok(Self { file, size, id: id(&found) })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Takes back the half that fitted onto the disk; else it becomes a line of its own.
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.file.sync_data()?;
        self.size = self.size.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// What tells a file from another of the same name.
fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn ends_with_line_break(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Makes names durable, old and new.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::lines::Sink;
    use super::{Config, Rotated};

    fn rotated(dir: &Path, max_size: u64, keep: u32) -> Rotated {
        Rotated { path: dir.join("events/all.ndjson"), max_size, keep, current: None }
    }

    fn write(to: &mut Rotated, lines: &[&str]) {
        to.write(&lines.iter().map(|line| format!("{line}\n").into_bytes()).collect::<Vec<_>>()).unwrap();
    }

    fn read(dir: &Path, name: &str) -> Option<String> {
        fs::read_to_string(dir.join("events").join(name)).ok()
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = rotated(dir.path(), 10, 2);
        write(&mut to, &["1234", "5678"]);
        assert_eq!(read(dir.path(), "all.ndjson").unwrap(), "1234\n5678\n");
        write(&mut to, &["a"]);
        write(&mut to, &["b", "longer than any file", "c", "d"]);
        assert_eq!(read(dir.path(), "all.ndjson").unwrap(), "c\nd\n");
        assert_eq!(read(dir.path(), "all.ndjson.1").unwrap(), "longer than any file\n");
        assert_eq!(read(dir.path(), "all.ndjson.2").unwrap(), "a\nb\n");
        assert_eq!(read(dir.path(), "all.ndjson.3"), None);
    }

    #[test]
    fn without_old_files_a_full_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = rotated(dir.path(), 4, 0);
        write(&mut to, &["1", "2", "3"]);
        assert_eq!(read(dir.path(), "all.ndjson").unwrap(), "3\n");
        assert_eq!(fs::read_dir(dir.path().join("events")).unwrap().count(), 1);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_gets_its_end() {
        let dir = tempfile::tempdir().unwrap();
        write(&mut rotated(dir.path(), 100, 1), &["whole"]);
        let file = dir.path().join("events/all.ndjson");
        fs::write(&file, "whole\nhal").unwrap();
        write(&mut rotated(dir.path(), 100, 1), &["next"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "whole\nhal\nnext\n");
        write(&mut rotated(dir.path(), 100, 1), &["last"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "whole\nhal\nnext\nlast\n");
    }

    #[test]
    fn a_file_that_somebody_put_away_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = rotated(dir.path(), 100, 1);
        write(&mut to, &["1"]);
        fs::rename(dir.path().join("events/all.ndjson"), dir.path().join("events/away")).unwrap();
        write(&mut to, &["2"]);
        assert_eq!(read(dir.path(), "away").unwrap(), "1\n");
        assert_eq!(read(dir.path(), "all.ndjson").unwrap(), "2\n");
        fs::remove_dir_all(dir.path().join("events")).unwrap();
        write(&mut to, &["3"]);
        assert_eq!(read(dir.path(), "all.ndjson").unwrap(), "3\n");
    }

    #[test]
    fn two_do_not_write_to_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = rotated(dir.path(), 100, 1);
        write(&mut one, &["1"]);
        let mut other = rotated(dir.path(), 100, 1);
        let error = other.write(&[b"2\n".to_vec()]).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(one);
        write(&mut other, &["2"]);
        assert_eq!(read(dir.path(), "all.ndjson").unwrap(), "1\n2\n");
    }

    #[test]
    fn what_cannot_be_written_says_where_and_why() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("events/all.ndjson")).unwrap();
        let error = rotated(dir.path(), 100, 1).write(&[b"1\n".to_vec()]).unwrap_err().to_string();
        assert!(error.contains("all.ndjson: ") && error.contains("directory"), "{error}");
        let mut full = Rotated { path: "/dev/full".into(), ..rotated(dir.path(), 100, 1) };
        assert_eq!(full.write(&[b"1\n".to_vec()]).unwrap_err().to_string(), "/dev/full: is no regular file");
    }

    #[test]
    fn keys_are_read_and_checked() {
        let read = |toml: &str| toml::from_str::<Config>(toml);
        assert_eq!(read("path = \"a\"").unwrap(), Config { max_size: 104_857_600, keep: 10, ..Config::new("a") });
        let all = read("path = \"a\"\nmax_size = \"1KiB\"\nkeep = 0").unwrap();
        assert_eq!((all.max_size, all.keep), (1024, 0));
        all.check().unwrap();
        for (toml, key) in [
            ("path = \"\"", "file.path"),
            ("path = \"a/..\"", "file.path"),
            ("path = \"a\"\nmax_size = \"0B\"", "file.max_size"),
            ("path = \"a\"\nkeep = 1001", "file.keep"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        assert!(read("").is_err() && read("path = \"a\"\nsize = 1").is_err());
    }
}
