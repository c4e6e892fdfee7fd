//! Taking in what a session wrote.
//!
//! ```text
//! upper ──hash, link──▶ objects ──▶ trees ──one transaction──▶ head, pending row
//!                                                                   │ only then
//!                                     settle objects · fold base · remove staging · remove row
//! ```
//! Where the base is shared the upper becomes a layer, if what it holds is just what the
//! head has over the session's start (rule 10); its files may be objects, which are then
//! left as they are (rule 11).
//!
//! Nothing in the upper is renamed, removed, chmod-ed or stripped before the
//! transaction has committed (rule 1). Killed before it: the next command takes the
//! same upper in again. Killed after it: the pending row says what is left to do, and
//! each step may be repeated.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::checkpoint;
use super::mounts::stage::forget_mounts;
use super::moved;
use super::project::{Place, Project};
use super::record::{self, Record};
use super::stack::{adopt, bring_to_head, sweep};
use super::staging;
use crate::cas::publish::{Keep, Stored};
use crate::cas::store::Publishing;
use crate::cas::{Digest, Store};
use crate::error::{Context, Result};
use crate::manifest::base::Pending;
use crate::manifest::edit::Edit;
use crate::manifest::history::Cause;
use crate::manifest::node::Content;
use crate::os::crew::{self, Jobs};
use crate::os::dir::{Dir, Stat};
use crate::os::failpoint;
use crate::os::remove;
use crate::os::userns::as_root_of_own_files;
use crate::overlay::projection::HARDLINK;
use crate::overlay::since;
use crate::overlay::upper::{self, Found, Upper};
use crate::progress::Meter;

/// Objects that one worker settles before it asks for more.
const SETTLED: usize = 64;

/// What a take-in did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Taken {
    /// Files, links and FIFOs written.
    pub written: usize,
    /// Names deleted.
    pub deleted: usize,
    /// Bytes that the store did not have.
    pub new_bytes: u64,
    /// Paths in conflict with what the head had become meanwhile.
    pub conflicts: usize,
    /// Names that cannot be kept, and why: ready to be shown.
    pub left_out: Vec<String>,
    /// The head moved.
    pub changed: bool,
    /// The new head's number, the N of `@N`.
    pub number: Option<i64>,
    /// The root the session began with and what it made of it, when these differ.
    pub span: Option<([u8; 32], [u8; 32])>,
}

/// How the staged files may be made objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody can write to them any more: they are linked.
    Closed,
    /// Somebody might: they are copied, and the copy is hashed (rule 2).
    MayBeWritten,
}

/// Takes a session's staging in and puts it away.
pub fn take_in(project: Project, session: &str, trust: Trust, meter: &Meter) -> Result<(Project, Taken)> {
    let staging = project.staging().join(session);
    let record = Record::read(&staging)?;
    let Some(record) = record else {
        // Opened no further than its directory: nothing can have been written.
        return staging::remove(&staging).map(|()| (project, Taken::default()));
    };
    if untouched(&staging, &record)? {
        if record.mounts.is_empty() {
            staging::put_by(&project, record.workspace, &staging)?;
        } else {
            staging::remove(&staging)?; // it holds what was mounted
        }
        return Ok((project, Taken::default()));
    }
    if trust == Trust::Closed {
        record::mark_closed(&staging)?;
        failpoint::at("take-in.closed").context("take in", &staging)?;
    }
    let _alone = checkpoint::hold(&staging)?;
    // The manifest is opened anew in the process that may read all of the caller's
    // files (rule 4, db.rs).
    let place = project.close();
    let taken = as_root_of_own_files("take in what the session wrote", || {
        let project = place.again()?.open()?;
        finish_pending(&project, record.workspace)?;
        take_in_as_owner(&project, &staging, &record, (trust, meter))
    })?;
    Ok((place.open()?, taken))
}

/// Removes a session's staging with all that was written. Cut short, what is left is
/// marked, and the next command removes it.
pub fn discard(project: &Project, staging: &Path) -> Result<()> {
    record::mark_discarded(staging)?;
    failpoint::at("discard.marked").context("discard", staging)?;
    let _alone = checkpoint::hold(staging)?;
    if record::may_be_objects(staging) {
        settle_staged(project, staging)?;
        failpoint::at("discard.settled").context("discard", staging)?;
    }
    // what was written first: without it the rest is an empty session
    for part in ["upper", "work"] {
        staging::remove(&staging.join(part))?;
        failpoint::at("discard.emptied").context("discard", staging)?;
    }
    staging::remove(staging)
}

/// A take-in that was cut short may have made objects of staged files, which are about to go:
/// those objects get an object's mode.
pub fn settle_staged(project: &Project, staging: &Path) -> Result<()> {
    let keep = kept(project)?;
    as_root_of_own_files("settle objects", || resettle(&project.store, staging, keep))
}

/// Whether a session wrote anything.
pub fn has_written(staging: &Path) -> Result<bool> {
    match Record::read(staging)? {
        Some(record) => untouched(staging, &record).map(|untouched| !untouched),
        None => Ok(false),
    }
}

/// Removes the staging of a session of `workspace` that ended without writing anything,
/// or was never opened. False: it holds something, or belongs to another workspace.
pub fn put_away_untouched(place: &Place, workspace: i64, session: &str) -> Result<bool> {
    let staging = place.staging().join(session);
    let empty = match Record::read(&staging) {
        Ok(Some(record)) => record.workspace == workspace && untouched(&staging, &record)?,
        // Cut short before its record was whole. Another workspace's may be in the making.
        Ok(None) | Err(_) => {
            let upper = staging.join("upper");
            record::is_of(session, workspace)
                && (upper.symlink_metadata().is_err() || upper::is_empty(&upper).unwrap_or(false))
        }
    };
    if empty {
        staging::remove(&staging)?;
    }
    Ok(empty)
}

/// Cheap: the upper is empty, or has what the session's mounts needed and is as it was made, and
/// its root has the metadata that the session began with.
fn untouched(staging: &Path, record: &Record) -> Result<bool> {
    let upper = staging.join("upper");
    if staging.join(checkpoint::NAME).exists() {
        return Ok(false); // what was there at a checkpoint may be gone
    }
    if !record.upper_print.is_empty() {
        let names = record.upper_print.split(' ').next().and_then(|count| count.parse().ok());
        return match since::print(&upper, names.unwrap_or(0)) {
            Ok(print) => Ok(print == record.upper_print),
            Err(error) if error.is(libc::EACCES) => Ok(false),
            Err(error) => Err(error),
        };
    }
    match upper::is_empty(&upper) {
        Ok(true) => {}
        Ok(false) => return Ok(false),
        Err(error) if error.is(libc::EACCES) => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(record.upper_root == upper::root_meta(&upper)?.fingerprint())
}

fn take_in_as_owner(
    project: &Project,
    staging: &Path,
    record: &Record,
    (trust, meter): (Trust, &Meter),
) -> Result<Taken> {
    failpoint::at("take-in.read").context("take in", staging)?;
    let token = project.store.publishing()?;
    let manifest = &project.manifest;
    let start = record.start_root()?;
    let begun = moved::unfinished(staging)?;
    let (mut upper, published) = read_upper(&project.store, &token, staging, (trust, meter))?;
    failpoint::at("take-in.published").context("take in", staging)?;
    let is_plain = upper.is_plain && record.mounts.is_empty() && record.made.is_empty();
    forget_mounts(&mut upper, &record.mounts, &record.made);
    let is_finished = moved::finish(&mut upper, staging, begun.as_deref())?;
    let is_plain = is_plain && !is_finished;
    let mut taken = summary(&upper, published.new_bytes);
    let names = i64::try_from(upper.found.len()).unwrap_or(i64::MAX);
    let edits = edits(upper);
    let pending = manifest.transaction(|manifest| {
        let (state, moved) = checkpoint::move_to(project, &token, record, edits, Cause::Run)?;
        manifest.remove_meta(&checkpoint::key(&record.session))?;
        taken.span = (state != start).then(|| (*start.as_bytes(), *state.as_bytes()));
        let Some(moved) = moved else { return Ok(None) };
        taken.conflicts = moved.conflicts;
        taken.changed = moved.changed;
        taken.number = moved.number;
        let layer = match trust == Trust::Closed && moved.root == state {
            true => layer_for(project, record, (&start, &state))?,
            false => None,
        };
        if let Some(layer) = layer {
            manifest.set_layer_size(layer, names, published.twice)?;
        }
        let (staging, to) = (record.session.clone(), moved.root);
        let id = manifest.add_pending(moved.workspace, &staging, (&start, &to), layer)?;
        Ok(Some(Pending { id, staging, from: start, to, layer }))
    })?;
    failpoint::at("take-in.committed").context("take in", staging)?;
    // Committed: only now may staged files change.
    if pending.as_ref().is_none_or(|row| row.layer.is_none()) {
        let keep = kept(project)?;
        settle_all(&project.store, &published.unsettled, keep)?;
    }
    failpoint::at("take-in.settled").context("take in", staging)?;
    drop(token);
    project.store.add_debt(taken.new_bytes);
    match pending {
        Some(row) => put_away(project, record.workspace, &row, is_plain)?,
        None => remove::remove_tree(staging)?,
    }
    Ok(taken)
}

/// The layer that an upper is to become: where the base is shared, and what shows the
/// workspace is what showed the session. Inside a transaction.
fn layer_for(project: &Project, record: &Record, (under, root): (&Digest, &Digest)) -> Result<Option<i64>> {
    let manifest = &project.manifest;
    let now = manifest.workspace_by_id(record.workspace)?;
    let top = record.layers.first().copied();
    if now.base != Some(record.base) || now.layer != top || manifest.sharers(record.base)? < 2 {
        return Ok(None);
    }
    manifest.add_layer((record.base, top), under, root).map(Some)
}

/// What was published while an upper was read.
#[derive(Default)]
struct Published {
    /// Objects that may still have a staged file's mode and xattrs, and how many names the
    /// inode has by the staged file.
    unsettled: Vec<(Digest, u64)>,
    new_bytes: u64,
    /// Bytes of files that are not the objects themselves.
    twice: i64,
}

fn read_upper(
    store: &Store,
    token: &Publishing,
    staging: &Path,
    (trust, meter): (Trust, &Meter),
) -> Result<(Upper, Published)> {
    if meter.is_watched() {
        meter.expect(upper::count_files(&staging.join("upper")), 0);
    }
    let published = Mutex::new(Published::default());
    let take = |dir: &Dir, name: &CStr, stat: &Stat| -> Result<Content> {
        let stored = publish(store, token, (dir, name), stat, trust)?;
        meter.file(stored.size);
        // A file with another name may be the object itself: a take-in that was killed
        // before its commit linked it and never settled it.
        let is_object =
            stored.new || stat.nlink > 1 && stored.size > 0 && store.is_object(&stored.digest, stat.ino)?;
        let mut published = published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if is_object {
            published.unsettled.push((stored.digest, names(stat, stored.new)));
            published.new_bytes += if stored.new { stored.size } else { 0 };
        } else {
            let size = i64::try_from(stored.size).unwrap_or(i64::MAX);
            published.twice = published.twice.saturating_add(size);
        }
        Ok(Content { digest: stored.digest, size: stored.size, sparse: stored.sparse })
    };
    let upper = upper::read(&staging.join("upper"), &take)?;
    Ok((upper, published.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)))
}

fn publish(
    store: &Store,
    token: &Publishing,
    (dir, name): (&Dir, &CStr),
    stat: &Stat,
    trust: Trust,
) -> Result<Stored> {
    let path = dir.join(name);
    let file = dir.open_file(name)?;
    let extent = (stat.size, stat.blocks);
    match trust {
        // an object keeps its file's mode as long as a layer shares it, and must be readable
        Trust::Closed if stat.mode & 0o400 != 0 => {
            store.publish_staged(token, (dir.as_fd(), name), file.as_fd(), extent, &path)
        }
        _ => store.publish_copy(token, file.as_fd(), extent, &path),
    }
    .map_err(|error| error.with_hint("what was written stays in staging; the next command takes it in"))
}

pub(super) fn summary(upper: &Upper, new_bytes: u64) -> Taken {
    let mut taken = Taken { new_bytes, ..Taken::default() };
    for (_, found) in &upper.found {
        match found {
            Found::Whiteout => taken.deleted += 1,
            Found::Leaf(_) => taken.written += 1,
            Found::Dir { .. } => {}
        }
    }
    taken.left_out =
        upper.skipped.iter().map(|(path, why)| format!("{}: {why}", super::sync::shown(path))).collect();
    taken
}

/// What is not kept still hid what was there before.
pub(super) fn edits(upper: Upper) -> Vec<(Vec<u8>, Edit)> {
    let left_out = upper.skipped.into_iter().map(|(path, _)| (path, Edit::Remove));
    let found = upper.found.into_iter().map(|(path, found)| {
        let edit = match found {
            Found::Whiteout => Edit::Remove,
            Found::Dir { meta, opaque } => Edit::Dir { meta, opaque },
            Found::Leaf(entry) => Edit::Put(entry),
        };
        (path, edit)
    });
    found.chain(left_out).collect()
}

/// Finishes take-ins of a workspace that have committed: the steps after the
/// transaction, each of which may have been done already. Run as the owner of all.
pub fn finish_pending(project: &Project, workspace: i64) -> Result<()> {
    for row in project.manifest.pending(workspace)? {
        let staging = project.staging().join(&row.staging);
        if row.layer.is_none() && staging.symlink_metadata().is_ok() {
            resettle(&project.store, &staging, kept(project)?)?;
        }
        put_away(project, workspace, &row, false)?;
    }
    Ok(())
}

/// Settles objects, in parallel.
fn settle_all(store: &Store, objects: &[(Digest, u64)], keep: Keep) -> Result<()> {
    let settle = |some: &[(Digest, u64)], _: &Jobs<_>| {
        some.iter().try_for_each(|(digest, names)| store.settle(digest, *names, keep))
    };
    crew::run(&settle, |lead| objects.chunks(SETTLED).try_for_each(|some| lead.give(some)))
}

/// What objects keep of staged files: a tree of hard links will link them.
fn kept(project: &Project) -> Result<Keep> {
    Ok(if project.manifest.has_projection(HARDLINK)? { Keep::Mode } else { Keep::Nothing })
}

/// How many names a staged file's inode has when no lower tree shares it: an object's, and
/// those of the upper. Of a file that was an object before, one counts.
fn names(stat: &Stat, new: bool) -> u64 {
    if new { u64::from(stat.nlink) + 1 } else { 2 }
}

/// What follows a committed take-in once its objects are settled. `is_plain`: the upper
/// holds nothing that was not taken in.
fn put_away(project: &Project, workspace: i64, row: &Pending, is_plain: bool) -> Result<()> {
    adopt(project, workspace, row, is_plain)?;
    bring_to_head(project, workspace)?;
    let staging = project.staging().join(&row.staging);
    failpoint::at("take-in.shown").context("put away", &staging)?;
    remove::remove_large_tree(&staging)?;
    failpoint::at("take-in.removed").context("put away", &staging)?;
    project.manifest.remove_pending(row.id)?;
    // what the layer made superfluous was held by the row; what a killed sweep left goes too
    sweep(project)
}

/// Settles every object that shares its inode with a staged file. Nothing is published:
/// whoever has a staged file open could change the object later (rule 2), and all that
/// the head names is there already.
fn resettle(store: &Store, staging: &Path, keep: Keep) -> Result<()> {
    let settle = |dir: &Dir, name: &CStr, stat: &Stat| -> Result<Content> {
        if stat.size == 0 || stat.nlink == 1 {
            // no object has it; nobody asks what it holds
            return Ok(Content { digest: Digest::of(b""), size: 0, sparse: false });
        }
        let path = dir.join(name);
        let file = dir.open_file(name)?;
        let hashed = store.hash_staged(file.as_fd(), (stat.size, stat.blocks), &path)?;
        if store.is_object(&hashed.digest, stat.ino)? {
            store.settle(&hashed.digest, names(stat, false), keep)?;
        }
        Ok(Content { digest: hashed.digest, size: hashed.size, sparse: hashed.sparse })
    };
    let upper = staging.join("upper");
    if upper.symlink_metadata().is_ok() {
        upper::read(&upper, &settle)?;
    }
    Ok(())
}
