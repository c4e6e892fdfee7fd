//! Checkpoints: what a live session has written so far becomes the workspace's head,
//! without ending anything.
//!
//! The upper is read from outside while commands go on writing to it, and everything is
//! published by copying (rule 2). What an earlier checkpoint read, and what is still as it
//! was then, is not read again. The root of the last checkpoint is recorded with the head
//! it moved: what the session writes after it is compared with that root, not with the one
//! the session began with.
//!
//! `staging/<session>/checkpoint` is locked by whoever reads an upper to take it in, so
//! that the session's end and a checkpoint never do so at once; it holds what is known of
//! the files that were read.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::mounts::stage::forget_mounts;
use super::moved;
use super::open::live;
use super::project::Project;
use super::record::{self, Record};
use super::sync::clock_of;
use super::take_in::{Taken, edits, summary};
use crate::cas::Digest;
use crate::cas::store::Publishing;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::conflict::SESSION;
use crate::manifest::edit::{Edit, apply};
use crate::manifest::history::Cause;
use crate::manifest::lines::Lines;
use crate::manifest::merge::{Git, How, Side, merge};
use crate::manifest::node::Content;
use crate::manifest::onto::{DirAt, apply_onto};
use crate::os::dir::{Dir, Stat};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::overlay::upper::{self, Upper};

/// The lock, and what is known of files; its presence says that a checkpoint was begun.
pub(super) const NAME: &str = "checkpoint";

/// How the root of what a live session shows now is written.
pub const LIVE: &str = "@live";

/// Keeps everybody else from taking this session's upper in.
pub(super) fn hold(staging: &Path) -> Result<Lock> {
    Lock::wait(&staging.join(NAME), Hold::Exclusive)
}

/// Where the manifest keeps the root of a session's last checkpoint.
pub(super) fn key(session: &str) -> String {
    format!("checkpoint/{session}")
}

/// What moving a head to what a session wrote came to.
pub(super) struct Moved {
    pub(super) workspace: i64,
    pub(super) root: Digest,
    pub(super) conflicts: usize,
    pub(super) changed: bool,
    pub(super) number: Option<i64>,
}

/// Moves the head to what a session has: the root it began with and `edits`. Returns that
/// state, and `None` when it is what the last checkpoint, or the beginning, had. Inside a
/// transaction.
pub(super) fn move_to(
    project: &Project,
    token: &Publishing,
    record: &Record,
    edits: Vec<(Vec<u8>, Edit)>,
    cause: Cause,
) -> Result<(Digest, Option<Moved>)> {
    let (start, before) = (record.start_root()?, last(project, record)?);
    let state = apply(&project.manifest, &start, edits)?;
    if state == before && cause == Cause::Checkpoint || state == start && before == start {
        return Ok((state, None));
    }
    let moved = advance(project, token, record.workspace, (&before, state), cause)?;
    Ok((state, Some(moved)))
}

/// The root of a session's last checkpoint; without one, that which it began with.
pub(super) fn last(project: &Project, record: &Record) -> Result<Digest> {
    match project.manifest.meta(&key(&record.session))? {
        Some(root) => Ok(Digest::from_bytes(
            root.try_into().map_err(|_| Error::corrupt("the root of a checkpoint is no digest"))?,
        )),
        None => record.start_root(),
    }
}

/// Checkpoints a part of what a live session has written. Inside a transaction.
pub(super) fn add(
    project: &Project,
    token: &Publishing,
    record: &Record,
    edits: Vec<(Vec<u8>, Edit)>,
    dir_at: &DirAt<'_>,
) -> Result<()> {
    let before = last(project, record)?;
    let state = apply_onto(&project.manifest, &before, edits, dir_at)?;
    if state == before {
        return Ok(());
    }
    advance(project, token, record.workspace, (&before, state), Cause::Checkpoint)?;
    project.manifest.set_meta(&key(&record.session), state.as_bytes())
}

/// Moves the head by what a session made of a state.
pub(super) fn advance(
    project: &Project,
    token: &Publishing,
    workspace: i64,
    (before, state): (&Digest, Digest),
    cause: Cause,
) -> Result<Moved> {
    let manifest = &project.manifest;
    let now = manifest.workspace_by_id(workspace)?;
    let head = now.head.ok_or_else(|| Error::corrupt("a workspace with a session has no head"))?;
    let mut conflicts = 0;
    let root = if head == *before {
        state
    } else {
        // The head moved while the session lived: its changes are merged into it.
        let text = Lines { store: &project.store, token };
        // Of a repository that changed on both sides the session's stands.
        let git = Git { store: &project.store, keeps: Side::Theirs };
        let how = How { winner: Side::Ours, text: &text, git: Some(git), our_mtimes: false };
        let merged = merge(manifest, Some(before), &head, &state, &how)?;
        for conflict in &merged.conflicts {
            manifest.add_conflict(now.id, SESSION, conflict)?;
        }
        conflicts = merged.conflicts.len();
        merged.root
    };
    let number = manifest.move_head(now.id, Some(&head), &root, cause)?;
    Ok(Moved { workspace: now.id, root, conflicts, changed: root != head, number })
}

/// A session's last checkpoint, and the root of what its upper holds now. Run as the owner
/// of all; nobody else reads the upper.
pub(super) fn states(
    project: &Project,
    staging: &Path,
    session: &str,
) -> Result<Option<([u8; 32], [u8; 32])>> {
    let Some(seen) = look(project, staging, session)? else { return Ok(None) };
    let (start, before) = (seen.record.start_root()?, last(project, &seen.record)?);
    let after = project.manifest.transaction(|manifest| apply(manifest, &start, edits(seen.upper)))?;
    seen.known.write(staging)?;
    Ok(Some((*before.as_bytes(), *after.as_bytes())))
}

/// Takes in what the live session of a workspace has written so far. `None`: no session
/// lives.
pub fn checkpoint(project: Project, workspace: i64) -> Result<(Project, Option<Taken>)> {
    with_live(project, workspace, true, read)
}

/// How long ago the last checkpoint of the live session was, or was begun. `None`: there
/// was none yet.
pub fn age(project: &Project, workspace: i64) -> Result<Option<Duration>> {
    let Some(session) = live(project, workspace)? else { return Ok(None) };
    let file = project.staging().join(session).join(NAME).metadata().ok();
    Ok(file.and_then(|file| file.modified().ok()?.elapsed().ok()))
}

/// The root of what a live session shows.
pub struct Shown {
    pub root: Digest,
    /// No row names that root: until it is dropped nothing of it is swept (rule 15).
    _token: Publishing,
}

/// What the live session of a workspace shows now (`@live`); the head stays where it is.
/// `None`: no session lives.
pub fn live_root(project: Project, workspace: i64) -> Result<(Project, Option<Shown>)> {
    let _token = project.store.publishing()?;
    let (project, root) = with_live(project, workspace, false, |project, staging, session| {
        let Some(seen) = look(project, staging, session)? else { return Ok(None) };
        let start = seen.record.start_root()?;
        let root = project.manifest.transaction(|manifest| apply(manifest, &start, edits(seen.upper)))?;
        seen.known.write(staging)?;
        Ok(Some(*root.as_bytes()))
    })?;
    Ok((project, root.map(|root| Shown { root: Digest::from_bytes(root), _token })))
}

/// The same where one must live.
pub fn known_live_root(project: Project, workspace: &str) -> Result<(Project, Shown)> {
    let id = project.manifest.known_workspace(workspace)?.id;
    let (project, root) = live_root(project, id)?;
    let root = root.ok_or_else(|| {
        Error::failure(format!("workspace `{workspace}` has no live run, so there is no {LIVE}"))
            .with_hint(format!("its state is `{workspace}`; vrift runs shows live runs"))
    })?;
    Ok((project, root))
}

/// Does something with the live session's staging that nobody else may do meanwhile, as the
/// owner of all in it. `keeping`: what it has is to stay, so it must not be one that may be
/// discarded.
fn with_live<T: Serialize + DeserializeOwned>(
    project: Project,
    workspace: i64,
    keeping: bool,
    work: impl FnOnce(&Project, &Path, &str) -> Result<Option<T>>,
) -> Result<(Project, Option<T>)> {
    let Some(session) = live(&project, workspace)? else { return Ok((project, None)) };
    let staging = project.staging().join(&session);
    if keeping && record::alone(&staging) == Some(record::Alone::Discard) {
        return Err(Error::new(Kind::Busy, "the workspace has a live run whose writes may be discarded")
            .with_hint("wait for it to end: vrift runs shows it"));
    }
    let _alone = match hold(&staging) {
        Ok(lock) => lock,
        Err(error) if error.is(libc::ENOENT) => return Ok((project, None)), // it has just ended
        Err(error) => return Err(error),
    };
    let place = project.close();
    let done = as_root_of_own_files("take in what the session wrote so far", || {
        work(&place.again()?.open()?, &staging, &session)
    })?;
    Ok((place.open()?, done))
}

/// What is in a session's upper now, in the store but in no root yet.
struct Look {
    record: Record,
    upper: Upper,
    known: Known,
    new_bytes: u64,
    /// Until it is dropped nothing is swept that was published (rule 15).
    token: Publishing,
}

/// Reads a session's upper. `None`: the session has ended and was put away.
fn look(project: &Project, staging: &Path, session: &str) -> Result<Option<Look>> {
    let belongs = |record: &Record| record.session == session;
    let Some(record) = Record::read(staging)?.filter(belongs) else { return Ok(None) };
    let token = project.store.publishing()?;
    let known = Known::read(staging);
    let began = clock_of(staging);
    let seen = Mutex::new((HashMap::new(), 0));
    let store = &project.store;
    let take = |dir: &Dir, name: &CStr, stat: &Stat| -> Result<Content> {
        // what a look brought into the store is named by nobody, and may be swept since
        let known = known.content(stat);
        let (content, new) = match known {
            Some(content) if content.size == 0 || store.has(&token, &content.digest, content.size)? => {
                (content, 0)
            }
            _ => {
                let (path, file) = (dir.join(name), dir.open_file(name)?);
                let extent = (stat.size, stat.blocks);
                let stored = store.publish_copy(&token, file.as_fd(), extent, &path)?;
                let content = Content { digest: stored.digest, size: stored.size, sparse: stored.sparse };
                (content, if stored.new { stored.size } else { 0 })
            }
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1 += new;
        // A file changed so lately could change again within the same tick (rule 19).
        if stat.mtime < began && stat.ctime < began && stat.size == content.size {
            seen.0.insert(stat.ino, Seen::new(stat, &content));
        }
        Ok(content)
    };
    let begun = moved::unfinished(staging)?;
    let mut upper = upper::read_live(&staging.join("upper"), &take)?;
    let (files, new_bytes) = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    forget_mounts(&mut upper, &record.mounts, &record.made);
    moved::finish(&mut upper, staging, begun.as_deref())?;
    Ok(Some(Look { record, upper, known: Known { files }, new_bytes, token }))
}

fn read(project: &Project, staging: &Path, session: &str) -> Result<Option<Taken>> {
    let Some(seen) = look(project, staging, session)? else { return Ok(None) };
    let Look { record, upper, known, new_bytes, token } = seen;
    let mut taken = summary(&upper, new_bytes);
    failpoint::at("checkpoint.read").context("take in", staging)?;
    let ended = project.manifest.transaction(|manifest| {
        // Ended and put away meanwhile: there is nothing left to take in.
        if Record::read(staging)?.filter(|record| record.session == session).is_none() {
            return Ok(true);
        }
        let (state, moved) = move_to(project, &token, &record, edits(upper), Cause::Checkpoint)?;
        if let Some(moved) = moved {
            (taken.conflicts, taken.changed, taken.number) = (moved.conflicts, moved.changed, moved.number);
            manifest.set_meta(&key(session), state.as_bytes())?;
        }
        Ok(false)
    })?;
    if ended {
        return Ok(None);
    }
    failpoint::at("checkpoint.recorded").context("take in", staging)?;
    known.write(staging)?;
    project.store.add_debt(taken.new_bytes);
    Ok(Some(taken))
}

/// What is known of the files of an upper, by inode. Only a cache.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    files: HashMap<u64, Seen>,
}

/// One file as it was read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
    digest: [u8; 32],
    sparse: bool,
}

impl Seen {
    fn new(stat: &Stat, content: &Content) -> Self {
        let (size, mtime, ctime) = (stat.size, stat.mtime, stat.ctime);
        Self { size, mtime, ctime, digest: *content.digest.as_bytes(), sparse: content.sparse }
    }
}

impl Known {
    fn read(staging: &Path) -> Self {
        let text = std::fs::read(staging.join(NAME)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// In place: the file is the lock.
    fn write(&self, staging: &Path) -> Result<()> {
        let path = staging.join(NAME);
        let text = serde_json::to_vec(self).map_err(std::io::Error::from).context("write", &path)?;
        std::fs::write(&path, text).context("write", &path)
    }

    fn content(&self, stat: &Stat) -> Option<Content> {
        let seen = self.files.get(&stat.ino)?;
        let content =
            Content { digest: Digest::from_bytes(seen.digest), size: seen.size, sparse: seen.sparse };
        (*seen == Seen::new(stat, &content) && seen.size == stat.size).then_some(content)
    }
}
