//! What keeps trees and objects alive: the roots that some row names; and which old heads
//! are kept (design: 14 days or 50 runs, whichever is more, and a bound in bytes).

use std::collections::HashSet;

use super::db::{Manifest, digest_at, now};
use crate::cas::Digest;
use crate::error::Result;

/// Heads younger than this many seconds are kept.
pub(super) const YOUNG: i64 = 14 * 24 * 3600;
/// This many of a workspace's newest heads are kept.
pub(super) const NEWEST: usize = 50;
/// Of a workspace's heads these are kept whatever they hold: the present one, and the one
/// that `undo` goes back to.
pub const ALWAYS: usize = 2;

/// Where digests of trees and roots stand that nothing else need name. Old heads are not
/// among them. `meta` rows are those of checkpoints (session/checkpoint.rs) and of an open
/// apply (session/apply).
pub(super) const NAMED: &[&str] = &[
    "SELECT head FROM workspace WHERE head IS NOT NULL",
    "SELECT host_base FROM workspace WHERE host_base IS NOT NULL",
    "SELECT forked FROM workspace WHERE forked IS NOT NULL",
    "SELECT host_base FROM head h WHERE host_base IS NOT NULL AND
     (SELECT count(*) FROM head newer WHERE newer.workspace = h.workspace AND newer.id > h.id) < 2",
    "SELECT root FROM snapshot",
    "SELECT root FROM base WHERE root IS NOT NULL",
    "SELECT target FROM base WHERE target IS NOT NULL",
    "SELECT under FROM layer",
    "SELECT root FROM layer",
    "SELECT root FROM merged",
    "SELECT from_root FROM pending",
    "SELECT to_root FROM pending",
    "SELECT base FROM conflict WHERE base IS NOT NULL",
    "SELECT ours FROM conflict",
    "SELECT theirs FROM conflict",
    "SELECT tree FROM host_stamp",
    "SELECT value FROM meta WHERE key LIKE 'tier1:%'",
    "SELECT value FROM meta WHERE key GLOB 'checkpoint/*' AND length(value) = 32",
    "SELECT value FROM meta WHERE key GLOB 'apply/*' AND length(value) = 32",
];

/// A head that is not a workspace's present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldHead {
    pub number: i64,
    pub root: Digest,
    /// Neither young nor among the newest.
    pub expired: bool,
    /// One of those kept whatever they hold.
    pub always: bool,
}

impl Manifest {
    /// Every tree and root that a row names, but for old heads.
    pub fn named_roots(&self) -> Result<HashSet<Digest>> {
        let mut roots = HashSet::new();
        for query in NAMED {
            let mut query = self.doing("read", self.connection().prepare_cached(query))?;
            let rows = query.query_map([], |row| digest_at(row, 0));
            let rows = rows.and_then(|rows| rows.collect::<rusqlite::Result<Vec<_>>>());
            roots.extend(self.doing("read roots from", rows)?);
        }
        Ok(roots)
    }

    /// The old heads of all workspaces, newest first.
    pub fn old_heads(&self) -> Result<Vec<OldHead>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id, root, at, row_number() OVER (PARTITION BY workspace ORDER BY id DESC)
                 FROM head ORDER BY id DESC",
            ),
        )?;
        let young = now() - YOUNG;
        let rows = query.query_map([], |row| {
            let (at, place): (i64, usize) = (row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs() as usize);
            let expired = at < young && place > NEWEST;
            let head =
                OldHead { number: row.get(0)?, root: digest_at(row, 1)?, expired, always: place <= ALWAYS };
            Ok((place, head))
        });
        let rows = rows.and_then(|rows| rows.collect::<rusqlite::Result<Vec<_>>>());
        let rows = self.doing("read heads from", rows)?;
        Ok(rows.into_iter().filter(|(place, _)| *place > 1).map(|(_, head)| head).collect())
    }

    /// Forgets old heads, in one transaction.
    pub fn drop_heads(&self, numbers: &[i64]) -> Result<()> {
        self.transaction(|manifest| manifest.forget_heads(numbers))
    }

    /// The same, inside a transaction.
    pub fn forget_heads(&self, numbers: &[i64]) -> Result<()> {
        let delete = self.connection().prepare_cached("DELETE FROM head WHERE id = ?1");
        let mut delete = self.doing("prepare", delete)?;
        numbers
            .iter()
            .try_for_each(|number| self.doing("forget a head in", delete.execute([number])).map(drop))
    }

    /// Forgets workspaces that were deleted as long ago as old heads are kept.
    pub fn drop_deleted_workspaces(&self) -> Result<()> {
        let done = self.connection().execute("DELETE FROM workspace WHERE deleted < ?1", [now() - YOUNG]);
        self.doing("remove workspaces from", done).map(drop)
    }

    /// A number that changes when another connection has committed (`PRAGMA data_version`).
    pub fn data_version(&self) -> Result<i64> {
        let version = self.connection().query_row("PRAGMA data_version", [], |row| row.get(0));
        self.doing("read", version)
    }

    /// The digests of all tree bodies.
    pub fn trees(&self) -> Result<Vec<Digest>> {
        let mut query = self.doing("read", self.connection().prepare_cached("SELECT digest FROM tree"))?;
        let rows = query.query_map([], |row| digest_at(row, 0)).and_then(Iterator::collect);
        self.doing("read trees from", rows)
    }

    /// Removes tree bodies. Inside a transaction; nobody may be publishing.
    pub fn drop_trees(&self, digests: &[Digest]) -> Result<()> {
        let delete = self.connection().prepare_cached("DELETE FROM tree WHERE digest = ?1");
        let mut delete = self.doing("prepare", delete)?;
        digests.iter().try_for_each(|digest| {
            self.doing("remove a tree from", delete.execute([digest.as_bytes()])).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::history::Cause;
    use crate::manifest::workspace::MAIN;

    /// A column that holds a digest and is not asked would let gc take what it names.
    #[test]
    fn every_column_of_bytes_is_asked_or_known_not_to_name_a_tree() {
        const NO_TREE: &[&str] = &[
            "meta.value",
            "tree.digest",
            "tree.body",
            "head.root",
            "conflict.path",
            "run.argv",
            "run.cwd",
            "run.output", // an object: Manifest::outputs
            "host_stamp.dir",
            "host_stamp.body",
        ];
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let query = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
                     WHERE t.type = 'table' AND c.type = 'BLOB'";
        let mut query = manifest.connection().prepare(query).unwrap();
        let columns = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        for (table, column) in columns.map(|row: rusqlite::Result<(String, String)>| row.unwrap()) {
            let asked = NAMED.iter().any(|named| named.starts_with(&format!("SELECT {column} FROM {table}")));
            let known = NO_TREE.contains(&format!("{table}.{column}").as_str());
            assert!(asked || known, "{table}.{column}: does it name a tree?");
        }
    }

    #[test]
    fn old_heads_expire_by_age_and_number_together() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let id = manifest.create_workspace(MAIN).unwrap().id;
        let mut before = None;
        for n in 0..60u8 {
            let root = Digest::of(&[n]);
            manifest.move_head(id, before.as_ref(), &root, Cause::Run).unwrap();
            before = Some(root);
        }
        let heads = manifest.old_heads().unwrap();
        assert_eq!((heads.len(), heads[0].root), (59, Digest::of(&[58])));
        assert!(heads[0].always && !heads[1].always);
        assert!(heads.iter().all(|head| !head.expired), "all are young");
        manifest.connection().execute("UPDATE head SET at = at - ?1", [YOUNG + 60]).unwrap();
        let heads = manifest.old_heads().unwrap();
        let expired: Vec<i64> = heads.iter().filter(|head| head.expired).map(|head| head.number).collect();
        assert_eq!(expired, (1..=10).rev().collect::<Vec<_>>());
        manifest.drop_heads(&expired).unwrap();
        assert_eq!(manifest.heads(id).unwrap().len(), 50);
        assert_eq!(manifest.named_roots().unwrap(), HashSet::from([Digest::of(&[59])]));
    }
}
