//! Workspaces and every head they had.

use rusqlite::OptionalExtension;

use super::db::{Manifest, maybe_digest_at, now};
use super::history::Cause;
use crate::cas::Digest;
use crate::error::{Error, Result, quoted};

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
    /// The topmost layer over that.
    pub layer: Option<i64>,
    /// The newest snapshot of its line.
    pub snapshot: Option<i64>,
    /// The workspace it was forked from.
    pub parent: Option<i64>,
    /// The root it left that one with: the base of their first merge.
    pub forked: Option<Digest>,
    /// Seconds since the epoch.
    pub created: i64,
    /// When it was deleted; its heads are kept as any others are.
    pub deleted: Option<i64>,
}

impl Workspace {
    /// It was made for one run.
    pub fn is_throw_away(&self) -> bool {
        self.name.contains('@')
    }
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Workspace> {
    Ok(Workspace {
        id: row.get(0)?,
        name: row.get(1)?,
        head: maybe_digest_at(row, 2)?,
        host_base: maybe_digest_at(row, 3)?,
        base: row.get(4)?,
        layer: row.get(5)?,
        snapshot: row.get(6)?,
        parent: row.get(7)?,
        forked: maybe_digest_at(row, 8)?,
        created: row.get(9)?,
        deleted: row.get(10)?,
    })
}

const COLUMNS: &str = "id, name, head, host_base, base, layer, snapshot, parent, forked, created, deleted";

/// Where the manifest keeps a workspace's small number.
fn index_key(workspace: i64) -> String {
    format!("index/{workspace}")
}

impl Manifest {
    /// A small number that no other workspace has, for ports and names: 0 is `main`'s. It stays
    /// the workspace's own until that is deleted.
    pub fn index_of(&self, (workspace, name): (i64, &str)) -> Result<u32> {
        if name == MAIN {
            return Ok(0);
        }
        let key = index_key(workspace);
        let value = match self.meta(&key)? {
            Some(value) => Ok(value),
            None => {
                // One statement, for starts pay for it; somebody else may have been quicker.
                let mut lowest = self.doing(
                    "write",
                    self.connection().prepare_cached(
                        "WITH taken(n) AS (
                             SELECT 0 UNION SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta
                             WHERE key GLOB 'index/*'
                         )
                         INSERT INTO meta(key, value)
                         SELECT ?1, CAST(CAST(min(n) + 1 AS TEXT) AS BLOB) FROM taken
                         WHERE n + 1 NOT IN (SELECT n FROM taken)
                         ON CONFLICT(key) DO UPDATE SET value = value RETURNING value",
                    ),
                )?;
                let value = lowest.query_row([&key], |row| row.get::<_, Vec<u8>>(0));
                self.doing("write", value)
            }
        }?;
        let broken = || Error::corrupt("the number of a workspace is none");
        String::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)
    }

    /// The workspace of that name; a deleted one has none.
    pub fn workspace(&self, name: &str) -> Result<Option<Workspace>> {
        self.one_workspace(
            &format!("SELECT {COLUMNS} FROM workspace WHERE name = ?1 AND deleted IS NULL"),
            name,
        )
    }

    /// The workspace of that number, deleted or not.
    pub fn workspace_by_id(&self, id: i64) -> Result<Workspace> {
        self.one_workspace(&format!("SELECT {COLUMNS} FROM workspace WHERE id = ?1"), id)?
            .ok_or_else(|| Error::failure(format!("workspace {id} is not in the manifest any more")))
    }

    /// The workspace, or a refusal that names the ones there are.
    pub fn known_workspace(&self, name: &str) -> Result<Workspace> {
        self.workspace(name)?.ok_or_else(|| {
            let names = self.workspace_names().unwrap_or_default().join(", ");
            Error::failure(format!("there is no workspace {} in this project", quoted(name.as_ref())))
                .with_hint(format!("the workspaces are: {names}; a new one: vrift fork {name}"))
        })
    }

    /// All workspaces but deleted ones, oldest first.
    pub fn workspaces(&self) -> Result<Vec<Workspace>> {
        let query = format!("SELECT {COLUMNS} FROM workspace WHERE deleted IS NULL ORDER BY id");
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let rows = query.query_map([], row_of).and_then(Iterator::collect);
        self.doing("read workspaces from", rows)
    }

    /// Deleted ones, too, oldest first.
    pub fn all_workspaces(&self) -> Result<Vec<Workspace>> {
        let query = format!("SELECT {COLUMNS} FROM workspace ORDER BY id");
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let rows = query.query_map([], row_of).and_then(Iterator::collect);
        self.doing("read workspaces from", rows)
    }

    /// The names of workspaces that a user made.
    pub fn workspace_names(&self) -> Result<Vec<String>> {
        let all = self.workspaces()?.into_iter();
        Ok(all.filter(|workspace| !workspace.is_throw_away()).map(|workspace| workspace.name).collect())
    }

    fn one_workspace(&self, query: &str, key: impl rusqlite::ToSql) -> Result<Option<Workspace>> {
        let mut query = self.doing("read", self.connection().prepare_cached(query))?;
        let found = query.query_row([key], row_of).optional();
        self.doing("read a workspace from", found)
    }

    /// Makes a workspace with nothing in it; there already is fine.
    pub fn create_workspace(&self, name: &str) -> Result<Workspace> {
        let done = self
            .connection()
            .execute("INSERT OR IGNORE INTO workspace(name, created) VALUES(?1, ?2)", (name, now()));
        self.doing("write a workspace to", done)?;
        self.known_workspace(name)
    }

    /// A workspace that begins at a root of another one, its parent, and shares what shows
    /// it. Without a name it is for one run. Inside a transaction.
    pub fn add_fork(
        &self,
        name: Option<&str>,
        parent: &Workspace,
        root: &Digest,
        snapshot: Option<i64>,
    ) -> Result<Workspace> {
        let done = self.connection().execute(
            "INSERT INTO workspace(name, host_base, base, layer, snapshot, parent, forked, created)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                name.unwrap_or("@"),
                parent.host_base.as_ref().map(Digest::as_bytes),
                parent.base,
                parent.layer,
                snapshot,
                parent.id,
                root.as_bytes(),
                now(),
            ),
        );
        self.doing("write a workspace to", done)?;
        let id = self.connection().last_insert_rowid();
        if name.is_none() {
            self.rename_workspace(id, &format!("{}@{id}", parent.name))?;
        }
        self.move_head(id, None, root, Cause::Fork)?;
        self.workspace_by_id(id)
    }

    /// Gives a workspace another name.
    pub fn rename_workspace(&self, id: i64, name: &str) -> Result<()> {
        let done = self.connection().execute("UPDATE workspace SET name = ?2 WHERE id = ?1", (id, name));
        self.doing("write a workspace to", done).map(drop)
    }

    /// Takes a workspace's name and stack away; its heads are kept. Inside a transaction.
    pub fn delete_workspace(&self, workspace: &Workspace) -> Result<()> {
        let done = self.connection().execute(
            "UPDATE workspace SET name = ?2, deleted = ?3, base = NULL, layer = NULL WHERE id = ?1",
            (workspace.id, format!("{}@{}", workspace.name, workspace.id), now()),
        );
        self.doing("delete a workspace in", done)?;
        self.remove_meta(&index_key(workspace.id))
    }

    /// The workspace that had a name last, if it was deleted.
    pub fn deleted_workspace(&self, name: &str) -> Result<Option<Workspace>> {
        let query = format!(
            "SELECT {COLUMNS} FROM workspace WHERE deleted IS NOT NULL AND name = ?1 || '@' || id
             ORDER BY deleted DESC, id DESC LIMIT 1"
        );
        self.one_workspace(&query, name)
    }

    /// Gives a deleted workspace its name back, and what shows `like`.
    pub fn revive_workspace(&self, id: i64, name: &str, like: &Workspace) -> Result<()> {
        let done = self
            .connection()
            .execute("UPDATE workspace SET name = ?2, deleted = NULL WHERE id = ?1", (id, name));
        self.doing("write a workspace to", done)?;
        self.set_stack(id, like.base, like.layer)
    }

    /// Removes a workspace with all its heads.
    pub fn purge_workspace(&self, id: i64) -> Result<()> {
        let done = self.connection().execute("DELETE FROM workspace WHERE id = ?1", [id]);
        self.doing("remove a workspace from", done)?;
        self.remove_meta(&index_key(id))
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
