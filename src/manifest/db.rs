//! One project's `manifest.db`: SQLite in WAL mode.
//!
//! `synchronous=NORMAL` with no automatic checkpoint and none on close: those cost
//! four fdatasync in every process (rule 17, tried). A commit of a transaction is
//! atomic but not synced; durability comes with a durable point. Whoever finds the
//! log large writes it back while it is idle: [`Manifest::checkpoint_if_large`].
//!
//! A connection must be dropped before the process forks a child that opens one of
//! its own (SQLite keeps POSIX locks per process).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::schema::{self, Version};
use super::store::Trees;
use crate::cas::{Digest, Store};
use crate::error::{Context, Error, Kind, Result, quoted, shell_word};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};

pub const NAME: &str = "manifest.db";

/// Bytes of log above which who has the time writes it back: the first connection after
/// a quiet time reads the whole log, so it must stay small for starts to stay fast.
const LARGE_LOG: u64 = 64 << 10;
/// Bytes of log above which it is written back by whoever finds it.
const HUGE_LOG: u64 = 160 << 10;

/// An open manifest.
pub struct Manifest {
    connection: Connection,
    path: PathBuf,
}

impl Manifest {
    /// Opens `dir/manifest.db`, making and migrating it as needed.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, OpenFlags::SQLITE_OPEN_CREATE, Self::prepare)
    }

    /// Opens the manifest of a project of this store, to write if the store may be written.
    pub fn open_in(store: &Store, dir: &Path) -> Result<Self> {
        if store.reads_only() { Self::open_to_read(dir) } else { Self::open(dir) }
    }

    /// Opens a manifest of this version; nothing can be changed through it.
    fn open_to_read(dir: &Path) -> Result<Self> {
        Self::open_with(dir, OpenFlags::empty(), |manifest| {
            let version = manifest.set_up();
            match manifest.doing("open manifest", version)? {
                Version::Current => {}
                Version::Older => {
                    return Err(Error::failure(format!(
                        "the manifest {} is of an older vrift, and its store may not be written",
                        quoted(manifest.path.as_os_str())
                    ))
                    .with_hint("use the newer vrift for this store"));
                }
                Version::Newer(number) => return Err(manifest.newer(number)),
            }
            let closed = manifest.connection.pragma_update(None, "query_only", true);
            manifest.doing("open manifest", closed)
        })
    }

    fn open_with(dir: &Path, more: OpenFlags, prepare: impl FnOnce(&mut Self) -> Result<()>) -> Result<Self> {
        let path = dir.join(NAME);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let mut connection = Connection::open_with_flags(&path, flags).context("open manifest", &path)?;
        if cfg!(debug_assertions) {
            tell_statements(&mut connection).context("open manifest", &path)?;
        }
        let mut manifest = Self { connection, path };
        prepare(&mut manifest)?;
        Ok(manifest)
    }

    /// A manifest of nothing, that is nowhere: what a project would begin with.
    pub fn of_nothing(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let connection = Connection::open_in_memory().context("open manifest", &path)?;
        let mut manifest = Self { connection, path };
        schema::migrate(&mut manifest.connection).context("make manifest", &manifest.path)?;
        Ok(manifest)
    }

    /// The settings of a connection.
    fn set_up(&self) -> rusqlite::Result<Version> {
        let connection = &self.connection;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch(
            "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        )?;
        schema::version(connection)
    }

    fn newer(&self, number: i64) -> Error {
        let path = quoted(self.path.as_os_str());
        Error::failure(format!("the manifest {path} was written by a newer vrift (version {number})"))
            .with_hint("use the newer vrift for this store")
    }

    fn prepare(&mut self) -> Result<()> {
        let version = self.set_up();
        match self.doing("open manifest", version)? {
            Version::Current => Ok(()),
            Version::Newer(number) => Err(self.newer(number)),
            Version::Older => {
                // Turning the log on does not wait for others that do the same: it fails.
                let _alone = Lock::wait(&self.path.with_extension("lock"), Hold::Exclusive)?;
                let made = self.connection.pragma_update(None, "journal_mode", "wal");
                let made = made.and_then(|()| schema::migrate(&mut self.connection));
                match self.doing("make manifest", made)? {
                    Version::Newer(number) => Err(self.newer(number)),
                    Version::Current | Version::Older => Ok(()),
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Adds what failed to an SQLite error.
    pub(super) fn doing<T>(&self, operation: &str, result: rusqlite::Result<T>) -> Result<T> {
        result.context(operation, &self.path).map_err(|error| match error.kind() {
            Kind::Corrupt => error.with_hint(self.start_anew()),
            _ => error,
        })
    }

    /// What is left to do where the file is damaged.
    fn start_anew(&self) -> String {
        format!(
            "it is damaged; other projects are not affected. Bring it back from a backup, or start anew: mv {} \
             somewhere-else",
            shell_word(self.path.parent().unwrap_or(&self.path))
        )
    }

    /// Runs `work` in one IMMEDIATE transaction: all of it or nothing.
    pub fn transaction<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let transaction = self.doing(
            "begin a transaction in",
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate),
        )?;
        let value = work(self)?; // dropping the transaction rolls it back
        failpoint::at("manifest.commit").context("commit to", &self.path)?;
        self.doing("commit to", transaction.commit())?;
        failpoint::at("manifest.committed").context("commit to", &self.path)?;
        Ok(value)
    }

    /// Runs `work` on the state of one moment, whatever others commit meanwhile.
    pub fn reading<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let _transaction = self.doing(
            "begin a transaction in",
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred),
        )?;
        work(self)
    }

    /// Runs `work` in a transaction and takes back all that it wrote.
    pub fn rehearse<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let _transaction = self.doing(
            "begin a transaction in",
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate),
        )?;
        work(self) // dropping the transaction rolls it back
    }

    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut query =
            self.doing("read", self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?1"))?;
        let value = query.query_row([key], |row| row.get(0)).optional();
        self.doing("read", value)
    }

    pub fn set_meta(&self, key: &str, value: &[u8]) -> Result<()> {
        let done = self.connection.execute(
            "INSERT INTO meta(key, value) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
            (key, value),
        );
        self.doing("write", done).map(drop)
    }

    /// The keys that begin so.
    pub fn meta_keys(&self, beginning: &str) -> Result<Vec<String>> {
        let mut query = self.doing(
            "read",
            self.connection.prepare_cached("SELECT key FROM meta WHERE substr(key, 1, length(?1)) = ?1"),
        )?;
        let keys = query.query_map([beginning], |row| row.get(0)).and_then(Iterator::collect);
        self.doing("read", keys)
    }

    pub fn remove_meta(&self, key: &str) -> Result<()> {
        let mut delete =
            self.doing("write", self.connection.prepare_cached("DELETE FROM meta WHERE key = ?1"))?;
        self.doing("write", delete.execute([key])).map(drop)
    }

    /// Runs `work` in one IMMEDIATE transaction that is on the disk when this returns
    /// (synchronous=FULL syncs the log at each commit; sqlite.org/pragma.html).
    pub fn durable<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let set = |level: &str| {
            let done = self.connection.pragma_update(None, "synchronous", level);
            self.doing("prepare", done)
        };
        set("FULL")?;
        let value = self.transaction(work);
        set("NORMAL")?;
        value
    }

    /// Writes the log back into the database when it has grown large (`has_time`: nobody
    /// will notice the two syncs that this takes). Waits for nobody; a log still in use
    /// is left for the next time.
    pub fn checkpoint_if_large(&self, has_time: bool) -> Result<()> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let size = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        if size < if has_time { LARGE_LOG } else { HUGE_LOG } {
            return Ok(());
        }
        failpoint::at("manifest.log").context("write back the log of", &self.path)?;
        // PASSIVE writes back beside others, who would wait for TRUNCATE; that has nothing left to write then, and
        // keeps the next first reader from reading old frames. Busy readers make it a no-op.
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let write_back =
            |how: &str| self.connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
        let done = write_back("PASSIVE").and_then(|()| write_back("TRUNCATE"));
        let _ = self.connection.busy_timeout(Duration::from_secs(30));
        match done {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(()),
            other => self.doing("write back the log of", other),
        }
    }
}

impl Manifest {
    /// What is stored as this tree, whatever its bytes are.
    pub fn stored(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let mut query = self.doing(
            "read a tree from",
            self.connection.prepare_cached("SELECT body FROM tree WHERE digest = ?1"),
        )?;
        let body = query.query_row([digest.as_bytes()], |row| row.get(0)).optional();
        self.doing("read a tree from", body)
    }
}

impl Trees for Manifest {
    fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        let body = self.stored(digest)?;
        // no tree is in itself: a body that could name itself would be read without end
        let what = match body {
            Some(body) if Digest::of(&body) == *digest => return Ok(body),
            Some(_) => "is another one in",
            None => "is missing from",
        };
        let message = format!("tree {digest} {what} {}", quoted(self.path.as_os_str()));
        Err(Error::corrupt(message).with_hint(self.start_anew()))
    }

    fn put(&self, body: &[u8]) -> Result<Digest> {
        let digest = Digest::of(body);
        let mut insert = self.doing(
            "write a tree to",
            self.connection.prepare_cached("INSERT OR IGNORE INTO tree(digest, body) VALUES(?1, ?2)"),
        )?;
        self.doing("write a tree to", insert.execute((digest.as_bytes(), body)))?;
        Ok(digest)
    }
}

/// `VRIFT_STATEMENTS=FILE` (debug builds): each statement that runs is a line of it.
fn tell_statements(connection: &mut Connection) -> rusqlite::Result<()> {
    let told = std::env::var_os("VRIFT_STATEMENTS");
    let file = told.and_then(|path| std::fs::OpenOptions::new().append(true).create(true).open(path).ok());
    let Some(mut file) = file else { return Ok(()) };
    let tell = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, text) = event {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = file.write_all((line + "\n").as_bytes());
        }
    };
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(tell))
}

/// A digest column.
pub(super) fn digest_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    Ok(Digest::from_bytes(row.get(column)?))
}

/// A digest column that may be NULL.
pub(super) fn maybe_digest_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Digest>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(Digest::from_bytes))
}

/// Seconds since the epoch, for rows that say when.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_made_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        manifest.set_meta("path", b"/x\xff").unwrap();
        let digest = manifest.put(b"body").unwrap();
        assert_eq!(manifest.put(b"body").unwrap(), digest);
        drop(manifest);
        let manifest = Manifest::open(dir.path()).unwrap();
        assert_eq!(manifest.meta("path").unwrap().unwrap(), b"/x\xff");
        assert_eq!(manifest.get(&digest).unwrap(), b"body");
        assert!(manifest.get(&Digest::of(b"other")).is_err());
    }

    #[test]
    fn garbage_and_newer_manifests_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), vec![7u8; 8192]).unwrap();
        let error = Manifest::open(dir.path()).err().unwrap();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt);
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        manifest.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(manifest);
        assert!(Manifest::open(dir.path()).err().unwrap().to_string().contains("newer"));
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let outcome: Result<()> = manifest.transaction(|manifest| {
            manifest.set_meta("a", b"1")?;
            Err(Error::failure("no"))
        });
        assert!(outcome.is_err());
        assert!(manifest.meta("a").unwrap().is_none());
    }

    #[test]
    fn a_large_log_is_written_back() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let log = dir.path().join("manifest.db-wal");
        manifest.put(&vec![1u8; 2 << 20]).unwrap();
        assert!(log.metadata().unwrap().len() > LARGE_LOG);
        manifest.checkpoint_if_large(true).unwrap();
        assert_eq!(log.metadata().unwrap().len(), 0);
    }
}
