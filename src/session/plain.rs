//! A run without an overlay: the workspace's state as a plain copy at another path, which is
//! compared with that state afterwards, and taken in. For machines that refuse namespaces; on request
//! only.
//!
//! ```text
//! plain/<session>/tree           the copy, of reflinks where the filesystem has them
//!                 session.json   written when the copy is whole: what it is of; from then on
//!                                what differs is the command's
//! ```
//!
//! The workspace's session lock is held meanwhile, so nobody else runs in it. What a killed run left is
//! an orphan as those of other sessions are; its command may go on.

use std::path::{Path, PathBuf};

use super::checkpoint::advance;
use super::confine::Shape;
use super::project::{Place, Project};
use super::record::{self, Record, now_ms};
use super::recover::{Orphan, days_left, is_expired};
use super::staging;
use super::take_in::Taken;
use super::{quota, sync};
use crate::cas::Digest;
use crate::config::keys;
use crate::config::quota::Quota;
use crate::error::{Context, Error, Kind, Result, shell_word};
use crate::manifest::diff::diff;
use crate::manifest::history::Cause;
use crate::manifest::workspace::MAIN;
use crate::ns;
use crate::os::lock::{Hold, Lock};
use crate::os::{boot, failpoint, mkdir};
use crate::overlay::escape;
use crate::overlay::projection::{self, Copy, Rendered};
use crate::progress::Meter;

/// Their directory in a project's.
pub const DIR: &str = "plain";
/// The copy in a session's.
const TREE: &str = "tree";

pub fn top(place: &Place) -> PathBuf {
    place.dir.join(DIR)
}

/// What the options of a run say of it.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub workspace: &'a str,
    /// Take the host's edits over first.
    pub sync: bool,
}

/// A copy that a command may write to.
pub struct Plain {
    pub project: Project,
    /// As in the list of runs.
    pub session: String,
    /// The copy.
    pub path: PathBuf,
    pub made: Rendered,
    pub synced: Option<sync::Report>,
    /// What killed runs left.
    pub orphans: Vec<Orphan>,
    record: Record,
    _lock: Lock,
}

/// Makes the copy.
pub fn open(project: Project, options: Options<'_>, meter: &Meter) -> Result<Plain> {
    refuse_mounts(&project)?;
    let workspace = project.manifest.known_workspace(options.workspace)?;
    let lock = Lock::attempt(&project.session_lock(workspace.id), Hold::Exclusive)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("workspace `{}` has a live run", options.workspace))
            .with_hint("without an overlay nobody can join: wait for it to end, or use a fork")
    })?;
    if !project.manifest.pending(workspace.id)?.is_empty() {
        let error = Error::failure("a run with an overlay has not been finished");
        return Err(error.with_hint("any run or sync where namespaces work finishes it"));
    }
    quota::admit(&project, &Quota::of(&project.config)?)?;
    let mut synced = None;
    if workspace.head.is_none() || (options.sync && options.workspace == MAIN) {
        synced = Some(sync::sync(&project, options.workspace, sync::Options::default(), meter)?);
    }
    let root = project.manifest.known_workspace(options.workspace)?.head;
    let root = root.ok_or_else(|| Error::corrupt("a workspace that was taken in has no head"))?;
    let orphans = left(&project, workspace.id)?;
    let session = record::session_name(workspace.id);
    let dir = top(&project).join(&session);
    let path = dir.join(TREE);
    mkdir::private(&top(&project))?;
    mkdir::private(&dir)?;
    let copies = Copy { store: &project.store, meter, to: escape::To::Host };
    let token = project.store.publishing()?; // nothing of it is swept (rule 15)
    let record = Record {
        session: session.clone(),
        workspace: workspace.id,
        workspace_name: options.workspace.to_string(),
        base: 0,
        layers: Vec::new(),
        root: root.hex(),
        rules: String::new(),
        mounts: Vec::new(),
        made: Vec::new(),
        preload: false,
        upper_root: String::new(),
        upper_print: String::new(),
        shares_pids: true,
        plain: true,
        shape: Shape::default(),
        boot: boot::id(),
        started: now_ms(),
    };
    let make = || {
        let made = projection::render(&project.manifest, &root, &path, &copies)?;
        failpoint::at("plain.copied").context("copy to", &path)?;
        record.write(&dir)?;
        Ok(made)
    };
    let made = make().inspect_err(|_: &Error| {
        let _ = staging::remove(&dir);
    })?;
    drop(token);
    Ok(Plain { project, session, path, made, synced, orphans, record, _lock: lock })
}

/// Takes in what differs from what the copy was made of, and removes it. `discard`: only the latter.
pub fn close(plain: Plain, discard: bool, meter: &Meter) -> Result<(Project, Option<Taken>)> {
    let Plain { project, record, .. } = plain;
    let taken = if discard { None } else { Some(take_in(&project, &record, meter)?) };
    drop_copy(&project, &record.session)?;
    Ok((project, taken))
}

/// Marked first: cut short, the rest is removed and never taken for what was written.
pub(super) fn drop_copy(place: &Place, session: &str) -> Result<()> {
    let dir = top(place).join(session);
    record::mark_discarded(&dir)?;
    failpoint::at("plain.discarded").context("remove", &dir)?;
    staging::remove(&dir)
}

/// The names of all copies.
pub fn sessions(place: &Place) -> Result<Vec<String>> {
    match staging::directories(&top(place)) {
        Err(error) if error.is(libc::ENOENT) => Ok(Vec::new()),
        other => other,
    }
}

/// Whether a copy holds nothing that anybody could want, or has lain there for too long.
pub fn is_due(dir: &Path) -> bool {
    matches!(Record::read(dir), Ok(None)) || record::is_discarded(dir) || is_expired(dir)
}

/// What killed runs of a workspace left, whose session lock is held: what is due goes, the others
/// are noted.
pub(super) fn left(place: &Place, workspace: i64) -> Result<Vec<Orphan>> {
    let mut orphans = Vec::new();
    for session in sessions(place)?.into_iter().filter(|session| record::is_of(session, workspace)) {
        let dir = top(place).join(&session);
        let expired = is_expired(&dir);
        if is_due(&dir) {
            drop_copy(place, &session)?;
        } else {
            record::mark_orphaned(&dir)?;
        }
        if expired || dir.exists() {
            orphans.push(Orphan { days: (!expired).then(|| days_left(&dir)), session });
        }
    }
    Ok(orphans)
}

/// Fails while a process that a killed launcher left works on (rule 3: nothing ends it). It is not
/// ended here, as it may be a shell of whoever looks what there is.
pub(super) fn unused(place: &Place, record: &Record) -> Result<()> {
    let dir = record.dir(place);
    let Some(pid) = ns::user_of(&dir)? else { return Ok(()) };
    let what = format!("process {pid} is still in what session {} left", record.session);
    Err(Error::new(Kind::Busy, what)
        .with_hint(format!("wait for it, leave {}, or end it: kill {pid}", shell_word(&dir))))
}

/// The root that a copy was made of and the one that it holds now.
pub(super) fn states(project: &Project, record: &Record) -> Result<(Digest, Digest)> {
    let (token, root) = (project.store.publishing()?, record.start_root()?);
    let read = sync::outside::read(project, &token, &record.dir(project).join(TREE), &Meter::default())?;
    let state = project.manifest.transaction(|_| sync::outside::state(project, read, &root))?;
    Ok((root, state))
}

/// Takes in what a copy differs in from what it was made of.
pub(super) fn take_in(project: &Project, record: &Record, meter: &Meter) -> Result<Taken> {
    let path = &record.dir(project).join(TREE);
    let (workspace, root) = (record.workspace, &record.start_root()?);
    let kept = |error: Error| {
        let place = shell_word(path);
        let session = &record.session;
        error.with_hint(format!("what the run wrote is in {place}; vrift recover {session} --keep or --drop"))
    };
    let token = project.store.publishing()?;
    let read = sync::outside::read(project, &token, path, meter).map_err(kept)?;
    let mut taken = Taken {
        new_bytes: read.new_bytes,
        left_out: read
            .left_out
            .iter()
            .map(|left| format!("{}: {}", sync::shown(&left.path), left.why))
            .collect(),
        ..Taken::default()
    };
    project
        .manifest
        .transaction(|manifest| {
            let state = sync::outside::state(project, read, root)?;
            diff(manifest, Some(root), Some(&state), &mut |change| {
                let is_dir = change.after.as_ref().is_some_and(|entry| entry.is_dir());
                taken.deleted += usize::from(change.after.is_none());
                taken.written += usize::from(change.after.is_some() && !is_dir);
                Ok(())
            })?;
            if state != *root {
                let moved = advance(project, &token, workspace, (root, state), Cause::Run)?;
                (taken.conflicts, taken.changed, taken.number) =
                    (moved.conflicts, moved.changed, moved.number);
                taken.span = Some((*root.as_bytes(), *state.as_bytes()));
            }
            Ok(())
        })
        .map_err(kept)?;
    drop(token);
    failpoint::at("plain.taken").context("take in", path)?;
    project.store.add_debt(taken.new_bytes);
    Ok(taken)
}

/// What needs a mount to be shown, or not to be.
fn refuse_mounts(project: &Project) -> Result<()> {
    const MOUNTED: [&str; 6] =
        ["paths.live", "paths.scratch", "paths.hide", keys::BIND, keys::TIER1_PATHS, keys::RUN_BIND];
    let set = project.config.settings.iter().find(|setting| MOUNTED.contains(&setting.key.name));
    let what = match set {
        Some(setting) => format!("`{}` ({})", setting.name(), setting.origin),
        None if Shape::of(&project.config) != Shape::default() => {
            "confinement, limits or another user".into()
        }
        None => return Ok(()),
    };
    Err(Error::failure(format!("without an overlay there is no {what}")).with_hint(
        "a plain copy shows what the workspace holds, and keeps nothing from the command: leave that out",
    ))
}
