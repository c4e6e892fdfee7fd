//! The rows that name roots and trees, by what a user calls them.

use super::super::base::Base;
use super::super::db::{Manifest, digest_at};
use super::super::stack::Layer;
use crate::cas::Digest;
use crate::error::Result;

/// A root or tree that a row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As a user knows it: `workspace main`, `snapshot v1`, `@12`.
    pub label: String,
    pub digest: Digest,
    /// It is a root record; else a tree of any kind.
    pub is_root: bool,
    /// Only a cache names it: it can be made again. It is the listing of this directory.
    pub cached: Option<Vec<u8>>,
}

/// (label, digest) of roots.
const ROOTS: &[&str] = &[
    "SELECT 'workspace ' || name, head FROM workspace WHERE head IS NOT NULL",
    "SELECT 'snapshot ' || name, root FROM snapshot",
    "SELECT 'the host as workspace ' || name || ' took it over', host_base FROM workspace WHERE host_base IS NOT NULL",
    "SELECT 'the host as @' || id || ' had it', host_base FROM head h WHERE host_base IS NOT NULL AND
     (SELECT count(*) FROM head newer WHERE newer.workspace = h.workspace AND newer.id > h.id) < 2",
    "SELECT 'where workspace ' || name || ' was forked', forked FROM workspace WHERE forked IS NOT NULL",
    "SELECT 'base ' || id, root FROM base WHERE root IS NOT NULL",
    "SELECT 'base ' || id, target FROM base WHERE target IS NOT NULL",
    "SELECT 'below layer ' || id, under FROM layer",
    "SELECT 'layer ' || id, root FROM layer",
    "SELECT 'a merge of workspace ' || workspace, root FROM merged",
    "SELECT 'the start of ' || staging, from_root FROM pending",
    "SELECT 'the end of ' || staging, to_root FROM pending",
    "SELECT '@' || id, root FROM head ORDER BY id DESC",
    "SELECT key, value FROM meta WHERE key LIKE 'tier1:%'",
    "SELECT key, value FROM meta WHERE key GLOB 'checkpoint/*' AND length(value) = 32",
    "SELECT key, value FROM meta WHERE key GLOB 'apply/*' AND length(value) = 32",
];

/// The same of trees that are no roots.
const TREES: &[&str] = &[
    "SELECT 'a conflict at ' || CAST(path AS TEXT), base FROM conflict WHERE base IS NOT NULL",
    "SELECT 'a conflict at ' || CAST(path AS TEXT), ours FROM conflict",
    "SELECT 'a conflict at ' || CAST(path AS TEXT), theirs FROM conflict",
];

/// The same of a cache, by directory.
const CACHED: &[&str] = &["SELECT dir, tree FROM host_stamp"];

impl Manifest {
    /// Everything that rows name, what a user cares for most first.
    pub fn named(&self) -> Result<Vec<Named>> {
        let mut named = Vec::new();
        for (queries, is_root, is_cache) in
            [(ROOTS, true, false), (TREES, false, false), (CACHED, false, true)]
        {
            for query in queries {
                let mut query = self.doing("read", self.connection().prepare_cached(query))?;
                let rows = query.query_map([], |row| {
                    let bytes = row.get_ref(0)?.as_bytes()?;
                    let label = String::from_utf8_lossy(bytes);
                    let (label, cached) = match is_cache {
                        true => (format!("what sync saw of {label:?}"), Some(bytes.to_vec())),
                        false => (label.into_owned(), None),
                    };
                    Ok(Named { label, digest: digest_at(row, 1)?, is_root, cached })
                });
                let rows = rows.and_then(|rows| rows.collect::<rusqlite::Result<Vec<_>>>());
                named.extend(self.doing("read roots from", rows)?);
            }
        }
        Ok(named)
    }

    /// All lower trees, and all layers.
    pub fn lowers(&self) -> Result<(Vec<Base>, Vec<Layer>)> {
        let ids = |query: &str| -> Result<Vec<i64>> {
            let mut query = self.doing("read", self.connection().prepare_cached(query))?;
            let rows = query.query_map([], |row| row.get(0)).and_then(Iterator::collect);
            self.doing("read lower trees from", rows)
        };
        let bases = ids("SELECT id FROM base ORDER BY id")?.into_iter().map(|id| self.base(id));
        let layers = ids("SELECT id FROM layer ORDER BY id")?.into_iter().map(|id| self.layer(id));
        let bases = bases.filter_map(Result::transpose).collect::<Result<_>>()?;
        Ok((bases, layers.filter_map(Result::transpose).collect::<Result<_>>()?))
    }

    /// Forgets what sync saw of directories whose tree is not there: it is looked at again.
    pub fn drop_stamps_of_missing_trees(&self) -> Result<usize> {
        let done = self
            .connection()
            .execute("DELETE FROM host_stamp WHERE tree NOT IN (SELECT digest FROM tree)", []);
        self.doing("forget host stamps in", done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::keep::NAMED;

    /// What gc keeps is what is verified, and the heads.
    #[test]
    fn every_column_that_gc_asks_is_asked_here() {
        for kept in NAMED {
            let (column, rest) = kept.strip_prefix("SELECT ").unwrap().split_once(" FROM ").unwrap();
            let wanted = format!(", {column} FROM {rest}");
            let mut all = ROOTS.iter().chain(TREES).chain(CACHED);
            assert!(all.any(|query| query.ends_with(&wanted)), "{kept}");
        }
    }
}
