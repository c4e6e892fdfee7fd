//! Lower trees and the work that is left to do on them.
//!
//! A base's `root` is what it shows. While it is being brought to another root that
//! one is its `target`, recorded before the first change, so that whoever comes after
//! a kill finishes it (rule 12). `root` NULL: never rendered whole.

use rusqlite::OptionalExtension;

use super::db::{Manifest, digest_at, maybe_digest_at};
use crate::cas::Digest;
use crate::error::{Error, Result, quoted};

/// The projection whose files are objects.
const LINKING: [&str; 2] = ["hardlink", "hardlink-tier1"];
/// There once such a base was made.
const LINKED: &str = "linked";

/// One lower tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its directory is `base/<id>`; a number is never used twice (rule 14).
    pub id: i64,
    pub projection: String,
    pub root: Option<Digest>,
    pub target: Option<Digest>,
    /// Counts the changes of what it shows.
    pub generation: i64,
    /// How many names it shows; `None`: not counted.
    pub names: Option<i64>,
}

/// A take-in that has committed: its staging is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: i64,
    /// The session's directory below `staging/`.
    pub staging: String,
    pub from: Digest,
    pub to: Digest,
    /// The layer that its upper is to become; `None`: it is folded.
    pub layer: Option<i64>,
}

/// A session's directory below `staging/` has such a name, and nothing else does.
pub fn is_session_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Manifest {
    pub fn base(&self, id: i64) -> Result<Option<Base>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id, projection, root, target, generation, names FROM base WHERE id = ?1",
            ),
        )?;
        let base = query
            .query_row([id], |row| {
                Ok(Base {
                    id: row.get(0)?,
                    projection: row.get(1)?,
                    root: maybe_digest_at(row, 2)?,
                    target: maybe_digest_at(row, 3)?,
                    generation: row.get(4)?,
                    names: row.get(5)?,
                })
            })
            .optional();
        self.doing("read a base from", base)
    }

    /// Whether any base has this projection.
    pub fn has_projection(&self, projection: &str) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM base WHERE projection = ?1)";
        let found = self.connection().query_row(query, [projection], |row| row.get(0));
        self.doing("read bases from", found)
    }

    /// A new base, not rendered yet, that no workspace has.
    pub fn add_base(&self, projection: &str) -> Result<i64> {
        let done = self.connection().execute("INSERT INTO base(projection) VALUES(?1)", [projection]);
        self.doing("write a base to", done)?;
        let id = self.connection().last_insert_rowid();
        if LINKING.contains(&projection) {
            self.set_meta(LINKED, b"1")?;
        }
        Ok(id)
    }

    /// Whether a base has ever linked objects, which have kept the modes of its files.
    pub fn has_linked(&self) -> Result<bool> {
        Ok(self.meta(LINKED)?.is_some())
    }

    /// A new base for a workspace. Inside a transaction.
    pub fn create_base(&self, workspace: i64, projection: &str) -> Result<i64> {
        let id = self.add_base(projection)?;
        self.set_stack(workspace, Some(id), None)?;
        Ok(id)
    }

    /// Records what a base is about to be brought to.
    pub fn set_base_target(&self, id: i64, target: &Digest) -> Result<()> {
        let done =
            self.connection().execute("UPDATE base SET target = ?1 WHERE id = ?2", (target.as_bytes(), id));
        self.doing("write a base to", done).map(drop)
    }

    /// Records that what a base shows is not known: it is rendered anew, at the root that
    /// the layers over it were made for.
    pub fn distrust_base(&self, id: i64) -> Result<()> {
        let done = self
            .connection()
            .execute("UPDATE base SET target = coalesce(target, root), root = NULL WHERE id = ?1", [id]);
        self.doing("write a base to", done).map(drop)
    }

    /// Records that a base shows its target, and how many names that are.
    pub fn base_reached(&self, id: i64, root: &Digest, names: Option<i64>) -> Result<()> {
        let done = self.connection().execute(
            "UPDATE base SET root = ?1, target = NULL, generation = generation + 1, names = ?3 WHERE id = ?2",
            (root.as_bytes(), id, names),
        );
        self.doing("write a base to", done).map(drop)
    }

    pub fn set_base_names(&self, id: i64, names: i64) -> Result<()> {
        let done = self.connection().execute("UPDATE base SET names = ?2 WHERE id = ?1", (id, names));
        self.doing("write a base to", done).map(drop)
    }

    pub fn add_pending(
        &self,
        workspace: i64,
        staging: &str,
        (from, to): (&Digest, &Digest),
        layer: Option<i64>,
    ) -> Result<i64> {
        let done = self.connection().execute(
            "INSERT INTO pending(workspace, staging, from_root, to_root, layer) VALUES(?1, ?2, ?3, ?4, ?5)",
            (workspace, staging, from.as_bytes(), to.as_bytes(), layer),
        );
        self.doing("write to", done)?;
        Ok(self.connection().last_insert_rowid())
    }

    pub fn pending(&self, workspace: i64) -> Result<Vec<Pending>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id, staging, from_root, to_root, layer FROM pending WHERE workspace = ?1 ORDER BY id",
            ),
        )?;
        let rows = query
            .query_map([workspace], |row| {
                Ok(Pending {
                    id: row.get(0)?,
                    staging: row.get(1)?,
                    from: digest_at(row, 2)?,
                    to: digest_at(row, 3)?,
                    layer: row.get(4)?,
                })
            })
            .and_then(Iterator::collect);
        let rows: Vec<Pending> = self.doing("read pending work from", rows)?;
        match rows.iter().all(|row| is_session_name(&row.staging)) {
            true => Ok(rows),
            false => Err(Error::corrupt(format!(
                "the manifest {} names staging that is none",
                quoted(self.path().as_os_str())
            ))),
        }
    }

    pub fn remove_pending(&self, id: i64) -> Result<()> {
        let done = self.connection().execute("DELETE FROM pending WHERE id = ?1", [id]);
        self.doing("write to", done).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_recorded_before_and_after_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let workspace = manifest.create_workspace("main").unwrap().id;
        let id = manifest.create_base(workspace, "stub").unwrap();
        let target = Digest::of(b"root");
        manifest.set_base_target(id, &target).unwrap();
        let base = manifest.base(id).unwrap().unwrap();
        assert_eq!((base.root, base.target), (None, Some(target)));
        manifest.base_reached(id, &target, Some(3)).unwrap();
        let base = manifest.base(id).unwrap().unwrap();
        assert_eq!((base.root, base.target, base.generation), (Some(target), None, 1));
        assert_eq!(manifest.workspace("main").unwrap().unwrap().base, Some(id));
    }

    #[test]
    fn pending_work_is_listed_in_order_until_removed() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let workspace = manifest.create_workspace("main").unwrap().id;
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let first = manifest.add_pending(workspace, "s1", (&a, &b), None).unwrap();
        manifest.add_pending(workspace, "s2", (&b, &a), None).unwrap();
        manifest.remove_pending(first).unwrap();
        let left = manifest.pending(workspace).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].staging.as_str(), left[0].from), ("s2", b));
    }
}
