//! Commit: the head becomes a snapshot that survives a power cut.
//!
//! Objects and trees first, then syncfs, then the row that names them in a transaction of
//! its own that is synced: a snapshot that is listed is whole (rule 17).

use super::checkpoint::checkpoint;
use super::open::leftovers;
use super::project::Project;
use super::sync::{self, Report};
use super::take_in::Taken;
use crate::cas::durable::Durable;
use crate::error::{Context, Error, Result};
use crate::manifest::snapshot::Snapshot;
use crate::manifest::workspace::{MAIN, Workspace};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::progress::Meter;

/// What is to be sealed, and how.
pub struct Wanted<'a> {
    pub workspace: &'a str,
    /// Else it gets the next of `s1`, `s2`, ….
    pub name: Option<&'a str>,
    pub message: &'a str,
    /// Take the host's edits over first, where the workspace follows the host.
    pub sync: bool,
}

/// What a commit did.
pub struct Sealed {
    pub snapshot: Snapshot,
    /// What a live session had written, taken in for it.
    pub checkpoint: Option<Taken>,
    pub synced: Option<Report>,
    /// The snapshot before it has the same root.
    pub unchanged: bool,
}

/// Seals a workspace's head as a snapshot.
pub fn commit(mut project: Project, wanted: &Wanted<'_>, meter: &Meter) -> Result<(Project, Sealed)> {
    let workspace = project.manifest.known_workspace(wanted.workspace)?;
    if let Some(name) = wanted.name {
        project.manifest.free_name(name)?; // before the work, not after it
    }
    let durable = Durable::begin(&project.store)?;
    let checkpointed;
    (project, checkpointed) = checkpoint(project, workspace.id)?;
    let mut synced = None;
    if checkpointed.is_none() {
        (project, synced) = bring_in(project, &workspace, wanted, meter)?;
    }
    failpoint::at("commit.gathered").context("seal", project.store.root())?;
    // What becomes the head while all is written out is not on the disk: this head is sealed.
    let head = project.manifest.known_workspace(wanted.workspace)?.head.ok_or_else(|| {
        Error::failure(format!("workspace `{}` has no state yet", wanted.workspace))
            .with_hint("vrift sync takes the directory in")
    })?;
    durable.write_out()?;
    failpoint::at("commit.written").context("seal", project.store.root())?;
    let (snapshot, unchanged) = project.manifest.durable(|manifest| {
        let now = manifest.known_workspace(wanted.workspace)?;
        let before = now.snapshot.map(|id| manifest.snapshot_by_id(id)).transpose()?.flatten();
        let snapshot = manifest.add_snapshot(&now, &head, wanted.name, wanted.message)?;
        Ok((snapshot, before.is_some_and(|before| before.root == head)))
    })?;
    Ok((project, Sealed { snapshot, checkpoint: checkpointed, synced, unchanged }))
}

/// What killed runs had closed but not taken in, and the host's edits.
fn bring_in(
    mut project: Project,
    workspace: &Workspace,
    wanted: &Wanted<'_>,
    meter: &Meter,
) -> Result<(Project, Option<Report>)> {
    // a session that opens meanwhile does the same, but when is not known: it may look at the
    // directory after the head was sealed
    if let Some(_lock) = Lock::attempt(&project.session_lock(workspace.id), Hold::Exclusive)? {
        (project, ..) = leftovers(project, workspace.id)?;
    }
    if !wanted.sync || workspace.name != MAIN {
        return Ok((project, None));
    }
    let report = sync::sync(&project, &workspace.name, sync::Options::default(), meter)?;
    Ok((project, Some(report)))
}
