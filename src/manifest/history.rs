//! Every head a workspace had, by number.
//!
//! Heads and runs are numbered together: a run whose end moved the head has the head's
//! number. So `@N` is the head after run N, whether that run wrote anything or not: the
//! newest head of the workspace whose number is not above N.

use rusqlite::OptionalExtension;

use super::db::{Manifest, digest_at, now};
use crate::cas::Digest;
use crate::error::{Error, Kind, Result};

/// Why a head moved; kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Sync,
    Run,
    /// What a live session had written so far.
    Checkpoint,
    Restore,
    Undo,
    Fork,
    Merge,
    Resolve,
    /// Host edits that came in when changes were written to the host.
    Apply,
    /// The state before needs what is lost.
    Repair,
    /// What came later was not on the disk when the power was cut.
    PowerCut,
}

impl Cause {
    fn text(self) -> &'static str {
        match self {
            Cause::Sync => "sync",
            Cause::Run => "run",
            Cause::Checkpoint => "checkpoint",
            Cause::Restore => "restore",
            Cause::Undo => "undo",
            Cause::Fork => "fork",
            Cause::Merge => "merge",
            Cause::Resolve => "resolve",
            Cause::Apply => "apply",
            Cause::Repair => "repair",
            Cause::PowerCut => "power cut",
        }
    }
}

/// One head a workspace had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The N of `@N`.
    pub number: i64,
    pub root: Digest,
    /// Why it moved there, as [`Cause`] has it.
    pub cause: String,
    /// For an undo: the number of the head it went back to.
    pub back: Option<i64>,
    /// Seconds since the epoch.
    pub at: i64,
}

impl Head {
    /// Where it stands in the history: an undo where it went back to.
    pub fn place(&self) -> i64 {
        self.back.unwrap_or(self.number)
    }
}

/// The next number, as an SQL expression: above every head's and every run's.
pub(super) const NEXT: &str =
    "(SELECT 1 + max((SELECT coalesce(max(id), 0) FROM head), (SELECT coalesce(max(id), 0) FROM run)))";

impl Manifest {
    /// Moves a workspace's head; the new one is kept in its history. Returns its number,
    /// `None` when it is where it was. `Kind::Busy` when the head is no longer `from`.
    /// Inside a transaction.
    pub fn move_head(
        &self,
        workspace: i64,
        from: Option<&Digest>,
        to: &Digest,
        cause: Cause,
    ) -> Result<Option<i64>> {
        self.move_head_back(workspace, from, to, cause, None)
    }

    /// The same; for an undo, with the number of the head that it goes back to.
    pub fn move_head_back(
        &self,
        workspace: i64,
        from: Option<&Digest>,
        to: &Digest,
        cause: Cause,
        back: Option<i64>,
    ) -> Result<Option<i64>> {
        let changed = self.connection().execute(
            "UPDATE workspace SET head = ?1 WHERE id = ?2 AND head IS ?3",
            (to.as_bytes(), workspace, from.map(Digest::as_bytes)),
        );
        if self.doing("move a head in", changed)? != 1 {
            return Err(Error::new(Kind::Busy, "the workspace's head moved meanwhile"));
        }
        if from == Some(to) && back.is_none() {
            return Ok(None);
        }
        let done = self.connection().execute(
            &format!(
                "INSERT INTO head(id, workspace, root, cause, back, at, host_base)
                 VALUES({NEXT}, ?1, ?2, ?3, ?4, ?5, (SELECT host_base FROM workspace WHERE id = ?1))"
            ),
            (workspace, to.as_bytes(), cause.text(), back, now()),
        );
        self.doing("record a head in", done)?;
        Ok(Some(self.connection().last_insert_rowid()))
    }

    /// Every head a workspace had, newest first.
    pub fn heads(&self, workspace: i64) -> Result<Vec<Head>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT id, root, cause, back, at FROM head WHERE workspace = ?1 ORDER BY id DESC",
            ),
        )?;
        let heads = query
            .query_map([workspace], |row| {
                Ok(Head {
                    number: row.get(0)?,
                    root: digest_at(row, 1)?,
                    cause: row.get(2)?,
                    back: row.get(3)?,
                    at: row.get(4)?,
                })
            })
            .and_then(Iterator::collect);
        self.doing("read heads from", heads)
    }

    /// The head a workspace had after run `number`; `None` when there is no such number
    /// yet, or none any more.
    pub fn head_at(&self, workspace: i64, number: i64) -> Result<Option<Digest>> {
        let query = format!(
            "SELECT root FROM head WHERE workspace = ?1 AND id <= ?2 AND ?2 < {NEXT} ORDER BY id DESC LIMIT 1"
        );
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let root = query.query_row([workspace, number], |row| digest_at(row, 0)).optional();
        self.doing("read a head from", root)
    }

    /// The roots whose hexadecimal digest begins so: heads of every workspace, host bases
    /// and snapshots.
    pub fn roots_with_prefix(&self, prefix: &str) -> Result<Vec<Digest>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT root FROM (SELECT root FROM head UNION SELECT root FROM snapshot
                 UNION SELECT host_base FROM workspace WHERE host_base IS NOT NULL
                 UNION SELECT forked FROM workspace WHERE forked IS NOT NULL)
                 WHERE lower(hex(root)) GLOB ?1 || '*' LIMIT 20",
            ),
        )?;
        let roots = query.query_map([prefix], |row| digest_at(row, 0)).and_then(Iterator::collect);
        self.doing("read roots from", roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::run::Run;
    use crate::manifest::workspace::MAIN;

    fn made() -> (tempfile::TempDir, Manifest, i64) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let id = manifest.create_workspace(MAIN).unwrap().id;
        (dir, manifest, id)
    }

    #[test]
    fn a_head_moves_only_from_where_it_is() {
        let (_dir, manifest, id) = made();
        assert_eq!(manifest.create_workspace(MAIN).unwrap().id, id);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(manifest.move_head(id, None, &a, Cause::Sync).unwrap(), Some(1));
        assert_eq!(manifest.move_head(id, None, &b, Cause::Run).unwrap_err().kind(), Kind::Busy);
        assert_eq!(manifest.move_head(id, Some(&a), &b, Cause::Run).unwrap(), Some(2));
        assert_eq!(manifest.move_head(id, Some(&b), &b, Cause::Run).unwrap(), None);
        let heads: Vec<_> = manifest.heads(id).unwrap().into_iter().map(|head| head.root).collect();
        assert_eq!(heads, [b, a]);
        assert_eq!(manifest.workspace(MAIN).unwrap().unwrap().head, Some(b));
    }

    #[test]
    fn a_number_names_the_head_after_that_run() {
        let (_dir, manifest, id) = made();
        let run = Run {
            workspace: MAIN.into(),
            session: "s".into(),
            argv: vec![],
            cwd: vec![],
            started: 0,
            ended: 0,
            status: 0,
            output: None,
        };
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        manifest.move_head(id, None, &a, Cause::Sync).unwrap();
        assert_eq!(manifest.add_run(&run, None).unwrap(), 2);
        let moved = manifest.move_head(id, Some(&a), &b, Cause::Run).unwrap();
        assert_eq!(manifest.add_run(&run, moved).unwrap(), 3);
        let at = |number| manifest.head_at(id, number).unwrap();
        assert_eq!([at(0), at(1), at(2), at(3), at(4)], [None, Some(a), Some(a), Some(b), None]);
        assert_eq!(at(i64::MAX), None);
    }

    #[test]
    fn roots_are_found_by_the_beginning_of_their_digest() {
        let (_dir, manifest, id) = made();
        let a = Digest::of(b"a");
        manifest.move_head(id, None, &a, Cause::Sync).unwrap();
        assert_eq!(manifest.roots_with_prefix(&a.hex()[..6]).unwrap(), [a]);
        assert!(manifest.roots_with_prefix("*").unwrap().len() <= 1);
        assert!(manifest.roots_with_prefix(&Digest::of(b"b").hex()[..20]).unwrap().is_empty());
    }
}
