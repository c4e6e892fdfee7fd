//! Leaving a session. The last to leave ends it, takes in what it wrote and folds it
//! into the base; the others only go.

use super::apply as session_apply;
use super::apply::own;
use super::confine::cgroup;
use super::open::Session;
use super::project::Project;
use super::record::{self, Record};
use super::take_in::{self, Taken, Trust};
use crate::cas::store::Publishing;
use crate::error::{Context, Result};
use crate::manifest::run::Run;
use crate::ns::{Desk, Left};
use crate::os::failpoint;
use crate::overlay::since::Since;
use crate::progress::Meter;

/// What leaving did.
pub struct Departure {
    pub project: Project,
    /// Names of processes that had to be ended.
    pub ended: Vec<String>,
    /// `None`: others are still there, or all was discarded.
    pub taken: Option<Taken>,
    /// `Some(true)`: something was written, and thrown away.
    pub discarded: Option<bool>,
    /// It was ended over a quota, and what it wrote is an orphan: the session, and why.
    pub over: Option<(String, String)>,
    /// Something outside may still write to what was written inside (rule 2).
    pub unconfirmed: bool,
    /// What came of writing this run's changes to the host while the session goes on.
    pub applied: Option<Result<session_apply::Plan>>,
    /// Nothing is swept that the end of the session brought, until it is dropped (rule 15).
    pub token: Option<Publishing>,
}

/// How to leave.
#[derive(Debug, Default)]
pub struct Leaving<'a> {
    /// What the command left running is waited for, not ended.
    pub wait: bool,
    /// What the session wrote is thrown away.
    pub discard: bool,
    /// What this run wrote since then goes to the host. Where it is all that the session ever
    /// wrote, that is left to the caller, for it is in [`Departure::taken`].
    pub applies: Option<Since>,
    /// Of what is taken in.
    pub meter: Option<&'a Meter>,
}

/// Leaves; who is the last to leave takes in, or throws away. While it waits for what the
/// command left, the desk is served.
pub fn leave(session: Session, leaving: Leaving<'_>, mut desk: Option<&mut Desk>) -> Result<Departure> {
    let Session { mut project, name, workspace, link, locks, shape, joined, .. } = session; // a joiner's lock is in its link
    let Leaving { wait, discard, applies, meter } = leaving;
    let keeps = applies.is_some();
    let (mut left, mut applied) = (None, None);
    if let Some(since) = applies {
        if !joined {
            left = Some(link.leave_unless_shared(wait, desk.as_deref_mut()));
        }
        if left.as_ref().is_none_or(|left| matches!(left, Ok(Left::OthersLive))) {
            let done;
            (project, done) = own::apply(project, &workspace, &name, since)?;
            (left, applied) = (None, Some(done));
        }
    }
    let left = left.unwrap_or_else(|| link.leave_from(wait, desk));
    let nothing = |project| Departure {
        project,
        ended: vec![],
        taken: None,
        discarded: None,
        over: None,
        unconfirmed: false,
        applied: None,
        token: None,
    };
    if left.is_err() && !link.has_pids() {
        // init was killed; what it would have ended has nobody else to end it
        end_after_init(&project, &name)?;
    }
    match left? {
        Left::OthersLive => Ok(Departure { applied, ..nothing(project) }),
        Left::Last { ended, unmounted } => {
            shape.cgroup.as_deref().map(cgroup::remove);
            failpoint::at("session.ended").context("end", project.staging().join(&name))?;
            let trust = if unmounted { Trust::Closed } else { Trust::MayBeWritten };
            let staging = project.staging().join(&name);
            if discard {
                let wrote = take_in::has_written(&staging)?;
                take_in::discard(&project, &staging)?;
                return Ok(Departure { ended, discarded: Some(wrote), ..nothing(project) });
            }
            if let Some(why) = record::over(&staging) {
                return Ok(Departure { ended, over: Some((name, why)), ..nothing(project) });
            }
            // The base's lock must go before the fold takes it exclusively; the session's
            // stays until all is taken in.
            let mut locks = locks.into_iter();
            let _session = locks.next();
            drop(locks);
            let token = keeps.then(|| project.store.publishing()).transpose()?;
            let (project, taken) =
                take_in::take_in(project, &name, trust, meter.unwrap_or(&Meter::default()))?;
            let (taken, unconfirmed) = (Some(taken), !unmounted);
            Ok(Departure { ended, taken, unconfirmed, applied, token, ..nothing(project) })
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
