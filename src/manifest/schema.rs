//! The tables, and how one version becomes the next.
//!
//! | table | one row is |
//! |---|---|
//! | `meta` | a fact about the project: its path, device and inode |
//! | `tree` | a tree body by digest (encode.rs) |
//! | `workspace` | a named line of work: its head, its host base, its base and layers on disk |
//! | `head` | one head a workspace had, oldest first, and its host base then; its number is the N of `@N` |
//! | `snapshot` | a name and a message on a root, and the snapshot before it |
//! | `base` | one lower tree: the root it shows, and the root it is being brought to |
//! | `layer` | what lies over a base that several workspaces share, or over another layer |
//! | `merged` | the root of another workspace that a merge brought in, and the head it made |
//! | `pending` | a take-in that has committed and whose staging is still to be put away |
//! | `conflict` | what two sides made of a path, with their versions; a path may have several; `resolved`: the head that decided it |
//! | `run` | one finished `exec` or `enter`; the object with what it printed, where that was kept |
//! | `host_stamp` | what sync last saw of one host directory: a cache |
//!
//! `PRAGMA user_version` is the number of migrations applied. A number above ours
//! means a newer vrift wrote the file: it is not opened.

use rusqlite::Connection;

/// One step from each version to the next; never changed once released.
pub const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE tree (digest BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE workspace (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    head BLOB,
    host_base BLOB,
    base INTEGER REFERENCES base(id),
    created INTEGER NOT NULL
);
CREATE TABLE head (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace INTEGER NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    root BLOB NOT NULL,
    cause TEXT NOT NULL,
    run INTEGER,
    at INTEGER NOT NULL
);
CREATE INDEX head_by_workspace ON head(workspace, id);
CREATE TABLE base (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    projection TEXT NOT NULL,
    root BLOB,
    target BLOB,
    generation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace INTEGER NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    staging TEXT NOT NULL,
    from_root BLOB NOT NULL,
    to_root BLOB NOT NULL
);
CREATE TABLE conflict (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace INTEGER NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    against TEXT NOT NULL,
    base BLOB,
    ours BLOB NOT NULL,
    theirs BLOB NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE(workspace, path)
);
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    workspace TEXT NOT NULL,
    session TEXT NOT NULL,
    argv BLOB NOT NULL,
    cwd BLOB NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    status INTEGER NOT NULL
);
CREATE TABLE host_stamp (dir BLOB PRIMARY KEY, tree BLOB NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
",
    "
CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    root BLOB NOT NULL,
    parent INTEGER REFERENCES snapshot(id),
    message TEXT NOT NULL,
    conflicts INTEGER NOT NULL,
    at INTEGER NOT NULL
);
ALTER TABLE workspace ADD COLUMN snapshot INTEGER REFERENCES snapshot(id);
ALTER TABLE workspace ADD COLUMN parent INTEGER;
ALTER TABLE workspace ADD COLUMN forked BLOB;
ALTER TABLE head ADD COLUMN back INTEGER;
",
    "
CREATE TABLE layer (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    base INTEGER NOT NULL REFERENCES base(id),
    below INTEGER REFERENCES layer(id),
    under BLOB NOT NULL,
    root BLOB NOT NULL,
    names INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
);
ALTER TABLE workspace ADD COLUMN layer INTEGER REFERENCES layer(id);
ALTER TABLE workspace ADD COLUMN deleted INTEGER;
ALTER TABLE base ADD COLUMN names INTEGER;
ALTER TABLE pending ADD COLUMN layer INTEGER REFERENCES layer(id);
CREATE TABLE merged (
    workspace INTEGER NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    other INTEGER NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    root BLOB NOT NULL,
    head INTEGER NOT NULL
);
CREATE INDEX merged_by_workspace ON merged(workspace, other, head);
",
    "ALTER TABLE conflict ADD COLUMN resolved INTEGER;",
    "
CREATE TABLE conflict_kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace INTEGER NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    against TEXT NOT NULL,
    base BLOB,
    ours BLOB NOT NULL,
    theirs BLOB NOT NULL,
    at INTEGER NOT NULL,
    resolved INTEGER
);
INSERT INTO conflict_kept SELECT id, workspace, path, against, base, ours, theirs, at, resolved FROM conflict;
DROP TABLE conflict;
ALTER TABLE conflict_kept RENAME TO conflict;
CREATE INDEX conflict_by_path ON conflict(workspace, path, id);
",
    "ALTER TABLE head ADD COLUMN host_base BLOB;",
    "ALTER TABLE run ADD COLUMN output BLOB; ALTER TABLE run ADD COLUMN output_size INTEGER;",
];

/// What a manifest's version means to this build.
#[derive(Debug, PartialEq, Eq)]
pub enum Version {
    Current,
    Older,
    /// Written by a newer vrift.
    Newer(i64),
}

pub fn version(connection: &Connection) -> rusqlite::Result<Version> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    Ok(match version {
        _ if version == known => Version::Current,
        0.. if version < known => Version::Older,
        _ => Version::Newer(version),
    })
}

/// Brings an older or empty manifest to the current version in one transaction; others
/// may try at once, a newer vrift among them: what it has made is left alone.
pub fn migrate(connection: &mut Connection) -> rusqlite::Result<Version> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found != Version::Older {
        return Ok(found);
    }
    let done: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for step in MIGRATIONS.iter().skip(usize::try_from(done).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(Version::Current)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest as the first so many steps make it.
    fn of_version(steps: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        MIGRATIONS[..steps].iter().for_each(|step| connection.execute_batch(step).unwrap());
        connection.pragma_update(None, "user_version", steps as i64).unwrap();
        connection
    }

    #[test]
    fn every_older_version_becomes_the_current_one() {
        for steps in 0..MIGRATIONS.len() {
            let mut connection = of_version(steps);
            assert_eq!(migrate(&mut connection).unwrap(), Version::Current, "{steps}");
            assert_eq!(version(&connection).unwrap(), Version::Current);
        }
    }

    #[test]
    fn conflicts_of_an_older_manifest_stay_and_get_company() {
        let mut connection = of_version(4);
        let insert = "INSERT INTO conflict(workspace, path, against, ours, theirs, at, resolved) VALUES(1, ?1, 'host', ?2, x'03', 5, ?3)";
        connection.execute_batch("INSERT INTO workspace(id, name, created) VALUES(1, 'main', 0)").unwrap();
        connection.execute(insert, (b"a", b"1", None::<i64>)).unwrap();
        connection.execute(insert, (b"b", b"2", Some(7))).unwrap();
        assert!(connection.execute(insert, (b"a", b"3", None::<i64>)).is_err());
        migrate(&mut connection).unwrap();
        connection.execute(insert, (b"a", b"3", None::<i64>)).unwrap();
        let mut query =
            connection.prepare("SELECT id, path, ours, at, resolved FROM conflict ORDER BY id").unwrap();
        let rows =
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        type Row = (i64, Vec<u8>, Vec<u8>, i64, Option<i64>);
        let rows: Vec<Row> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        let row = |id, path: &str, ours: &str, resolved| (id, path.into(), ours.into(), 5, resolved);
        assert_eq!(rows, [row(1, "a", "1", None), row(2, "b", "2", Some(7)), row(3, "a", "3", None)]);
    }
}
