//! Leaving a session. The last to leave ends it, takes in what it wrote and folds it
//! into the base; the others only go.

use super::open::Session;
use super::project::Project;
use super::take_in::{self, Taken, Trust};
use crate::error::Result;
use crate::manifest::run::Run;
use crate::ns::Left;

/// What leaving did.
pub struct Departure {
    pub project: Project,
    /// Names of processes that had to be ended.
    pub ended: Vec<String>,
    /// `None`: others are still there.
    pub taken: Option<Taken>,
    /// Something outside may still write to what was written inside (rule 2).
    pub unconfirmed: bool,
}

/// Leaves; `wait`: what the command left running is waited for, not ended.
pub fn leave(session: Session, wait: bool) -> Result<Departure> {
    let Session { project, name, link, locks, .. } = session; // a joiner's lock is in its link
    match link.leave(wait)? {
        Left::OthersLive => Ok(Departure { project, ended: Vec::new(), taken: None, unconfirmed: false }),
        Left::Last { ended, unmounted } => {
            let trust = if unmounted { Trust::Closed } else { Trust::MayBeWritten };
            // The base's lock must go before the fold takes it exclusively; the session's
            // stays until all is taken in.
            let mut locks = locks.into_iter();
            let _session = locks.next();
            drop(locks);
            let (project, taken) = take_in::take_in(project, &name, trust)?;
            Ok(Departure { project, ended, taken: Some(taken), unconfirmed: !unmounted })
        }
    }
}

/// After a run of so many milliseconds nobody notices that the log is written back.
const LONG_RUN_MS: i64 = 300;

/// Records a finished run, and writes a large log back.
pub fn record_run(project: &Project, run: &Run) -> Result<()> {
    project.manifest.add_run(run)?;
    project.manifest.checkpoint_if_large(run.ended - run.started > LONG_RUN_MS)
}
