//! What a power cut or a failing disk took from a manifest: heads go back to what is whole,
//! and what was shown is made anew.

use super::base::Base;
use super::db::{Manifest, digest_at, maybe_digest_at};
use super::history::Cause;
use super::stack::Layer;
use crate::cas::Digest;
use crate::error::Result;

/// A head with what the host was when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The N of `@N`.
    pub number: i64,
    pub root: Digest,
    /// The base of the next merge with the host.
    pub host_base: Option<Digest>,
    /// Seconds since the epoch.
    pub at: i64,
}

impl Manifest {
    /// Every head of a workspace, newest first.
    pub fn past(&self, workspace: i64) -> Result<Vec<Past>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id, root, host_base, at FROM head WHERE workspace = ?1 ORDER BY id DESC",
            ),
        )?;
        let heads = query
            .query_map([workspace], |row| {
                let (root, host_base) = (digest_at(row, 1)?, maybe_digest_at(row, 2)?);
                Ok(Past { number: row.get(0)?, root, host_base, at: row.get(3)? })
            })
            .and_then(Iterator::collect);
        self.doing("read heads from", heads)
    }

    /// Lets a workspace go back to a head it had, or to nothing, with the host base it had
    /// then. Inside a transaction.
    pub fn go_back(
        &self,
        workspace: i64,
        to: Option<&Past>,
        host_base: Option<&Digest>,
        cause: Cause,
    ) -> Result<()> {
        self.put_host_base_back(workspace, host_base)?;
        let from = self.workspace_by_id(workspace)?.head;
        match to {
            Some(to) => {
                self.move_head_back(workspace, from.as_ref(), &to.root, cause, Some(to.number)).map(drop)?
            }
            None => {
                let done =
                    self.connection().execute("UPDATE workspace SET head = NULL WHERE id = ?1", [workspace]);
                self.doing("write a workspace to", done).map(drop)?;
            }
        }
        // what was merged after it is to be merged again
        let kept = to.map_or(0, |past| past.number);
        let done = self
            .connection()
            .execute("DELETE FROM merged WHERE workspace = ?1 AND head > ?2", (workspace, kept));
        self.doing("write a workspace to", done).map(drop)
    }

    /// What the next merge with the host begins from.
    pub fn put_host_base_back(&self, workspace: i64, root: Option<&Digest>) -> Result<()> {
        let done = self.connection().execute(
            "UPDATE workspace SET host_base = ?2 WHERE id = ?1",
            (workspace, root.map(Digest::as_bytes)),
        );
        self.doing("write a workspace to", done).map(drop)
    }

    /// Where a fork left its parent, when that is not whole: where the parent is now.
    pub fn set_forked(&self, workspace: i64, root: Option<&Digest>) -> Result<()> {
        let done = self.connection().execute(
            "UPDATE workspace SET forked = ?2 WHERE id = ?1",
            (workspace, root.map(Digest::as_bytes)),
        );
        self.doing("write a workspace to", done).map(drop)
    }

    /// Forgets what the host's files were: they are read again.
    pub fn forget_stamps(&self) -> Result<()> {
        let done = self.connection().execute("DELETE FROM host_stamp", []);
        self.doing("write to", done).map(drop)
    }

    /// Conflicts that name a version which is not whole: number and versions.
    pub fn conflict_versions(&self) -> Result<Vec<(i64, Vec<Digest>)>> {
        let mut query = self
            .doing("read", self.connection().prepare_cached("SELECT id, ours, theirs, base FROM conflict"))?;
        let rows = query
            .query_map([], |row| {
                let versions = [Some(digest_at(row, 1)?), Some(digest_at(row, 2)?), maybe_digest_at(row, 3)?];
                Ok((row.get(0)?, versions.into_iter().flatten().collect()))
            })
            .and_then(Iterator::collect);
        self.doing("read conflicts from", rows)
    }

    pub fn remove_conflict(&self, id: i64) -> Result<()> {
        let done = self.connection().execute("DELETE FROM conflict WHERE id = ?1", [id]);
        self.doing("write to", done).map(drop)
    }

    /// Roots of checkpoints of live sessions, with their keys.
    pub fn checkpoints(&self) -> Result<Vec<(String, Digest)>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT key, value FROM meta WHERE key GLOB 'checkpoint/*' AND length(value) = 32",
            ),
        )?;
        let rows =
            query.query_map([], |row| Ok((row.get(0)?, digest_at(row, 1)?))).and_then(Iterator::collect);
        self.doing("read", rows)
    }

    /// Lets all that is shown by these bases, or by these layers, be made anew: workspaces
    /// that shared a base share the new one. The rows go. Inside a transaction.
    pub fn replace_lowers(&self, bases: &[Base], layers: &[Layer]) -> Result<()> {
        let connection = self.connection();
        for base in bases {
            let count = self.sharers(base.id)?;
            let new = if count > 0 { Some(self.add_base(&base.projection)?) } else { None };
            let done = connection
                .execute("UPDATE workspace SET base = ?2, layer = NULL WHERE base = ?1", (base.id, new));
            self.doing("write a workspace to", done)?;
        }
        // from the bottom up: each takes what lies on it along
        for layer in layers {
            let done = connection.execute(
                "WITH RECURSIVE over(id) AS (SELECT ?1 UNION SELECT layer.id FROM layer JOIN over ON below = over.id)
                 UPDATE workspace SET layer = ?2 WHERE layer IN over",
                (layer.id, layer.below),
            );
            self.doing("write a workspace to", done)?;
        }
        for layer in layers.iter().rev() {
            let done = connection.execute("UPDATE pending SET layer = NULL WHERE layer = ?1", [layer.id]);
            self.doing("write to", done)?;
            self.remove_layer(layer.id)?;
        }
        bases.iter().try_for_each(|base| self.remove_base(base.id))
    }
}
