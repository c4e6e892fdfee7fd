//! Paths that both sides changed. The view shows one version; the other is kept here
//! until the conflict is resolved. A path that both sides change again before that has all
//! versions kept, and is one conflict.

use super::db::{Manifest, maybe_digest_at, now};
use super::encode;
use super::merge::Conflict;
use super::node::Entry;
use super::store::Trees;
use crate::cas::Digest;
use crate::error::Result;

/// An open conflict of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub path: Vec<u8>,
    /// Who the other side is: `host`, or a workspace.
    pub against: String,
    /// What both sides had before; `None`: nothing.
    pub base: Option<Entry>,
    /// The workspace's version; `None`: it deleted the path.
    pub ours: Option<Entry>,
    /// The other side's.
    pub theirs: Option<Entry>,
    /// What was kept of the path before, the newest first.
    pub earlier: Vec<Open>,
}

/// Path, the other side's name, and the trees of the versions.
type Row = (Vec<u8>, String, [Option<Digest>; 3]);

/// What a session wrote while the head moved is a conflict against it.
pub const SESSION: &str = "session";

impl Open {
    /// The workspace's version. Against a session that is what the session wrote.
    pub fn workspace(&self) -> Option<&Entry> {
        if self.against == SESSION { self.theirs.as_ref() } else { self.ours.as_ref() }
    }

    /// The host's version, or the other workspace's.
    pub fn host(&self) -> Option<&Entry> {
        if self.against == SESSION { self.ours.as_ref() } else { self.theirs.as_ref() }
    }

    /// It and what was kept before, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.earlier)
    }
}

impl Manifest {
    /// Keeps a conflict beside older ones of the same path, unless it is the latest of them.
    /// Inside a transaction.
    pub fn add_conflict(&self, workspace: i64, against: &str, conflict: &Conflict) -> Result<()> {
        let base = conflict.base.as_ref().map(|entry| self.put_version(Some(entry))).transpose()?;
        let ours = self.put_version(conflict.ours.as_ref())?;
        let theirs = self.put_version(conflict.theirs.as_ref())?;
        let done = self.connection().execute(
            "INSERT INTO conflict(workspace, path, against, base, ours, theirs, at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (
                 SELECT 1 FROM (SELECT against, base, ours, theirs FROM conflict
                     WHERE workspace = ?1 AND path = ?2 AND resolved IS NULL ORDER BY id DESC LIMIT 1)
                 WHERE against = ?3 AND base IS ?4 AND ours = ?5 AND theirs = ?6)",
            (
                workspace,
                &conflict.path,
                against,
                base.as_ref().map(Digest::as_bytes),
                ours.as_bytes(),
                theirs.as_bytes(),
                now(),
            ),
        );
        self.doing("record a conflict in", done).map(drop)
    }

    /// The open conflicts of a workspace, one a path.
    pub fn conflicts(&self, workspace: i64) -> Result<Vec<Open>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT path, against, base, ours, theirs FROM conflict
                 WHERE workspace = ?1 AND resolved IS NULL ORDER BY path, id DESC",
            ),
        )?;
        let rows = query
            .query_map([workspace], |row| {
                let version = |column| maybe_digest_at(row, column);
                Ok((row.get(0)?, row.get(1)?, [version(2)?, version(3)?, version(4)?]))
            })
            .and_then(Iterator::collect);
        let rows: Vec<Row> = self.doing("read conflicts from", rows)?;
        let mut open: Vec<Open> = Vec::new();
        for (path, against, versions) in rows {
            let version = |tree: Option<Digest>| tree.map_or(Ok(None), |tree| self.version(&tree));
            let [base, ours, theirs] = versions;
            let (base, ours, theirs) = (version(base)?, version(ours)?, version(theirs)?);
            let one = Open { path, against, base, ours, theirs, earlier: Vec::new() };
            match open.last_mut().filter(|newest| newest.path == one.path) {
                Some(newest) => newest.earlier.push(one),
                None => open.push(one),
            }
        }
        Ok(open)
    }

    /// How many paths are in conflict.
    pub fn conflict_count(&self, workspace: i64) -> Result<u64> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT count(DISTINCT path) FROM conflict WHERE workspace = ?1 AND resolved IS NULL",
            ),
        )?;
        let count = query.query_row([workspace], |row| row.get::<_, i64>(0));
        Ok(self.doing("read conflicts from", count)?.unsigned_abs())
    }

    /// Notes that conflicts were decided by the head of that number. Decided ones whose head is no
    /// longer kept are forgotten. Inside a transaction.
    pub fn close_conflicts(&self, workspace: i64, paths: &[Vec<u8>], number: i64) -> Result<()> {
        let mut close = self.doing(
            "write",
            self.connection().prepare_cached(
                "UPDATE conflict SET resolved = ?3 WHERE workspace = ?1 AND path = ?2 AND resolved IS NULL",
            ),
        )?;
        for path in paths {
            let done = close.execute((workspace, path, number));
            self.doing("close a conflict in", done)?;
        }
        let done = self.connection().execute(
            "DELETE FROM conflict WHERE resolved IS NOT NULL AND resolved NOT IN (SELECT id FROM head)",
            [],
        );
        self.doing("forget conflicts in", done).map(drop)
    }

    /// Opens conflicts again that were decided after the head of that number. Inside a transaction.
    pub fn open_conflicts(&self, workspace: i64, number: i64) -> Result<()> {
        let done = self.connection().execute(
            "UPDATE conflict SET resolved = NULL WHERE workspace = ?1 AND resolved > ?2",
            (workspace, number),
        );
        self.doing("open conflicts in", done).map(drop)
    }

    /// A version is kept as a tree of at most one entry.
    fn put_version(&self, entry: Option<&Entry>) -> Result<Digest> {
        let entries: Vec<Entry> = entry.cloned().into_iter().collect();
        self.put(&encode::encode_list(&entries)?)
    }

    fn version(&self, digest: &Digest) -> Result<Option<Entry>> {
        Ok(super::dir::read_dir(self, digest)?.pop())
    }
}
