//! Live sync: what the head gained while a session lives comes into its view, through the
//! mount, so that whoever watches files inside is told.
//!
//! ```text
//! host ──sync──▶ head ──difference to what the session is known to have──▶ plan ──▶ view
//!                                  ▲                                                │
//!                                  └───────── what is there now ◀───────────────────┘
//! ```
//! The plan is that of apply, the other way: three ways, path by path, the base is what the
//! session is known to have (its last checkpoint), ours the head, theirs the view. A path that
//! the session has otherwise than the base is its own change and stays; it is merged when the
//! session is taken in, as without live sync.
//!
//! What has come in is recorded afterwards, as a part of the session's last checkpoint. So a
//! kill at any moment leaves paths that head and session have alike, which is no conflict; and
//! what is not recorded yet is never taken for something that the session took back.
//!
//! Only class `follow`, and nothing below a `.git`: a repository is one unit, and git may be
//! at work in it. It comes with the next start.
//!
//! | file | |
//! |---|---|
//! | `join` | taking part in the session, and its view |
//! | `put` | writing through the mount |
//! | `watch` | the host's edits, as they happen |

mod join;
mod put;
pub mod watch;

use std::path::{Path, PathBuf};

use self::join::{Joined, join, view};
use self::put::Writer;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::edit;
use crate::manifest::lines::Lines;
use crate::os::dir::Dir;
use crate::os::failpoint;
use crate::session::apply::host::Host;
use crate::session::apply::plan::{Clash, Plan, Sides, plan};
use crate::session::apply::select::Select;
use crate::session::apply::{Act, OnConflict};
use crate::session::checkpoint;
use crate::session::leave::{Departure, Leaving, leave};
use crate::session::open::{Session, live};
use crate::session::project::{Place, Project};
use crate::session::record::Record;

/// What came of bringing a head into a live session.
#[derive(Default)]
pub struct Brought {
    /// Paths that changed in the view.
    pub written: Vec<Vec<u8>>,
    /// Paths that the session has changed itself: they stay as they are inside.
    pub kept: Vec<Vec<u8>>,
    /// Paths that have to wait, and why.
    pub waits: Vec<(Vec<u8>, String)>,
    /// Something changed meanwhile: worth trying again at once.
    pub again: bool,
    /// One run has the session for itself: nothing comes in before it has ended.
    pub alone: bool,
    /// This was the last to leave: what became of the session.
    pub departure: Option<Box<Ended>>,
}

/// A session that ended by our leaving it.
pub struct Ended {
    pub ended: Vec<String>,
    pub taken: Option<crate::session::take_in::Taken>,
}

/// Where a file of a live session's view can be opened from outside.
pub fn path_in(init: i32, path: &Path) -> Result<PathBuf> {
    if init <= 0 {
        return Err(not_visible());
    }
    let inner = path.strip_prefix("/").unwrap_or(path);
    Ok(Path::new("/proc").join(init.to_string()).join("root").join(inner))
}

fn not_visible() -> Error {
    Error::new(Kind::Unsupported, "the live session cannot be seen from here")
        .with_hint("it belongs to another container: run this command there")
}

/// Brings the head of a workspace into the view of its live session. `None`: none lives.
pub fn bring_in(project: Project, workspace: &str) -> Result<(Project, Option<Brought>)> {
    let now = project.manifest.known_workspace(workspace)?;
    let session = match join(project, &now)? {
        Joined::Part(session) => session,
        Joined::Nobody(project) => return Ok((project, None)),
        Joined::Alone(project) => {
            return Ok((project, Some(Brought { alone: true, ..Brought::default() })));
        }
    };
    // whatever became of it: who joined leaves
    let done = through(&session);
    let Departure { project, ended, taken, .. } = leave(*session, Leaving::default(), None)?;
    let mut brought = done?;
    brought.departure = taken.is_some().then(|| Box::new(Ended { ended, taken }));
    Ok((project, Some(brought)))
}

fn through(session: &Session) -> Result<Brought> {
    let project = &session.project;
    let staging = project.staging().join(&session.name);
    let _alone = checkpoint::hold(&staging)?;
    let Some(record) = Record::read(&staging)? else { return Ok(Brought::default()) };
    let token = project.store.publishing()?;
    let manifest = &project.manifest;
    let now = manifest.known_workspace(&session.workspace)?;
    let before = checkpoint::last(project, &record)?;
    let Some(head) = now.head.filter(|head| *head != before) else { return Ok(Brought::default()) };
    let top = view(session)?;
    let conflicts = manifest.conflicts(now.id)?.into_iter().map(|open| open.path);
    let left: Vec<Vec<u8>> = record.mounts.iter().cloned().chain(conflicts).collect();
    let host = Host::unknown(&top, &project.store, &token, manifest);
    let sides = Sides {
        trees: manifest,
        base: Some(before),
        ours: head,
        host: &host,
        select: &Select::new(project, head, &[], &left)?,
        text: &Lines { store: &project.store, token: &token },
        on_conflict: &|_| OnConflict::Abort,
        workspace: &session.workspace,
        own_mtimes: project.config.our_mtimes,
    };
    let plan = plan(&sides)?;
    failpoint::at("live.planned").context("bring in", &staging)?;
    let done = write(project, &top, &plan)?;
    failpoint::at("live.written").context("bring in", &staging)?;
    let edits = put::edits(&plan, &done.done);
    if !edits.is_empty() {
        manifest.transaction(|manifest| {
            let state = edit::apply(manifest, &before, edits)?;
            manifest.set_meta(&checkpoint::key(&session.name), state.as_bytes())
        })?;
    }
    Ok(report(plan, done))
}

fn write(project: &Project, top: &Dir, plan: &Plan) -> Result<put::Outcome> {
    Writer::new(top, &project.store).run(plan)
}

fn report(plan: Plan, outcome: put::Outcome) -> Brought {
    let put::Outcome { done, waits, again } = outcome;
    let mut brought = Brought { waits, again, ..Brought::default() };
    for (step, done) in plan.steps.iter().zip(&done) {
        let is_dir = step.ours.as_ref().or(step.theirs.as_ref()).is_some_and(|entry| entry.is_dir());
        if *done && step.act != Act::Nothing && !(is_dir && step.act == Act::Dress) {
            brought.written.push(step.path.clone());
        }
    }
    for Clash { path, why, by_choice } in plan.clashes {
        match by_choice || why.contains("on the host") {
            true => brought.kept.push(path),
            false => brought.waits.push((path, why)),
        }
    }
    brought.kept.extend(plan.stays.into_iter().map(|(dir, _)| dir));
    brought
}

/// Where a path of the project can be opened while a session of the workspace lives. `None`:
/// none does.
pub fn open_path(place: &Place, workspace: i64, path: &Path) -> Result<Option<PathBuf>> {
    let Some(name) = live(place, workspace)? else { return Ok(None) };
    crate::ns::first_process(&place.staging().join(name))?.map(|init| path_in(init, path)).transpose()
}
