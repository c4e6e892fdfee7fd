//! What a workspace is shown by: a base, and the layers over it.
//!
//! A layer lies over another one or over the base itself, and never changes; so
//! workspaces share layers as they share a base, and a fork copies two numbers. Its
//! `root` is what base and layers show up to it (rule 10). A workspace that has its base
//! alone has no layers. Numbers are never used twice (rule 14), and a layer's is above
//! those of all that it lies on.

use rusqlite::OptionalExtension;

use super::base::Base;
use super::db::{Manifest, digest_at};
use crate::cas::Digest;
use crate::error::{Error, Result};

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its directory is `layers/<id>`.
    pub id: i64,
    pub base: i64,
    /// The layer it lies on; `None`: the base.
    pub below: Option<i64>,
    /// What is shown below it.
    pub under: Digest,
    /// What base and layers up to this one show.
    pub root: Digest,
    /// How many names it has.
    pub names: i64,
    /// Bytes of it that the store holds a second time; at most that many.
    pub bytes: i64,
}

const COLUMNS: &str = "id, base, below, under, root, names, bytes";

impl Manifest {
    /// A layer for what is going to be there; no workspace has it.
    pub fn add_layer(&self, (base, below): (i64, Option<i64>), under: &Digest, root: &Digest) -> Result<i64> {
        let done = self.connection().execute(
            "INSERT INTO layer(base, below, under, root) VALUES(?1, ?2, ?3, ?4)",
            (base, below, under.as_bytes(), root.as_bytes()),
        );
        self.doing("write a layer to", done)?;
        Ok(self.connection().last_insert_rowid())
    }

    pub fn layer(&self, id: i64) -> Result<Option<Layer>> {
        let query = format!("SELECT {COLUMNS} FROM layer WHERE id = ?1");
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let layer = query.query_row([id], row_of).optional();
        self.doing("read a layer from", layer)
    }

    /// A layer and those it lies on, the topmost first.
    pub fn layers(&self, top: Option<i64>) -> Result<Vec<Layer>> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut next = top;
        while let Some(id) = next {
            let missing = || Error::corrupt(format!("layer {id} is missing from the manifest"));
            let layer = self.layer(id)?.ok_or_else(missing)?;
            // a manifest that says otherwise must not hang us
            if layer.below.is_some_and(|below| below >= id) {
                return Err(Error::corrupt(format!("layer {id} lies on one that is not older")));
            }
            next = layer.below;
            layers.push(layer);
        }
        Ok(layers)
    }

    /// Records how much is in a layer.
    pub fn set_layer_size(&self, id: i64, names: i64, bytes: i64) -> Result<()> {
        let done = self
            .connection()
            .execute("UPDATE layer SET names = ?2, bytes = ?3 WHERE id = ?1", (id, names, bytes));
        self.doing("write a layer to", done).map(drop)
    }

    /// What a workspace is shown by from now on.
    pub fn set_stack(&self, workspace: i64, base: Option<i64>, layer: Option<i64>) -> Result<()> {
        let done = self
            .connection()
            .execute("UPDATE workspace SET base = ?2, layer = ?3 WHERE id = ?1", (workspace, base, layer));
        self.doing("write a workspace to", done).map(drop)
    }

    /// Takes the layers of all workspaces that a base shows: it shows what they did.
    pub fn drop_layers_over(&self, base: i64) -> Result<()> {
        let done = self.connection().execute("UPDATE workspace SET layer = NULL WHERE base = ?1", [base]);
        self.doing("write a workspace to", done).map(drop)
    }

    /// How many workspaces a base shows. One that several share is never changed.
    pub fn sharers(&self, base: i64) -> Result<i64> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached("SELECT count(*) FROM workspace WHERE base = ?1"),
        )?;
        let count = query.query_row([base], |row| row.get(0));
        self.doing("read workspaces from", count)
    }

    /// Layers that belong to no workspace and no take-in any more, the topmost first.
    pub fn unused_layers(&self) -> Result<Vec<Layer>> {
        let query = format!(
            "WITH RECURSIVE used(id) AS (
                SELECT layer FROM workspace WHERE layer IS NOT NULL
                UNION SELECT layer FROM pending WHERE layer IS NOT NULL
                UNION SELECT below FROM layer JOIN used USING(id) WHERE below IS NOT NULL)
             SELECT {COLUMNS} FROM layer WHERE id NOT IN used ORDER BY id DESC"
        );
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let layers = query.query_map([], row_of).and_then(Iterator::collect);
        self.doing("read layers from", layers)
    }

    /// Bases that belong to no workspace and no layer any more. Of those that show what a
    /// snapshot, or a directory declared not to change, has, the newest is kept.
    pub fn unused_bases(&self) -> Result<Vec<Base>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id FROM base WHERE id NOT IN (SELECT base FROM workspace WHERE base IS NOT NULL)
                 AND id NOT IN (SELECT base FROM layer)
                 AND (root IS NULL OR root NOT IN (SELECT root FROM snapshot UNION
                    SELECT value FROM meta WHERE key LIKE 'tier1:%')
                    OR id NOT IN (SELECT max(id) FROM base WHERE root IS NOT NULL AND target IS NULL
                    AND id NOT IN (SELECT base FROM workspace WHERE base IS NOT NULL)
                    AND id NOT IN (SELECT base FROM layer) GROUP BY root))",
            ),
        )?;
        let ids = query.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        let ids: Vec<i64> = self.doing("read bases from", ids)?;
        let bases: Result<Vec<Option<Base>>> = ids.into_iter().map(|id| self.base(id)).collect();
        Ok(bases?.into_iter().flatten().collect())
    }

    /// The newest whole base that shows this root and that no workspace is shown by: a snapshot's.
    pub fn base_of_snapshot(&self, root: &Digest, not: &str) -> Result<Option<Base>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id FROM base WHERE root = ?1 AND target IS NULL AND projection <> ?2
                 AND id NOT IN (SELECT base FROM workspace WHERE base IS NOT NULL)
                 AND id NOT IN (SELECT base FROM layer) ORDER BY id DESC LIMIT 1",
            ),
        )?;
        let id = query.query_row((root.as_bytes(), not), |row| row.get(0)).optional();
        let id: Option<i64> = self.doing("read bases from", id)?;
        id.map_or(Ok(None), |id| self.base(id))
    }

    /// How many bases and layers there are.
    pub fn count_lowers(&self) -> Result<u64> {
        let query = "SELECT (SELECT count(*) FROM base) + (SELECT count(*) FROM layer)";
        let count = self.connection().query_row(query, [], |row| row.get::<_, i64>(0));
        self.doing("read", count).map(i64::unsigned_abs)
    }

    /// Whether another layer lies on this one.
    pub fn has_layer_over(&self, id: i64) -> Result<bool> {
        let over = self.connection().query_row(
            "SELECT EXISTS (SELECT 1 FROM layer WHERE below = ?1)",
            [id],
            |row| row.get(0),
        );
        self.doing("read layers from", over)
    }

    pub fn remove_layer(&self, id: i64) -> Result<()> {
        let done = self.connection().execute("DELETE FROM layer WHERE id = ?1", [id]);
        self.doing("remove a layer from", done).map(drop)
    }

    pub fn remove_base(&self, id: i64) -> Result<()> {
        let done = self.connection().execute("DELETE FROM base WHERE id = ?1", [id]);
        self.doing("remove a base from", done).map(drop)
    }
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Layer> {
    Ok(Layer {
        id: row.get(0)?,
        base: row.get(1)?,
        below: row.get(2)?,
        under: digest_at(row, 3)?,
        root: digest_at(row, 4)?,
        names: row.get(5)?,
        bytes: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_is_shown_by_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let workspace = manifest.create_workspace("main").unwrap().id;
        let root = Digest::of(b"root");
        let base = manifest.create_base(workspace, "stub").unwrap();
        let lower = manifest.add_layer((base, None), &root, &root).unwrap();
        let upper = manifest.add_layer((base, Some(lower)), &root, &root).unwrap();
        let stray = manifest.add_layer((base, Some(lower)), &root, &root).unwrap();
        manifest.set_stack(workspace, Some(base), Some(upper)).unwrap();
        let unused = |manifest: &Manifest| -> Vec<i64> {
            manifest.unused_layers().unwrap().into_iter().map(|layer| layer.id).collect()
        };
        assert_eq!(unused(&manifest), [stray]);
        let ids: Vec<_> = manifest.layers(Some(upper)).unwrap().iter().map(|layer| layer.id).collect();
        assert_eq!(ids, [upper, lower]);
        manifest.add_pending(workspace, "s", (&root, &root), Some(stray)).unwrap();
        assert_eq!(unused(&manifest), [] as [i64; 0]);
        let own = manifest.create_base(workspace, "stub").unwrap();
        assert_eq!(unused(&manifest), [upper]);
        manifest.remove_layer(upper).unwrap();
        assert!(manifest.unused_bases().unwrap().is_empty(), "a pending take-in's layer needs it");
        assert_eq!((manifest.sharers(base).unwrap(), manifest.sharers(own).unwrap()), (0, 1));
    }
}
