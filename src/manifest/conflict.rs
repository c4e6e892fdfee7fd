//! Paths that both sides changed. The view shows one version; the other is kept here
//! until the conflict is resolved.

use super::db::{Manifest, digest_at, maybe_digest_at, now};
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
    /// The workspace's version; `None`: it deleted the path.
    pub ours: Option<Entry>,
    /// The other side's.
    pub theirs: Option<Entry>,
}

/// Path, the other side's name, and both versions' trees.
type Row = (Vec<u8>, String, (Digest, Option<Digest>));

impl Manifest {
    /// Keeps a conflict, replacing an older one of the same path. Inside a transaction.
    pub fn add_conflict(&self, workspace: i64, against: &str, conflict: &Conflict) -> Result<()> {
        let base = conflict.base.as_ref().map(|entry| self.put_version(Some(entry))).transpose()?;
        let ours = self.put_version(conflict.ours.as_ref())?;
        let theirs = self.put_version(conflict.theirs.as_ref())?;
        let done = self.connection().execute(
            "INSERT OR REPLACE INTO conflict(workspace, path, against, base, ours, theirs, at)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
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

    pub fn conflicts(&self, workspace: i64) -> Result<Vec<Open>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT path, against, ours, theirs FROM conflict WHERE workspace = ?1 ORDER BY path",
            ),
        )?;
        let rows = query
            .query_map([workspace], |row| {
                let versions = (digest_at(row, 2)?, maybe_digest_at(row, 3)?);
                Ok((row.get(0)?, row.get(1)?, versions))
            })
            .and_then(Iterator::collect);
        let rows: Vec<Row> = self.doing("read conflicts from", rows)?;
        rows.into_iter()
            .map(|(path, against, (ours, theirs))| {
                let ours = self.version(&ours)?;
                let theirs = theirs.map(|theirs| self.version(&theirs)).transpose()?.flatten();
                Ok(Open { path, against, ours, theirs })
            })
            .collect()
    }

    pub fn conflict_count(&self, workspace: i64) -> Result<u64> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached("SELECT count(*) FROM conflict WHERE workspace = ?1"),
        )?;
        let count = query.query_row([workspace], |row| row.get::<_, i64>(0));
        Ok(self.doing("read conflicts from", count)?.unsigned_abs())
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
