//! Snapshots: names on roots, and the names that workspaces and snapshots may have.

use rusqlite::OptionalExtension;

use super::db::{Manifest, digest_at, now};
use super::workspace::Workspace;
use crate::cas::Digest;
use crate::error::{Error, Result, quoted};

/// A name on a root that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub id: i64,
    pub name: String,
    /// The workspace it was made in, by the name it had; empty: it came in a bundle.
    pub workspace: String,
    pub root: Digest,
    /// The snapshot before it in its line.
    pub parent: Option<i64>,
    pub message: String,
    /// How many conflicts were open.
    pub conflicts: u64,
    /// Seconds since the epoch.
    pub at: i64,
}

const COLUMNS: &str = "id, name, workspace, root, parent, message, conflicts, at";

impl Manifest {
    /// Makes a snapshot of `root` in a workspace's line. Without a name it gets the next
    /// of `s1`, `s2`, …. Inside a transaction.
    pub fn add_snapshot(
        &self,
        workspace: &Workspace,
        root: &Digest,
        name: Option<&str>,
        message: &str,
    ) -> Result<Snapshot> {
        let conflicts = self.conflict_count(workspace.id)?;
        let snapshot =
            self.insert_snapshot((name, message), &workspace.name, root, workspace.snapshot, conflicts)?;
        let done = self
            .connection()
            .execute("UPDATE workspace SET snapshot = ?1 WHERE id = ?2", (snapshot.id, workspace.id));
        self.doing("write a workspace to", done)?;
        Ok(snapshot)
    }

    /// The same for a root that came from elsewhere: in no workspace's line. Inside a
    /// transaction.
    pub fn add_loaded_snapshot(&self, root: &Digest, name: Option<&str>, message: &str) -> Result<Snapshot> {
        self.insert_snapshot((name, message), "", root, None, 0)
    }

    fn insert_snapshot(
        &self,
        (name, message): (Option<&str>, &str),
        workspace: &str,
        root: &Digest,
        parent: Option<i64>,
        conflicts: u64,
    ) -> Result<Snapshot> {
        let name = match name {
            Some(name) => self.free_name(name)?,
            None => self.next_name()?,
        };
        let conflicts = i64::try_from(conflicts).unwrap_or(i64::MAX);
        let done = self.connection().execute(
            "INSERT INTO snapshot(name, workspace, root, parent, message, conflicts, at)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (&name, workspace, root.as_bytes(), parent, message, conflicts, now()),
        );
        self.doing("write a snapshot to", done)?;
        let id = self.connection().last_insert_rowid();
        self.snapshot_by_id(id)?.ok_or_else(|| Error::corrupt("a snapshot vanished while it was made"))
    }

    pub fn snapshot(&self, name: &str) -> Result<Option<Snapshot>> {
        self.one_snapshot(&format!("SELECT {COLUMNS} FROM snapshot WHERE name = ?1"), name)
    }

    pub fn snapshot_by_id(&self, id: i64) -> Result<Option<Snapshot>> {
        self.one_snapshot(&format!("SELECT {COLUMNS} FROM snapshot WHERE id = ?1"), id)
    }

    /// The snapshot, or a refusal that says how to see those there are.
    pub fn known_snapshot(&self, name: &str) -> Result<Snapshot> {
        self.snapshot(name)?.ok_or_else(|| {
            Error::failure(format!("there is no snapshot {} in this project", quoted(name.as_ref())))
                .with_hint("vrift snapshot list shows those there are")
        })
    }

    /// All snapshots, newest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let query = format!("SELECT {COLUMNS} FROM snapshot ORDER BY id DESC");
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let rows = query.query_map([], row_of).and_then(Iterator::collect);
        self.doing("read snapshots from", rows)
    }

    /// A line of snapshots, from `newest` back to its first.
    pub fn line(&self, newest: Option<i64>) -> Result<Vec<Snapshot>> {
        let mut line: Vec<Snapshot> = Vec::new();
        let mut next = newest;
        while let Some(id) = next {
            let Some(snapshot) = self.snapshot_by_id(id)? else { break };
            // a parent is always older: a manifest that says otherwise must not hang us
            next = snapshot.parent.filter(|parent| *parent < id);
            line.push(snapshot);
        }
        Ok(line)
    }

    /// Removes a snapshot; what came after it follows the one before. Inside a transaction.
    pub fn delete_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        for query in [
            "UPDATE snapshot SET parent = ?2 WHERE parent = ?1",
            "UPDATE workspace SET snapshot = ?2 WHERE snapshot = ?1",
        ] {
            let done = self.connection().execute(query, (snapshot.id, snapshot.parent));
            self.doing("write to", done)?;
        }
        let done = self.connection().execute("DELETE FROM snapshot WHERE id = ?1", [snapshot.id]);
        self.doing("remove a snapshot from", done).map(drop)
    }

    /// The name, if it may be given to a new workspace or snapshot.
    pub fn free_name(&self, name: &str) -> Result<String> {
        check_name(name)?;
        let taken = if self.workspace(name)?.is_some() {
            "a workspace"
        } else if self.snapshot(name)?.is_some() {
            "a snapshot"
        } else {
            return Ok(name.to_string());
        };
        Err(Error::failure(format!("there is {taken} `{name}` already"))
            .with_hint("workspaces and snapshots share their names: choose another one"))
    }

    fn next_name(&self) -> Result<String> {
        let last = self
            .connection()
            .query_row("SELECT coalesce(max(id), 0) FROM snapshot", [], |row| row.get::<_, i64>(0));
        let mut number = self.doing("read snapshots from", last)? + 1;
        loop {
            let name = format!("s{number}");
            if self.snapshot(&name)?.is_none() && self.workspace(&name)?.is_none() {
                return Ok(name);
            }
            number += 1;
        }
    }

    fn one_snapshot(&self, query: &str, key: impl rusqlite::ToSql) -> Result<Option<Snapshot>> {
        let mut query = self.doing("read", self.connection().prepare_cached(query))?;
        let found = query.query_row([key], row_of).optional();
        self.doing("read a snapshot from", found)
    }
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        id: row.get(0)?,
        name: row.get(1)?,
        workspace: row.get(2)?,
        root: digest_at(row, 3)?,
        parent: row.get(4)?,
        message: row.get(5)?,
        conflicts: row.get::<_, i64>(6)?.unsigned_abs(),
        at: row.get(7)?,
    })
}

/// The longest name of a workspace or snapshot, in bytes: it is a file's name too.
const LONGEST: usize = 100;

/// Refuses names that a root could not be written with: letters, digits, `.`, `_` and `-`,
/// a letter or digit first; not `host`.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let why = if name == "host" {
        "`host` always means the host directory's tree"
    } else if !first || !name.bytes().all(plain) {
        "a name has letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
    } else if name.len() > LONGEST {
        "it is longer than 100 bytes"
    } else {
        return Ok(());
    };
    let name = quoted(name.as_ref());
    Err(Error::failure(format!("{name} cannot name a workspace or a snapshot")).with_hint(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::history::Cause;
    use crate::manifest::workspace::MAIN;

    fn made() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let id = manifest.create_workspace(MAIN).unwrap().id;
        manifest.move_head(id, None, &Digest::of(b"root"), Cause::Sync).unwrap();
        (dir, manifest)
    }

    fn add(manifest: &Manifest, name: Option<&str>) -> Result<Snapshot> {
        let main = manifest.known_workspace(MAIN)?;
        manifest.add_snapshot(&main, &Digest::of(b"root"), name, "m")
    }

    #[test]
    fn a_line_closes_around_a_deleted_snapshot() {
        let (_dir, manifest) = made();
        let names: Vec<_> =
            [None, Some("b"), None].into_iter().map(|name| add(&manifest, name).unwrap().name).collect();
        assert_eq!(names, ["s1", "b", "s3"]);
        let line = || {
            let tip = manifest.known_workspace(MAIN).unwrap().snapshot;
            let line = manifest.line(tip).unwrap();
            line.into_iter().map(|snapshot| snapshot.name).collect::<Vec<_>>()
        };
        assert_eq!(line(), ["s3", "b", "s1"]);
        manifest.delete_snapshot(&manifest.known_snapshot("b").unwrap()).unwrap();
        assert_eq!(line(), ["s3", "s1"]);
        manifest.delete_snapshot(&manifest.known_snapshot("s3").unwrap()).unwrap();
        assert_eq!(line(), ["s1"]);
        assert!(manifest.known_snapshot("s3").unwrap_err().hint().is_some());
    }

    #[test]
    fn names_are_plain_and_shared_with_workspaces() {
        let (_dir, manifest) = made();
        for bad in ["", "host", "a/b", "@3", "a~1", "-x", ".x", "a b", "é", &"x".repeat(101)] {
            assert!(add(&manifest, Some(bad)).is_err(), "{bad}");
        }
        assert!(add(&manifest, Some(MAIN)).unwrap_err().to_string().contains("workspace"));
        add(&manifest, Some("v1.0_a-b")).unwrap();
        assert!(add(&manifest, Some("v1.0_a-b")).unwrap_err().to_string().contains("snapshot"));
    }
}
