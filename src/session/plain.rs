//! A run without an overlay: the workspace's state as a plain copy at another path, which is
//! compared with that state afterwards, and taken in. For machines that refuse namespaces; on request
//! only.
//!
//! The copy is `plain/<session>` in the project's directory of the store, of reflinks where the
//! filesystem has them. The workspace's session lock is held meanwhile, so nobody else runs in it. What a
//! killed one left stays, and every further run without an overlay names it.

use std::path::{Path, PathBuf};

use super::checkpoint::advance;
use super::confine::Shape;
use super::project::Project;
use super::take_in::Taken;
use super::{quota, record, sync};
use crate::cas::Digest;
use crate::config::keys;
use crate::config::quota::Quota;
use crate::error::{Context, Error, Kind, Result, shell_word};
use crate::manifest::diff::diff;
use crate::manifest::history::Cause;
use crate::manifest::workspace::MAIN;
use crate::os::lock::{Hold, Lock};
use crate::os::{mkdir, remove};
use crate::overlay::escape;
use crate::overlay::projection::{self, Copy, Rendered};
use crate::progress::Meter;

/// Its directory in a project's.
pub const DIR: &str = "plain";

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
    /// Copies that killed runs left.
    pub left: Vec<PathBuf>,
    workspace: i64,
    root: Digest,
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
    let top = project.dir.join(DIR);
    mkdir::private(&top)?;
    let left = left(&top, workspace.id)?;
    let session = record::session_name(workspace.id);
    let path = top.join(&session);
    let copies = Copy { store: &project.store, meter, to: escape::To::Host };
    let token = project.store.publishing()?; // nothing of it is swept (rule 15)
    let made = projection::render(&project.manifest, &root, &path, &copies).inspect_err(|_| {
        let _ = remove::remove_tree(&path);
    })?;
    drop(token);
    Ok(Plain { project, session, path, made, synced, left, workspace: workspace.id, root, _lock: lock })
}

/// Takes in what differs from what the copy was made of, and removes it. `discard`: only the latter.
pub fn close(plain: Plain, discard: bool, meter: &Meter) -> Result<(Project, Option<Taken>)> {
    let Plain { project, path, workspace, root, .. } = plain;
    let taken = if discard { None } else { Some(take_in(&project, &path, (workspace, &root), meter)?) };
    remove::remove_tree(&path)?;
    Ok((project, taken))
}

fn take_in(
    project: &Project,
    path: &Path,
    (workspace, root): (i64, &Digest),
    meter: &Meter,
) -> Result<Taken> {
    let kept = |error: Error| {
        let place = shell_word(path);
        error.with_hint(format!("what the run wrote is in {place}; remove it when it is not wanted any more"))
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

/// Copies of a workspace whose session lock is held: nobody uses them.
fn left(top: &Path, workspace: i64) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(top).context("read", top)? {
        let entry = entry.context("read", top)?;
        if entry.file_name().to_str().is_some_and(|name| record::is_of(name, workspace)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
