//! The tables, and how one version becomes the next.
//!
//! | table | one row is |
//! |---|---|
//! | `meta` | a fact about the project: its path, device and inode |
//! | `tree` | a tree body by digest (encode.rs) |
//! | `workspace` | a named line of work: its head, its host base, its base and layers on disk |
//! | `head` | one head a workspace had, oldest first; its number is the N of `@N` |
//! | `snapshot` | a name and a message on a root, and the snapshot before it |
//! | `base` | one lower tree: the root it shows, and the root it is being brought to |
//! | `layer` | what lies over a base that several workspaces share, or over another layer |
//! | `merged` | the root of another workspace that a merge brought in, and the head it made |
//! | `pending` | a take-in that has committed and whose staging is still to be put away |
//! | `conflict` | a path both sides changed, with all versions; `resolved`: the head that decided it |
//! | `run` | one finished `exec` or `enter` |
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
