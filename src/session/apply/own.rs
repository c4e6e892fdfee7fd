//! What one run of a session wrote, written to the host when it has succeeded.
//!
//! Where a run had its session to itself, that is what the session wrote. Several runs write to
//! one upper, and nothing there tells whose a write was; so a run's own changes are the names
//! that changed while it ran, but for files that somebody has open for writing when it ends:
//! those belong to a run that goes on. So each run's results are there when it ends, as without
//! vrift. What another run finished at the same time may come a little before that one's end,
//! and then comes even where that one fails later.
//!
//! ```text
//! host.lock ─▶ read what changed ─▶ head ─▶ host base with it ─▶ plan ─▶ host
//!                            as a checkpoint: what is on the host is in the workspace, too
//! ```
//! Nothing is synced: who is killed leaves old or new and the next command finishes it, as in
//! any apply, but a power cut may take what was written, as with any other command.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{Plan, Wanted, exclusively, write_plan};
use crate::cas::Digest;
use crate::cas::store::Publishing;
use crate::error::{Context, Error, Result};
use crate::manifest::diff::diff;
use crate::manifest::dir::{lookup, write_empty_root};
use crate::manifest::edit::Edit;
use crate::manifest::node::{Content, Entry, Meta};
use crate::manifest::onto::{DirAt, apply_onto};
use crate::manifest::workspace::Workspace;
use crate::os::dir::{Dir, Stat, stat_fd};
use crate::os::failpoint;
use crate::os::userns::as_root_of_own_files;
use crate::overlay::since::Since;
use crate::overlay::upper::{self, Changed, Upper};
use crate::session::checkpoint;
use crate::session::mounts::stage::forget_mounts;
use crate::session::project::{Place, Project};
use crate::session::record::Record;
use crate::session::take_in::edits;

/// The moment before a run begins, in its session's upper.
pub fn begin(place: &Place, session: &str) -> Result<Since> {
    let staging = place.staging().join(session);
    let upper = staging.join("upper");
    let clock = clock_of(&staging)?;
    match Since::now(&upper, clock) {
        Err(error) if error.is(libc::EACCES) => {
            as_root_of_own_files("look at what other runs wrote", || Since::now(&upper, clock))
        }
        other => other,
    }
}

/// The clock of a directory's filesystem, later than all that it has stamped: a time that was
/// asked for is followed by a finer one where the kernel has such (6.13).
fn clock_of(dir: &Path) -> Result<(i64, u32)> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let look = || -> Result<Stat, rustix::io::Errno> {
        let file = rustix::fs::open(dir, flags, Mode::RUSR)?;
        stat_fd(&file)?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        stat_fd(&file)
    };
    match look() {
        Ok(stat) => Ok(stat.ctime),
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(crate::session::sync::clock_of(dir)),
        Err(errno) => Err(errno).context("make a file in", dir),
    }
}

/// Writes to the host what changed in the live session since then. The inner result is that of
/// the apply: after an error nothing was written, and all is in the workspace.
pub fn apply(
    project: Project,
    workspace: &str,
    session: &str,
    since: Since,
) -> Result<(Project, Result<Plan>)> {
    let since = since.indexed();
    let lock = match exclusively(&project) {
        Ok(lock) => lock,
        Err(error) => return Ok((project, Err(error))),
    };
    let token = match project.store.publishing() {
        Ok(token) => token,
        Err(error) => return Ok((project, Err(error))),
    };
    let staging = project.staging().join(session);
    let (project, span) = match bring_in(&project, &token, &staging, &since) {
        Err(error) if error.is(libc::EACCES) => {
            let place = project.close();
            let span = as_root_of_own_files("read what the run wrote", || {
                let project = place.again()?.open()?;
                bring_in(&project, &token, &staging, &since)
            });
            (place.open()?, span)
        }
        span => (project, span),
    };
    let done = span.and_then(|span| {
        failpoint::at("apply.own").context("write", &project.root)?;
        let Some(Span { from, to }) = span else { return Ok(Plan::default()) };
        let between = Some((Digest::from_bytes(from), Digest::from_bytes(to)));
        let wanted = Wanted { workspace, between, quick: true, ..Wanted::default() };
        write_plan(&project, &wanted, &token)
    });
    drop(lock);
    Ok((project, done))
}

/// The host base, and the same with a run's changes.
#[derive(Serialize, Deserialize)]
struct Span {
    from: [u8; 32],
    to: [u8; 32],
}

/// Takes a run's changes into the head. `None`: there are none.
fn bring_in(project: &Project, token: &Publishing, staging: &Path, since: &Since) -> Result<Option<Span>> {
    let record = Record::read(staging)?
        .ok_or_else(|| Error::failure("the session has ended and what the run wrote is in the workspace"))?;
    let store = &project.store;
    let take = |dir: &Dir, name: &CStr, stat: &Stat| -> Result<Content> {
        let (path, file) = (dir.join(name), dir.open_file(name)?);
        let stored = store.publish_copy(token, file.as_fd(), (stat.size, stat.blocks), &path)?;
        Ok(Content { digest: stored.digest, size: stored.size, sparse: stored.sparse })
    };
    let Changed { found, gone, dirs } = upper::read_since(&staging.join("upper"), since, &take)?;
    let mut changed = Upper { found, ..Upper::default() };
    forget_mounts(&mut changed, &record.mounts, &record.made);
    let mut changes = edits(changed);
    changes.extend(gone.into_iter().map(|path| (path, Edit::Remove)));
    if changes.is_empty() {
        return Ok(None);
    }
    let _alone = checkpoint::hold(staging)?;
    let dir_at = |path: &[u8]| Ok(dirs.get(path).cloned());
    project.manifest.transaction(|_| {
        checkpoint::add(project, token, &record, changes.clone(), &dir_at)?;
        span(project, record.workspace, changes, &dir_at).map(Some)
    })
}

/// The changes between two states of a workspace, on its host base.
pub(super) fn on_host_base(
    project: &Project,
    workspace: &Workspace,
    (before, after): (&Digest, &Digest),
) -> Result<(Digest, Digest)> {
    let manifest = &project.manifest;
    if workspace.host_base == Some(*before) {
        return Ok((*before, *after));
    }
    let mut changes = Vec::new();
    diff(manifest, Some(before), Some(after), &mut |change| {
        let edit = match change.after {
            None => Edit::Remove,
            Some(entry) if entry.is_dir() => {
                let opaque = !change.before.as_ref().is_some_and(Entry::is_dir);
                Edit::Dir { meta: entry.meta, opaque: opaque && !change.path.is_empty() }
            }
            Some(entry) => Edit::Put(entry),
        };
        changes.push((change.path, edit));
        Ok(())
    })?;
    let meta_at = |path: &[u8]| -> Result<Option<Meta>> {
        let entry = lookup(manifest, after, path)?;
        Ok(entry.filter(Entry::is_dir).map(|entry| entry.meta))
    };
    let span = manifest.transaction(|_| span(project, workspace.id, changes, &meta_at))?;
    Ok((Digest::from_bytes(span.from), Digest::from_bytes(span.to)))
}

/// Inside a transaction.
fn span(
    project: &Project,
    workspace: i64,
    changes: Vec<(Vec<u8>, Edit)>,
    dir_at: &DirAt<'_>,
) -> Result<Span> {
    let manifest = &project.manifest;
    let from = match manifest.workspace_by_id(workspace)?.host_base {
        Some(base) => base,
        None => write_empty_root(manifest, dir_at(b"")?.unwrap_or_default())?,
    };
    let to = apply_onto(manifest, &from, changes, dir_at)?;
    Ok(Span { from: *from.as_bytes(), to: *to.as_bytes() })
}
