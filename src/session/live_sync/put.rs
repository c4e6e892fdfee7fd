//! Writing a plan into a view that commands are writing to as well.
//!
//! ```text
//! make aside ─▶ exchange names ─▶ look at what was there ─▶ remove it
//!  .vrift-live-…                        │ not what the plan saw, or open for writing
//!                                       └▶ exchange back: the session's version stands
//! ```
//! A name has its old or its new version at any moment. What was there is judged when nobody
//! can reach it by name any more, by its content: times of two writes within one tick are the
//! same. Each path is done, or not, by itself; what is not done is planned anew next time.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, unlinkat};
use rustix::io::Errno;

use crate::cas::Store;
use crate::error::{Context, Error, Result};
use crate::manifest::dir::tree_order;
use crate::manifest::edit::Edit;
use crate::manifest::node::{Entry, Kind, Meta};
use crate::os::beneath;
use crate::os::cursor::{c_name, split};
use crate::os::dir::Dir;
use crate::os::failpoint;
use crate::os::lease::is_being_written;
use crate::os::remove::remove_at;
use crate::overlay::escape::To;
use crate::overlay::projection::{self, Copy, Item};
use crate::progress::Meter;
use crate::session::apply::names::{exchange, rename_new};
use crate::session::apply::plan::{Act, Plan, Step};
use crate::session::mounts::is_below;

/// Writes through a mount.
pub(super) struct Writer<'a> {
    top: &'a Dir,
    store: &'a Store,
    /// What tells its temporary names from all others.
    nonce: String,
}

/// What was done, step by step.
pub(super) struct Outcome {
    pub(super) done: Vec<bool>,
    pub(super) waits: Vec<(Vec<u8>, String)>,
    /// A path was changed while it was written.
    pub(super) again: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(top: &'a Dir, store: &'a Store) -> Self {
        Self { top, store, nonce: format!("live-{}", crate::session::apply::nonce()) }
    }

    pub(super) fn run(&self, plan: &Plan) -> Result<Outcome> {
        let steps = &plan.steps;
        let there = |step: &Step| step.ours.is_some() == step.theirs.is_some();
        let done = steps.iter().map(|step| step.act == Act::Nothing && there(step)).collect();
        let mut outcome = Outcome { done, waits: Vec::new(), again: false };
        // A name that moved is there under the new one before the old one goes.
        let puts = |over_dir: bool| {
            move |(_, step): &(usize, &Step)| is_put(step) && over_dir == is_dir(&step.theirs)
        };
        for (index, step) in steps.iter().enumerate().filter(puts(false)) {
            self.attempt(&mut outcome, index, step, || self.put(steps, index));
        }
        for (index, step) in steps.iter().enumerate().rev() {
            if matches!(step.act, Act::Remove | Act::Gone) {
                self.attempt(&mut outcome, index, step, || self.remove(step, index));
            }
        }
        for (index, step) in steps.iter().enumerate().filter(puts(true)) {
            self.attempt(&mut outcome, index, step, || self.put(steps, index));
        }
        within(steps, &mut outcome.done);
        self.dress(plan, &mut outcome)?;
        Ok(outcome)
    }

    /// What cannot be done for one path keeps nothing else from being done.
    fn attempt(&self, outcome: &mut Outcome, index: usize, step: &Step, work: impl FnOnce() -> Result<bool>) {
        // a link inside is a file of its own once it is written to, so all names wait together
        if is_put(step) && step.ours.as_ref().is_some_and(|ours| ours.group != 0) {
            return outcome.waits.push((step.path.clone(), "it has hard links".into()));
        }
        match work() {
            Ok(true) => outcome.done[index] = true,
            Ok(false) => outcome.again = true,
            Err(error) if has_moved(&error) => outcome.again = true,
            Err(error) => outcome.waits.push((step.path.clone(), error.to_string())),
        }
    }

    /// False: somebody changed it in between, and that stands.
    fn put(&self, steps: &[Step], index: usize) -> Result<bool> {
        let Some(step) = steps.get(index) else { return Ok(false) };
        let (dir, name) = self.at(&step.path)?;
        let temporary = self.temporary(index)?;
        let made = projection::add(
            self.top.again()?,
            self.items(steps, index, &temporary).into_iter().map(Ok),
            &Copy { store: self.store, meter: &Meter::default(), to: To::Host },
        );
        if let Err(error) = made {
            let _ = remove_at(&dir, &temporary);
            return Err(error);
        }
        let new = dir.stat(&temporary)?.ino;
        let placed = failpoint::at("live.made")
            .context("bring in", dir.join(&name))
            .and_then(|()| self.place(&dir, (&temporary, &name), new, step, index));
        // never what the session had there
        if dir.stat_if_there(&temporary)?.is_some_and(|stat| stat.ino == new) {
            remove_at(&dir, &temporary)?;
        }
        placed
    }

    fn place(
        &self,
        dir: &Dir,
        (temporary, name): (&CStr, &CStr),
        new: u64,
        step: &Step,
        index: usize,
    ) -> Result<bool> {
        let free = || match rename_new(dir, temporary, name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno).context("put in place", dir.join(name)),
        };
        match &step.theirs {
            None => return free(),
            Some(theirs) if theirs.is_dir() => {
                unlinkat(dir, name, AtFlags::REMOVEDIR).context("remove", dir.join(name))?;
                return free();
            }
            Some(_) if is_dir(&step.result) => {
                return Ok(self.take_away(dir, name, step, index)? && free()?);
            }
            Some(_) => {}
        }
        if !self.is_seen(dir, name, step)? {
            return Ok(false);
        }
        exchange(dir, temporary, name).context("put in place", dir.join(name))?;
        failpoint::at("live.swapped").context("bring in", dir.join(name))?;
        if self.is_seen(dir, temporary, step)? {
            remove_at(dir, temporary)?;
            return Ok(true);
        }
        // Not what the plan saw: it gets its name back, unless that has a later version by now.
        for _ in 0..3 {
            if dir.stat_if_there(name)?.is_none_or(|stat| stat.ino != new) {
                break;
            }
            exchange(dir, temporary, name).context("put back", dir.join(name))?;
        }
        if dir.stat_if_there(temporary)?.is_some_and(|stat| stat.ino != new) {
            remove_at(dir, temporary)?; // the session has written over it
        }
        Ok(false)
    }

    fn remove(&self, step: &Step, index: usize) -> Result<bool> {
        let (dir, name) = match self.at(&step.path) {
            Err(error) if error.is(libc::ENOENT) => return Ok(true),
            other => other?,
        };
        if !is_dir(&step.theirs) {
            return self.take_away(&dir, &name, step, index);
        }
        match unlinkat(&dir, &*name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            // something was made in it
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno).context("remove", dir.join(&name)),
        }
    }

    /// Removes what is no directory, if it is what the plan saw.
    fn take_away(&self, dir: &Dir, name: &CStr, step: &Step, index: usize) -> Result<bool> {
        let old = c_name(format!(".vrift-{}-{index}-old", self.nonce).as_bytes())?;
        match rename_new(dir, name, &old) {
            Err(Errno::NOENT) => return Ok(true),
            other => other.context("remove", dir.join(name))?,
        }
        failpoint::at("live.away").context("bring in", dir.join(name))?;
        if self.is_seen(dir, &old, step)? {
            return remove_at(dir, &old).map(|()| true);
        }
        match rename_new(dir, &old, name) {
            Err(Errno::EXIST) => remove_at(dir, &old)?, // there is a later version
            other => other.context("put back", dir.join(name))?,
        }
        Ok(false)
    }

    /// Whether a name has what the plan saw, and nobody is writing to it.
    fn is_seen(&self, dir: &Dir, name: &CStr, step: &Step) -> Result<bool> {
        let (Some(stat), Some(theirs)) = (dir.stat_if_there(name)?, &step.theirs) else { return Ok(false) };
        let Meta { mode, mtime, .. } = &theirs.meta;
        if stat.mtime != (mtime.secs, mtime.nanos) {
            return Ok(false);
        }
        match &theirs.kind {
            Kind::Symlink(target) => Ok(stat.kind == FileType::Symlink && dir.read_link(name)? == *target),
            Kind::Fifo => Ok(stat.kind == FileType::Fifo && stat.mode == *mode),
            Kind::File(content) => {
                if stat.kind != FileType::RegularFile || stat.mode != *mode || stat.size != content.size {
                    return Ok(false);
                }
                let file = dir.open_file(name)?;
                if is_being_written(&file) {
                    return Ok(false);
                }
                // as it was read for the plan
                let extent = (stat.size, if content.sparse { 0 } else { u64::MAX });
                let path = dir.join(name);
                Ok(self.store.hash_staged(file.as_fd(), extent, &path)?.digest == content.digest)
            }
            Kind::Dir(_) => Ok(false),
        }
    }

    /// Mode, attributes and times of directories: of those that differ, and times of those in
    /// which names were changed.
    fn dress(&self, plan: &Plan, outcome: &mut Outcome) -> Result<()> {
        let steps = &plan.steps;
        let mut touched: BTreeSet<&[u8]> = BTreeSet::new();
        for (step, done) in steps.iter().zip(&outcome.done) {
            let changes = is_put(step) || matches!(step.act, Act::Remove | Act::Gone);
            if let (true, true, Some((above, _))) = (*done, changes, split(&step.path)) {
                touched.insert(above);
            }
        }
        let mut dirs: Vec<usize> = (0..steps.len())
            .filter(|&index| {
                let step = &steps[index];
                let both = is_dir(&step.theirs) && is_dir(&step.result);
                both && (step.act == Act::Dress || touched.contains(step.path.as_slice()))
            })
            .collect();
        dirs.sort_by(|a, b| tree_order(&steps[*b].path, &steps[*a].path));
        for index in dirs {
            let (Some(step), Some(done)) = (steps.get(index), outcome.done.get_mut(index)) else { continue };
            match self.dress_one(step) {
                Ok(dressed) => *done = dressed || step.act == Act::Nothing && *done,
                Err(error) if has_moved(&error) => outcome.again = true,
                Err(error) => outcome.waits.push((step.path.clone(), error.to_string())),
            }
        }
        Ok(())
    }

    fn dress_one(&self, step: &Step) -> Result<bool> {
        let (Some(theirs), Some(result)) = (&step.theirs, &step.result) else { return Ok(false) };
        let dir = beneath::open_dir(self.top, &step.path)?;
        if dir.stat_self()?.mode != theirs.meta.mode {
            return Ok(false);
        }
        if theirs.meta.xattrs == result.meta.xattrs {
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(result.meta.mode.into()))
                .context("set the mode of", dir.path())?;
            rustix::fs::futimens(&dir, &projection::times(result.meta.mtime))
                .context("set the times of", dir.path())?;
        } else {
            projection::dress_host(&dir, &result.meta)?;
        }
        Ok(true)
    }

    fn at(&self, path: &[u8]) -> Result<(Dir, CString)> {
        let (above, name) = split(path).ok_or_else(|| Error::failure("the project's root stays"))?;
        Ok((beneath::open_dir(self.top, above)?, c_name(name)?))
    }

    fn temporary(&self, index: usize) -> Result<CString> {
        c_name(format!(".vrift-{}-{index}", self.nonce).as_bytes())
    }

    /// A name's new version under its temporary name, and all that is in it.
    fn items(&self, steps: &[Step], index: usize, temporary: &CStr) -> Vec<Item> {
        let mut items = Vec::new();
        let Some(step) = steps.get(index) else { return items };
        let above = split(&step.path).map_or(&b""[..], |(above, _)| above);
        let top = crate::session::sync::walk::join(above, temporary.to_bytes());
        let mut add = |path: Vec<u8>, entry: &Entry| {
            items.push(Item { path, entry: entry.clone(), must_be_there: false });
        };
        step.result.iter().for_each(|entry| add(top.clone(), entry));
        let inner = steps.iter().skip(index + 1).filter(|inner| is_below(&inner.path, &step.path));
        for inner in inner.filter(|inner| inner.act == Act::Within) {
            let path = [&top[..], &inner.path[step.path.len()..]].concat();
            inner.result.iter().for_each(|entry| add(path.clone(), entry));
        }
        items
    }
}

/// A file's metadata comes with a new file: what is in the view may be written to meanwhile.
fn is_put(step: &Step) -> bool {
    step.act == Act::Put || step.act == Act::Dress && !is_dir(&step.theirs)
}

fn is_dir(entry: &Option<Entry>) -> bool {
    entry.as_ref().is_some_and(Entry::is_dir)
}

/// What is in a directory was made with it.
fn within(steps: &[Step], done: &mut [bool]) {
    let mut top: Option<(&[u8], bool)> = None;
    for (step, done) in steps.iter().zip(done) {
        match (step.act, top) {
            (Act::Within, Some((above, made))) if is_below(&step.path, above) => *done = made,
            (Act::Put, _) => top = Some((&step.path, *done)),
            _ => {}
        }
    }
}

fn has_moved(error: &Error) -> bool {
    [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::EEXIST, libc::ENOTEMPTY, libc::ESTALE]
        .iter()
        .any(|&errno| error.is(errno))
}

/// What the session is known to have now: the head's version of each path that is done.
pub(super) fn edits(plan: &Plan, done: &[bool]) -> Vec<(Vec<u8>, Edit)> {
    let mut edits = Vec::new();
    let mut said: Option<&[u8]> = None;
    for (step, done) in plan.steps.iter().zip(done) {
        if said.is_some_and(|above| is_below(&step.path, above)) {
            continue;
        }
        let was_dir = is_dir(&step.base);
        let edit = match &step.ours {
            _ if !done => {
                if !was_dir {
                    said = Some(&step.path);
                }
                continue;
            }
            None => Edit::Remove,
            Some(ours) if ours.is_dir() => Edit::Dir { meta: ours.meta.clone(), opaque: !was_dir },
            Some(ours) => Edit::Put(ours.clone()),
        };
        if !matches!(edit, Edit::Dir { .. }) {
            said = Some(&step.path);
        }
        // the root is a directory before and after
        if !(step.path.is_empty() && matches!(edit, Edit::Remove)) {
            edits.push((step.path.clone(), edit));
        }
    }
    edits
}
