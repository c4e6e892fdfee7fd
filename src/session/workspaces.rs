//! Workspaces as a user has them: seen, renamed, deleted, pruned.
//!
//! A deleted workspace loses its name and its place on disk; its heads stay as any others
//! do, so `undo` brings it back. One that was made for a single run goes whole.

use std::collections::HashSet;
use std::ffi::CStr;
use std::path::Path;

use super::elsewhere;
use super::live;
use super::mounts::stage::forget_mounts;
use super::open::{self, leftovers};
use super::plain;
use super::project::Project;
use super::record::{Record, is_of};
use super::stack::sweep;
use super::staging::{self, sessions};
use super::take_in::discard;
use crate::cas::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::db::now;
use crate::manifest::diff::diff;
use crate::manifest::node::{Content, Entry};
use crate::manifest::workspace::{MAIN, Workspace};
use crate::os::dir::{Dir, Stat};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::overlay::upper::{self, Found};

/// What there is to say of a workspace.
pub struct Seen {
    pub workspace: Workspace,
    /// The session that lives.
    pub live: Option<String>,
    /// Files, links and FIFOs that it has otherwise than where it comes from: the host
    /// for `main`, else the workspace it was forked from, as it was then. What the live session
    /// has written is among them.
    pub changed: usize,
    /// Snapshots in its line since it was forked.
    pub ahead: usize,
    /// The name of the workspace it was forked from, while that is there.
    pub parent: Option<String>,
    /// When its head moved last, in seconds since the epoch.
    pub moved: i64,
}

/// All workspaces that a user made, and those of single runs that live.
pub fn list(project: &Project) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for workspace in project.manifest.workspaces()? {
        let live = open::live(project, workspace.id)?;
        if !workspace.is_throw_away() || live.is_some() {
            seen.push(look(project, workspace, live)?);
        }
    }
    Ok(seen)
}

fn look(project: &Project, workspace: Workspace, live: Option<String>) -> Result<Seen> {
    let manifest = &project.manifest;
    let before = if workspace.name == MAIN { workspace.host_base } else { workspace.forked };
    let mut paths = live.as_deref().map_or(Ok(Vec::new()), |session| written(project, session))?;
    let mut changed = paths.len();
    if workspace.head.is_some() {
        paths.sort_unstable();
        diff(manifest, before.as_ref(), workspace.head.as_ref(), &mut |change| {
            let leaf = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| !entry.is_dir());
            let is_new = paths.binary_search(&change.path).is_err();
            changed += usize::from(is_new && (leaf(&change.before) || leaf(&change.after)));
            Ok(())
        })?;
    }
    let parent = workspace.parent.map(|id| manifest.workspace_by_id(id).ok()).and_then(|parent| parent);
    let known = manifest.line(parent.as_ref().and_then(|parent| parent.snapshot))?;
    let known: HashSet<i64> = known.into_iter().map(|snapshot| snapshot.id).collect();
    let line = manifest.line(workspace.snapshot)?;
    let ahead = line.iter().take_while(|snapshot| !known.contains(&snapshot.id));
    let ahead = ahead.filter(|snapshot| parent.is_none() || snapshot.at >= workspace.created).count();
    let moved = manifest.heads(workspace.id)?.first().map_or(workspace.created, |head| head.at);
    let parent = parent.filter(|parent| parent.deleted.is_none()).map(|parent| parent.name);
    Ok(Seen { workspace, live, changed, ahead, parent, moved })
}

/// What a live session has written or deleted so far, but for directories. Nothing is read but
/// names. Empty where it has just ended.
fn written(project: &Project, session: &str) -> Result<Vec<Vec<u8>>> {
    let staging = project.staging().join(session);
    let take = |_: &Dir, _: &CStr, stat: &Stat| {
        Ok(Content { digest: Digest::from_bytes([0; 32]), size: stat.size, sparse: false })
    };
    let look = |staging: &Path| -> Result<Vec<Vec<u8>>> {
        let Some(record) = Record::read(staging)? else { return Ok(Vec::new()) };
        let mut upper = upper::read_live(&staging.join("upper"), &take)?;
        forget_mounts(&mut upper, &record.mounts, &record.made);
        let is_leaf = |found: &Found| !matches!(found, Found::Dir { .. });
        Ok(upper.found.into_iter().filter(|(_, found)| is_leaf(found)).map(|(path, _)| path).collect())
    };
    let seen = match look(&staging) {
        Err(error) if error.is(libc::EACCES) => {
            as_root_of_own_files("look at what a session wrote", || look(&staging))
        }
        other => other,
    };
    match seen {
        Err(error) if error.is(libc::ENOENT) => Ok(Vec::new()),
        other => other,
    }
}

/// Gives a workspace another name.
pub fn rename(project: &Project, from: &str, to: &str) -> Result<()> {
    refuse_main(from, "renamed")?;
    let workspace = project.manifest.known_workspace(from)?;
    let _lock = alone(project, &workspace)?;
    project.manifest.transaction(|manifest| {
        let to = manifest.free_name(to)?;
        manifest.rename_workspace(workspace.id, &to)
    })
}

/// Deletes a workspace. `stop`: what runs in it is ended first.
pub fn delete(mut project: Project, name: &str, stop: bool) -> Result<Project> {
    refuse_main(name, "deleted")?;
    let workspace = project.manifest.known_workspace(name)?;
    if stop && let Some(session) = open::live(&project, workspace.id)? {
        let place = project.close();
        live::stop(&place, workspace.id, &session, None)?;
        project = place.open()?;
    }
    let lock = alone(&project, &workspace)?;
    // what a killed run had closed belongs to the state that undo brings back
    (project, ..) = leftovers(project, workspace.id)?;
    if workspace.is_throw_away() {
        discard_sessions(&project, workspace.id)?;
        elsewhere::remove(&project, workspace.id)?;
        failpoint::at("workspace.emptied").context("delete workspace in", &project.dir)?;
        project.manifest.purge_workspace(workspace.id)?;
    } else {
        project
            .manifest
            .transaction(|manifest| manifest.delete_workspace(&manifest.workspace_by_id(workspace.id)?))?;
    }
    failpoint::at("workspace.deleted").context("delete workspace in", &project.dir)?;
    staging::remove_spare(&project, workspace.id)?;
    elsewhere::remove(&project, workspace.id)?;
    if workspace.is_throw_away() {
        lock.retire(&project.session_lock(workspace.id))?;
    } else {
        drop(lock);
        project.store.let_go();
    }
    swept(project)
}

/// Which workspaces a prune takes.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// Those whose changes are all in the workspace they were forked from.
    pub merged: bool,
    /// Those whose head has not moved for so many seconds.
    pub older: Option<i64>,
}

/// The workspaces that a prune would delete: never `main`, never a live one.
pub fn prunable(project: &Project, prune: Prune) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for seen in list(project)? {
        let Seen { workspace, live, moved, .. } = seen;
        if workspace.name == MAIN || live.is_some() {
            continue;
        }
        let is_old = prune.older.is_none_or(|seconds| moved < now() - seconds);
        if is_old && (!prune.merged || super::merge::is_merged(&project.manifest, &workspace)?) {
            names.push(workspace.name);
        }
    }
    Ok(names)
}

/// How long what a killed single run left may lie, in seconds.
const STALE: i64 = 24 * 3600;

/// Removes workspaces of single runs whose runs were killed a while ago.
pub fn forget_stale(mut project: Project) -> Result<Project> {
    let stale = |workspace: &Workspace| workspace.is_throw_away() && workspace.created < now() - STALE;
    for workspace in project.manifest.workspaces()?.into_iter().filter(stale) {
        if open::live(&project, workspace.id)?.is_none() {
            project = delete(project, &workspace.name, false)?;
        }
    }
    Ok(project)
}

/// Nobody runs in it while the lock is held.
fn alone(project: &Project, workspace: &Workspace) -> Result<Lock> {
    let name = &workspace.name;
    Lock::attempt(&project.session_lock(workspace.id), Hold::Exclusive)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("workspace `{name}` has a live run")).with_hint(format!(
            "wait for it to end, or end it: vrift stop -w {name} (workspace delete --stop does both)"
        ))
    })
}

fn refuse_main(name: &str, what: &str) -> Result<()> {
    if name != MAIN {
        return Ok(());
    }
    Err(Error::failure(format!(
        "workspace `{MAIN}` cannot be {what}: it is the one that follows the directory"
    ))
    .with_hint("vrift project forget drops all that is kept of the project"))
}

fn discard_sessions(project: &Project, workspace: i64) -> Result<()> {
    for session in sessions(project)?.iter().filter(|session| is_of(session, workspace)) {
        discard(project, &project.staging().join(session))?;
    }
    for session in plain::sessions(project)?.iter().filter(|session| is_of(session, workspace)) {
        plain::drop_copy(project, session)?;
    }
    Ok(())
}

fn swept(project: Project) -> Result<Project> {
    let place = project.close();
    as_root_of_own_files("remove what nobody needs", || sweep(&place.again()?.open()?))?;
    place.open()
}
