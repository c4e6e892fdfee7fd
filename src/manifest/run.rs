//! Finished runs. Live ones are known by their sessions, not by rows.

use super::db::Manifest;
use super::history::NEXT;
use crate::error::Result;

/// One finished `exec` or `enter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub workspace: String,
    pub session: String,
    /// The command's words, each followed by a NUL.
    pub argv: Vec<u8>,
    pub cwd: Vec<u8>,
    /// Milliseconds since the epoch.
    pub started: i64,
    /// Milliseconds since the epoch.
    pub ended: i64,
    /// As a shell has it: 128+n for a signal.
    pub status: i32,
}

impl Manifest {
    /// Records a finished run; returns its number: that of the head that its end made,
    /// else the next one.
    pub fn add_run(&self, run: &Run, head: Option<i64>) -> Result<i64> {
        let query = format!(
            "INSERT INTO run(id, workspace, session, argv, cwd, started, ended, status)
             VALUES(coalesce(?8, {NEXT}), ?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        );
        let mut insert = self.doing("write", self.connection().prepare_cached(&query))?;
        let done = insert.execute((
            &run.workspace,
            &run.session,
            &run.argv,
            &run.cwd,
            run.started,
            run.ended,
            run.status,
            head,
        ));
        self.doing("record a run in", done)?;
        Ok(self.connection().last_insert_rowid())
    }

    /// The last runs, newest first, with their numbers.
    pub fn runs(&self, limit: u32) -> Result<Vec<(i64, Run)>> {
        self.runs_where("ORDER BY id DESC LIMIT ?1", i64::from(limit))
    }

    /// The runs whose numbers are above this one, oldest first.
    pub fn runs_above(&self, number: i64) -> Result<Vec<(i64, Run)>> {
        self.runs_where("WHERE id > ?1 ORDER BY id", number)
    }

    fn runs_where(&self, which: &str, value: i64) -> Result<Vec<(i64, Run)>> {
        let query =
            format!("SELECT id, workspace, session, argv, cwd, started, ended, status FROM run {which}");
        let mut query = self.doing("read", self.connection().prepare_cached(&query))?;
        let rows = query
            .query_map([value], |row| {
                let run = Run {
                    workspace: row.get(1)?,
                    session: row.get(2)?,
                    argv: row.get(3)?,
                    cwd: row.get(4)?,
                    started: row.get(5)?,
                    ended: row.get(6)?,
                    status: row.get(7)?,
                };
                Ok((row.get(0)?, run))
            })
            .and_then(Iterator::collect);
        self.doing("read runs from", rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let run = |status| Run {
            workspace: "main".into(),
            session: "s".into(),
            argv: b"sh\0-c\0\xff\0".to_vec(),
            cwd: b"/p".to_vec(),
            started: 1,
            ended: 2,
            status,
        };
        manifest.add_run(&run(0), None).unwrap();
        let second = manifest.add_run(&run(130), None).unwrap();
        assert_eq!(manifest.runs(1).unwrap(), [(second, run(130))]);
        assert_eq!(manifest.runs_above(second - 1).unwrap(), [(second, run(130))]);
        assert_eq!(manifest.runs_above(second).unwrap(), []);
    }
}
