//! Whether the files that are open are still in their place. A file that is removed while it is open can be written to, and
//! everything in it is gone with the process.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::{Held, OpenError, beside};
use super::writer::Failure;

/// Under load each transaction comes this soon after the one before, and one look is enough for both.
const LATELY: Duration = Duration::from_millis(10);

/// The files of an open journal. Once one of them was missed, they stay lost.
pub(super) struct Place {
    files: [(PathBuf, Identity); 3],
    lost: Option<Failure>,
    looked: Instant,
    _held: Arc<Held>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Place {
    /// The files of a database that was just opened, and was written to or read from.
    pub(super) fn new(path: &Path, held: Arc<Held>) -> Result<Self, OpenError> {
        let missing = |path: &Path, source| OpenError::NotWritable { path: path.to_path_buf(), source };
        let found = |path: PathBuf| match look(&path) {
            Ok(identity) => Ok((path, identity)),
            Err(source) => Err(missing(&path, source)),
        };
        let path_of_lock = beside(path, ".lock");
        let lock = held.lock.metadata().map_err(|source| missing(&path_of_lock, source))?;
        let files = [found(path.to_path_buf())?, found(beside(path, "-wal"))?, (path_of_lock, identity(&lock))];
        Ok(Self { files, lost: None, looked: Instant::now(), _held: held })
    }

    /// Fails when a file is not where it was opened. It costs three looks at the file system, no more.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.lost {
            return Err(failure.clone());
        }
        self.looked = Instant::now();
        for (path, opened) in &self.files {
            let what = match look(path) {
                Ok(found) if found == *opened => continue,
                Ok(_) => "replaced",
                Err(error) if error.kind() == io::ErrorKind::NotFound => "moved or removed",
                // Whether it is there cannot be told; SQLite says when it cannot be used.
                Err(_) => continue,
            };
            let failure = Failure::Lost(format!(
                "{} was {what} while it was in use, and nothing more is kept; stop the program, put the files back or \
                 restore them from a backup, and start it again",
                path.display()
            ));
            self.lost = Some(failure.clone());
            return Err(failure);
        }
        Ok(())
    }

    /// The same, but that a look of a moment ago is enough.
    pub(super) fn check_lately(&mut self) -> Result<(), Failure> {
        match self.lost.is_none() && self.looked.elapsed() < LATELY {
            true => Ok(()),
            false => self.check(),
        }
    }
}

/// Asks for nothing else: once somebody has seen the time of a file, Linux gives each later write of it a time of its own, and
/// each sync of the log would have to write that too.
#[cfg(target_os = "linux")]
fn look(path: &Path) -> io::Result<Identity> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    use rustix::io::Errno;
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)),
        // A sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => fs::metadata(path).map(|metadata| identity(&metadata)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn look(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|metadata| identity(&metadata))
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere the system keeps files that are open in their place.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0)
}
