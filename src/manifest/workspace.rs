//! Workspaces and every head they had.

use rusqlite::OptionalExtension;

use super::db::{Manifest, maybe_digest_at, now};
use crate::cas::Digest;
use crate::error::{Error, Result};

/// The workspace that follows the host directory.
pub const MAIN: &str = "main";

/// A named line of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    pub id: i64,
    pub name: String,
    /// The root it shows; `None` before the first take-in.
    pub head: Option<Digest>,
    /// The root of the host tree it last took over: the base of the next merge.
    pub host_base: Option<Digest>,
    /// The lower tree it is shown by.
    pub base: Option<i64>,
    /// The newest snapshot of its line.
    pub snapshot: Option<i64>,
    /// The workspace it was forked from.
    pub parent: Option<i64>,
    /// The root it left that one with: the base of their next merge.
    pub forked: Option<Digest>,
}

impl Manifest {
    pub fn workspace(&self, name: &str) -> Result<Option<Workspace>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id, name, head, host_base, base, snapshot, parent, forked
                 FROM workspace WHERE name = ?1",
            ),
        )?;
        let found = query
            .query_row([name], |row| {
                Ok(Workspace {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    head: maybe_digest_at(row, 2)?,
                    host_base: maybe_digest_at(row, 3)?,
                    base: row.get(4)?,
                    snapshot: row.get(5)?,
                    parent: row.get(6)?,
                    forked: maybe_digest_at(row, 7)?,
                })
            })
            .optional();
        self.doing("read a workspace from", found)
    }

    /// The workspace, or a refusal that names the ones there are.
    pub fn known_workspace(&self, name: &str) -> Result<Workspace> {
        self.workspace(name)?.ok_or_else(|| {
            let names = self.workspace_names().unwrap_or_default().join(", ");
            Error::failure(format!("there is no workspace `{name}` in this project"))
                .with_hint(format!("the workspaces are: {names}; a new one: vrift fork {name}"))
        })
    }

    pub fn workspace_names(&self) -> Result<Vec<String>> {
        let mut query =
            self.doing("read", self.connection().prepare_cached("SELECT name FROM workspace ORDER BY id"))?;
        let names = query.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        self.doing("read workspaces from", names)
    }

    /// Makes a workspace with nothing in it; there already is fine.
    pub fn create_workspace(&self, name: &str) -> Result<Workspace> {
        let done = self
            .connection()
            .execute("INSERT OR IGNORE INTO workspace(name, created) VALUES(?1, ?2)", (name, now()));
        self.doing("write a workspace to", done)?;
        self.known_workspace(name)
    }

    /// Records the host root that a workspace took over.
    pub fn set_host_base(&self, workspace: i64, root: &Digest) -> Result<()> {
        let done = self
            .connection()
            .execute("UPDATE workspace SET host_base = ?1 WHERE id = ?2", (root.as_bytes(), workspace));
        self.doing("write", done).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_workspace_is_refused_with_the_names_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        manifest.create_workspace(MAIN).unwrap();
        let error = manifest.known_workspace("mian").unwrap_err();
        assert_eq!(error.hint().unwrap(), "the workspaces are: main; a new one: vrift fork mian");
    }
}
