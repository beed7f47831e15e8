use std::path::PathBuf;

use tempfile::TempDir;

/// A clock of one program, which can be set while it runs: libfaketime, between the program and the system. Time that
/// only passes goes on as it is.
pub struct Clock {
    /// How far it is off, as libfaketime reads it.
    file: PathBuf,
    dir: TempDir,
}

impl Clock {
    /// A clock that is right.
    ///
    /// # Panics
    /// When libfaketime is not there: `./tests/run` installs it.
    #[must_use]
    pub fn right() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the clock");
        let clock = Self { file: dir.path().join("offset"), dir };
        clock.set(0);
        clock
    }

    /// Sets it so many hours ahead, or back.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn set(&self, hours: i32) {
        // It is read at any moment, and must be whole.
        let new = self.dir.path().join("new");
        std::fs::write(&new, format!("{hours:+}h\n")).expect("the folder can be written");
        std::fs::rename(&new, &self.file).expect("the folder can be written");
    }

    /// What a program has to have in its environment.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1".to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }
}
