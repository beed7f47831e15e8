//! The database file: opened by one process only, checked, and at the version of the schema that this program knows.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// In the header of each of our databases: `chhk`.
const APPLICATION_ID: u32 = 0x6368_686b;
/// One step for each version of the schema.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];
/// Of a new database: a commit writes whole pages, each with two calls to the system, and on one of this size there is room
/// for some eight messages.
const PAGE_SIZE: i64 = 8192;
/// The log is cut to so many bytes when it is begun anew.
const MAX_LOG: i64 = 64 << 20;
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Why the database file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its place cannot be written to.
    #[error(
        "cannot write at {path}: {source}; make it writable for the user that runs this program, or set another path"
    )]
    NotWritable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something else in its place.
    #[error("{0} is no SQLite database; it was left as it is: restore it from a backup, or move it away")]
    NotADatabase(PathBuf),
    /// It belongs to another program.
    #[error("{0} is a database of another program; it was left as it is: set another path")]
    Foreign(PathBuf),
    /// A newer version of this program wrote it.
    #[error(
        "{path} has version {found} of the schema, and this program knows up to {known}: run the newer program, or set another path"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it has.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// Another process has it open.
    #[error("{0} is in use by another process: stop that one, or set another path")]
    InUse(PathBuf),
    /// Its write-ahead log is there, and it is not.
    #[error(
        "{0} is missing or empty, but its write-ahead log `-wal` is there: restore the file from a backup, or move the log away"
    )]
    Orphaned(PathBuf),
    /// What is in it makes no sense.
    #[error(
        "{path} is damaged ({detail}); it was left as it is: restore it from a backup, or save what can be read with `.recover` of the sqlite3 tool, as the README of chathook-journal says"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The database does not work.
    #[error("cannot use {path}: {source}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// A database file that is ours alone.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) held: Held,
}

/// Files that are held as long as anything of the database is open: closed earlier, they would take the locks with them that
/// `SQLite` has on the file.
pub(super) struct Held {
    /// The database itself, to have it written to the disk.
    pub(super) database: File,
    pub(super) lock: File,
}

pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)
            .map_err(|source| OpenError::NotWritable { path: directory.to_path_buf(), source })?;
    }
    let lock = lock(path)?;
    let is_new = check_header(path)?;
    let connection = connect(path, is_new).map_err(|error| explain(path, error))?;
    let database = File::options().read(true).write(true).open(path);
    let database = database.map_err(|source| OpenError::NotWritable { path: path.to_path_buf(), source })?;
    Ok(Opened { connection, held: Held { database, lock } })
}

/// Keeps other processes out. `SQLite`'s own lock would keep out those who only look.
fn lock(path: &Path) -> Result<File, OpenError> {
    let path_of_lock = beside(path, ".lock");
    let not_writable = |source| OpenError::NotWritable { path: path_of_lock.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path_of_lock).map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(not_writable(source)),
    }
}

/// The database's path with something behind.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Refuses what is not ours before `SQLite` touches it. True: there is nothing yet.
fn check_header(path: &Path) -> Result<bool, OpenError> {
    let mut header = Vec::with_capacity(HEADER);
    let not_writable = |source| OpenError::NotWritable { path: path.to_path_buf(), source };
    match File::options().read(true).write(true).open(path) {
        Ok(file) => file.take(HEADER as u64).read_to_end(&mut header).map_err(not_writable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(not_writable(error)),
    };
    if header.is_empty() {
        // SQLite would remove the log of a file that is empty.
        let log = fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len());
        return if log == 0 { Ok(true) } else { Err(OpenError::Orphaned(path.to_path_buf())) };
    }
    if !header.starts_with(MAGIC) {
        return Err(OpenError::NotADatabase(path.to_path_buf()));
    }
    let number = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    match (number(68), number(60)) {
        // The program ended before the first commit; or it is not ours, and `connect` finds tables.
        (Some(APPLICATION_ID | 0), Some(found)) => check_version(path, found).map(|()| false),
        (Some(_), Some(_)) => Err(OpenError::Foreign(path.to_path_buf())),
        _ => Err(OpenError::Damaged { path: path.to_path_buf(), detail: "the header is cut off".into() }),
    }
}

fn check_version(path: &Path, found: u32) -> Result<(), OpenError> {
    match u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX) {
        known if found > known => Err(OpenError::Newer { path: path.to_path_buf(), found, known }),
        _ => Ok(()),
    }
}

enum ConnectError {
    Sqlite(rusqlite::Error),
    Ours(fn(PathBuf) -> OpenError),
    Newer(u32),
}

impl From<rusqlite::Error> for ConnectError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn connect(path: &Path, is_new: bool) -> Result<Connection, ConnectError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // What the header said may be out of date: the log is newer.
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    if !is_new {
        let objects: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if objects > 0 && pragma("application_id")? != APPLICATION_ID {
            return Err(ConnectError::Ours(OpenError::Foreign));
        }
    }
    let version = pragma("user_version")?;
    if version as usize > MIGRATIONS.len() {
        return Err(ConnectError::Newer(version));
    }
    if is_new {
        connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", MAX_LOG)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    for (step, migration) in (1_u32..).zip(MIGRATIONS).skip(version as usize) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", step)?;
        transaction.commit()?;
    }
    Ok(connection)
}

/// A further connection for who only reads.
pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn explain(path: &Path, error: ConnectError) -> OpenError {
    match error {
        ConnectError::Sqlite(source) => explain_sqlite(path, source),
        ConnectError::Ours(error) => error(path.to_path_buf()),
        ConnectError::Newer(found) => OpenError::Newer {
            path: path.to_path_buf(),
            found,
            known: u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX),
        },
    }
}

pub(super) fn explain_sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path: path.to_path_buf(), detail: source.to_string() },
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase(path.to_path_buf()),
        _ => OpenError::Failed { path: path.to_path_buf(), source },
    }
}

/// A further connection for folding the log into the database.
pub(super) fn connect_folder(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Looks at what everything else depends on: the last position, and events and bytes in all. Takes no longer for many events;
/// the events themselves are checked in the background.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<(u64, u64, u64)> {
    for table in ["target", "segment", "audit"] {
        let found: String = connection.query_row(&format!("PRAGMA quick_check('{table}')"), [], |row| row.get(0))?;
        if found != "ok" {
            return Err(corrupt(format!("table {table}: {found}")));
        }
    }
    let (events, bytes): (i64, i64) =
        connection.query_row("SELECT coalesce(sum(events), 0), coalesce(sum(bytes), 0) FROM segment", [], |row| {
            row.try_into()
        })?;
    let last: i64 = connection.query_row(
        "SELECT max((SELECT coalesce(max(position), 0) FROM event), (SELECT coalesce(max(position), 0) FROM removed))",
        [],
        |row| row.get(0),
    )?;
    Ok((last.unsigned_abs(), events.unsigned_abs(), bytes.unsigned_abs()))
}

fn corrupt(detail: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(detail))
}
