//! Workspaces and every head they had.

use rusqlite::OptionalExtension;

use super::db::{Manifest, maybe_digest_at, now};
use crate::cas::Digest;
use crate::error::{Error, Kind, Result};

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
}

/// Why a head moved; kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Sync,
    Run,
}

impl Cause {
    fn text(self) -> &'static str {
        match self {
            Cause::Sync => "sync",
            Cause::Run => "run",
        }
    }
}

impl Manifest {
    pub fn workspace(&self, name: &str) -> Result<Option<Workspace>> {
        let mut query = self.doing(
            "read",
            self.connection()
                .prepare_cached("SELECT id, name, head, host_base, base FROM workspace WHERE name = ?1"),
        )?;
        let found = query
            .query_row([name], |row| {
                Ok(Workspace {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    head: maybe_digest_at(row, 2)?,
                    host_base: maybe_digest_at(row, 3)?,
                    base: row.get(4)?,
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
                .with_hint(format!("the workspaces are: {names}"))
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

    /// Moves a workspace's head; the new one is kept in its history. Fails with
    /// `Kind::Busy` when the head is no longer `from`. Inside a transaction.
    pub fn move_head(
        &self,
        workspace: i64,
        from: Option<&Digest>,
        to: &Digest,
        cause: Cause,
        run: Option<i64>,
    ) -> Result<()> {
        let changed = self.connection().execute(
            "UPDATE workspace SET head = ?1 WHERE id = ?2 AND head IS ?3",
            (to.as_bytes(), workspace, from.map(Digest::as_bytes)),
        );
        if self.doing("move a head in", changed)? != 1 {
            return Err(Error::new(Kind::Busy, "the workspace's head moved meanwhile"));
        }
        if from == Some(to) {
            return Ok(());
        }
        let done = self.connection().execute(
            "INSERT INTO head(workspace, root, cause, run, at) VALUES(?1, ?2, ?3, ?4, ?5)",
            (workspace, to.as_bytes(), cause.text(), run, now()),
        );
        self.doing("record a head in", done).map(drop)
    }

    /// Records the host root that a workspace took over.
    pub fn set_host_base(&self, workspace: i64, root: &Digest) -> Result<()> {
        let done = self
            .connection()
            .execute("UPDATE workspace SET host_base = ?1 WHERE id = ?2", (root.as_bytes(), workspace));
        self.doing("write", done).map(drop)
    }

    /// Every head a workspace had, oldest first.
    pub fn heads(&self, workspace: i64) -> Result<Vec<Digest>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached("SELECT root FROM head WHERE workspace = ?1 ORDER BY id"),
        )?;
        let heads =
            query.query_map([workspace], |row| super::db::digest_at(row, 0)).and_then(Iterator::collect);
        self.doing("read heads from", heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_moves_only_from_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let id = manifest.create_workspace(MAIN).unwrap().id;
        assert_eq!(manifest.create_workspace(MAIN).unwrap().id, id);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        manifest.move_head(id, None, &a, Cause::Sync, None).unwrap();
        assert_eq!(manifest.move_head(id, None, &b, Cause::Run, None).unwrap_err().kind(), Kind::Busy);
        manifest.move_head(id, Some(&a), &b, Cause::Run, Some(1)).unwrap();
        manifest.move_head(id, Some(&b), &b, Cause::Run, Some(2)).unwrap();
        assert_eq!(manifest.heads(id).unwrap(), [a, b]);
        assert_eq!(manifest.workspace(MAIN).unwrap().unwrap().head, Some(b));
    }

    #[test]
    fn an_unknown_workspace_is_refused_with_the_names_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        manifest.create_workspace(MAIN).unwrap();
        let error = manifest.known_workspace("mian").unwrap_err();
        assert!(error.hint().unwrap().contains("main"));
    }
}
