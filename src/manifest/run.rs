//! Finished runs. Live ones are known by their sessions, not by rows.

use super::db::{Manifest, maybe_digest_at, now};
use super::history::NEXT;
use super::keep::{NEWEST, YOUNG};
use crate::cas::Digest;
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
    /// What it printed, where that was kept.
    pub output: Option<Output>,
}

/// An object that holds what a run printed; an empty one has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub digest: Digest,
    pub size: u64,
}

impl Manifest {
    /// Records a finished run; returns its number: that of the head that its end made,
    /// else the next one.
    pub fn add_run(&self, run: &Run, head: Option<i64>) -> Result<i64> {
        let query = format!(
            "INSERT INTO run(id, workspace, session, argv, cwd, started, ended, status, output, output_size)
             VALUES(coalesce(?8, {NEXT}), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?9, ?10)"
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
            run.output.as_ref().map(|output| output.digest.as_bytes()),
            run.output.as_ref().map(|output| i64::try_from(output.size).unwrap_or(i64::MAX)),
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

    /// The run of this number.
    pub fn run(&self, number: i64) -> Result<Option<Run>> {
        Ok(self.runs_where("WHERE id = ?1", number)?.pop().map(|(_, run)| run))
    }

    /// The numbers of the runs whose output was kept, newest first.
    pub fn runs_with_output(&self, limit: u32) -> Result<Vec<(i64, Run)>> {
        self.runs_where("WHERE output IS NOT NULL ORDER BY id DESC LIMIT ?1", limit.into())
    }

    /// The objects that hold what runs printed, with the runs' numbers.
    pub fn outputs(&self) -> Result<Vec<(i64, Output)>> {
        let query = "SELECT id, output, output_size FROM run WHERE output IS NOT NULL AND output_size > 0";
        let mut query = self.doing("read", self.connection().prepare_cached(query))?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, output_at(row, 1)?)));
        let rows = rows.and_then(|rows| rows.collect::<rusqlite::Result<Vec<(i64, Option<Output>)>>>());
        let rows = self.doing("read runs from", rows)?;
        Ok(rows.into_iter().filter_map(|(id, output)| Some((id, output?))).collect())
    }

    /// Forgets what runs printed that are as old as heads which are not kept.
    pub fn drop_old_outputs(&self) -> Result<()> {
        let done = self.connection().execute(
            "UPDATE run SET output = NULL, output_size = NULL WHERE output IS NOT NULL AND ended < ?1
             AND id NOT IN (SELECT id FROM run ORDER BY id DESC LIMIT ?2)",
            ((now() - YOUNG).saturating_mul(1000), NEWEST as i64),
        );
        self.doing("forget the output of runs in", done).map(drop)
    }

    fn runs_where(&self, which: &str, value: i64) -> Result<Vec<(i64, Run)>> {
        let query = format!(
            "SELECT id, workspace, session, argv, cwd, started, ended, status, output, output_size FROM run {which}"
        );
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
                    output: output_at(row, 8)?,
                };
                Ok((row.get(0)?, run))
            })
            .and_then(Iterator::collect);
        self.doing("read runs from", rows)
    }
}

/// A digest and a size; both are NULL where nothing was kept.
fn output_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Output>> {
    let size: Option<i64> = row.get(column + 1)?;
    Ok(maybe_digest_at(row, column)?.map(|digest| Output { digest, size: size.unwrap_or(0).unsigned_abs() }))
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
            output: None,
        };
        manifest.add_run(&run(0), None).unwrap();
        let second = manifest.add_run(&run(130), None).unwrap();
        assert_eq!(manifest.runs(1).unwrap(), [(second, run(130))]);
        assert_eq!(manifest.runs_above(second - 1).unwrap(), [(second, run(130))]);
        assert_eq!(manifest.runs_above(second).unwrap(), []);
    }

    #[test]
    fn what_runs_printed_is_forgotten_with_heads_of_that_age() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let output =
            |text: &str| Some(Output { digest: Digest::of(text.as_bytes()), size: text.len() as u64 });
        let run = |ended, output| Run {
            workspace: "main".into(),
            session: "s".into(),
            argv: b"x\0".to_vec(),
            cwd: b"/p".to_vec(),
            started: 1,
            ended,
            status: 0,
            output,
        };
        let old = manifest.add_run(&run(1, output("old")), None).unwrap();
        let young = manifest.add_run(&run(now() * 1000, output("young")), None).unwrap();
        let empty = manifest.add_run(&run(1, output("")), None).unwrap();
        let ids = |manifest: &Manifest| {
            manifest.outputs().unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        manifest.drop_old_outputs().unwrap();
        assert_eq!(ids(&manifest), [old, young], "the newest stay whatever their age");
        assert_eq!(manifest.run(empty).unwrap().unwrap().output, output(""));
        for _ in 0..50 {
            manifest.add_run(&run(1, None), None).unwrap();
        }
        manifest.drop_old_outputs().unwrap();
        assert_eq!(ids(&manifest), [young]);
        assert_eq!(manifest.runs_with_output(9).unwrap().len(), 1);
    }
}
