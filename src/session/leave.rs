//! Leaving a session. The last to leave ends it, takes in what it wrote and folds it
//! into the base; the others only go.

use super::confine::cgroup;
use super::open::Session;
use super::project::Project;
use super::record::{self, Record};
use super::take_in::{self, Taken, Trust};
use crate::error::Result;
use crate::manifest::run::Run;
use crate::ns::{Desk, Left};

/// What leaving did.
pub struct Departure {
    pub project: Project,
    /// Names of processes that had to be ended.
    pub ended: Vec<String>,
    /// `None`: others are still there, or all was discarded.
    pub taken: Option<Taken>,
    /// `Some(true)`: something was written, and thrown away.
    pub discarded: Option<bool>,
    /// Something outside may still write to what was written inside (rule 2).
    pub unconfirmed: bool,
}

/// How to leave.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    /// What the command left running is waited for, not ended.
    pub wait: bool,
    /// What the session wrote is thrown away.
    pub discard: bool,
}

/// Leaves; who is the last to leave takes in, or throws away. While it waits for what the
/// command left, the desk is served.
pub fn leave(session: Session, leaving: Leaving, desk: Option<&mut Desk>) -> Result<Departure> {
    let Session { project, name, link, locks, shape, .. } = session; // a joiner's lock is in its link
    let nothing =
        |project| Departure { project, ended: vec![], taken: None, discarded: None, unconfirmed: false };
    let left = link.leave_from(leaving.wait, desk);
    if left.is_err() && !link.has_pids() {
        // init was killed; what it would have ended has nobody else to end it
        end_after_init(&project, &name)?;
    }
    match left? {
        Left::OthersLive => Ok(nothing(project)),
        Left::Last { ended, unmounted } => {
            shape.cgroup.as_deref().map(cgroup::remove);
            let trust = if unmounted { Trust::Closed } else { Trust::MayBeWritten };
            if leaving.discard {
                let staging = project.staging().join(&name);
                let wrote = take_in::has_written(&staging)?;
                take_in::discard(&staging)?;
                return Ok(Departure { ended, discarded: Some(wrote), ..nothing(project) });
            }
            // The base's lock must go before the fold takes it exclusively; the session's
            // stays until all is taken in.
            let mut locks = locks.into_iter();
            let _session = locks.next();
            drop(locks);
            let (project, taken) = take_in::take_in(project, &name, trust)?;
            Ok(Departure { ended, taken: Some(taken), unconfirmed: !unmounted, ..nothing(project) })
        }
    }
}

fn end_after_init(project: &Project, session: &str) -> Result<()> {
    let record = Record::read(&project.staging().join(session))?;
    record.as_ref().map_or(Ok(()), record::end_remains)
}

/// After a run of so many milliseconds nobody notices that the log is written back.
const LONG_RUN_MS: i64 = 300;

/// Records a finished run, and writes a large log back. `head`: the number of the head
/// that its end made.
pub fn record_run(project: &Project, run: &Run, head: Option<i64>) -> Result<()> {
    project.manifest.add_run(run, head)?;
    project.manifest.checkpoint_if_large(run.ended - run.started > LONG_RUN_MS)
}
