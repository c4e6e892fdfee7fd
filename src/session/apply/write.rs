//! Writing a plan to the host, and finishing or taking back what a killed apply began.
//!
//! ```text
//! journal ─▶ make aside ─▶ sync ─▶ look again ─▶ journal ─▶ swap names ─▶ sync ─▶ journal ─▶ remove old ─▶ times
//!  planned    .vrift-…                            staged                         committed
//! ```
//!
//! A name gets its new version in one step, and the old one stays under the temporary name
//! until all names have theirs: up to then everything can be put back, and is when
//! something fails. What is swapped out is looked at again: if it is not what the plan saw,
//! somebody has changed it in between, and all is put back.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, fsync, utimensat};
use rustix::io::Errno;

use super::host::Id;
use super::journal::{Clothes, Dress, Journal, Phase, Swap};
use super::names::{aside, exchange, rename_new};
use super::plan::{Act, Plan, Step};
use crate::cas::Store;
use crate::error::{Context, Error, Kind, Result, quoted};
use crate::manifest::node::{Entry, Meta};
use crate::os::beneath::{self, Latest};
use crate::os::cursor::{c_name, split};
use crate::os::dir::{Dir, Stat};
use crate::os::failpoint;
use crate::os::remove::remove_at;
use crate::overlay::escape::{self, To};
use crate::overlay::projection::{self, Copy, Item};
use crate::progress::Meter;
use crate::session::mounts::is_below;
use crate::session::project::Project;
use crate::session::sync::walk::join;

/// Up to so many inodes each is synced by itself; the whole filesystem is above.
const FEW: usize = 64;

/// Where an apply works.
pub struct Desk<'a> {
    /// The host's directory.
    pub top: &'a Dir,
    /// The project's directory in the store.
    pub project: &'a Path,
    pub store: &'a Store,
    /// Of what is made.
    pub meter: Option<&'a Meter>,
}

/// What the steps of a plan come to on the disk.
pub fn journal_of(plan: &Plan, nonce: &str, after: super::journal::After, quick: bool) -> Journal {
    let steps = plan.by_path();
    let (mut swaps, mut dresses) = (Vec::<Swap>::new(), Vec::new());
    let mut touched: BTreeSet<&[u8]> = BTreeSet::new();
    for step in &plan.steps {
        let id = step.seen.as_ref().map(|seen| seen.id);
        match step.act {
            Act::Nothing | Act::Within => {}
            Act::Put | Act::Remove => {
                touched.insert(above(&step.path));
                let temporary = format!(".vrift-{nonce}-{}", swaps.len()).into_bytes();
                let (path, puts) = (step.path.clone(), step.act == Act::Put);
                swaps.push(Swap { path, temporary, old: id, below: Vec::new(), puts, new: None });
            }
            Act::Gone => {
                if let (Some(swap), Some(id)) = (swaps.last_mut(), id) {
                    swap.below.push((step.path.clone(), id));
                }
            }
            Act::Dress if step.theirs.as_ref().is_some_and(Entry::is_dir) => {
                touched.insert(&step.path);
            }
            Act::Dress => dresses.extend(dress(step)),
        }
    }
    let mut dirs: Vec<Dress> =
        touched.iter().filter_map(|path| steps.get(path).and_then(|step| dress(step))).collect();
    dirs.sort_by(|a, b| crate::manifest::dir::tree_order(&a.path, &b.path));
    Journal::new(swaps, dresses, dirs, after, quick)
}

fn dress(step: &Step) -> Option<Dress> {
    let (from, to) = (step.theirs.as_ref()?, step.result.as_ref()?);
    let id = step.seen.as_ref().map(|seen| seen.id);
    Some(Dress { path: step.path.clone(), id, from: Clothes::from(&from.meta), to: Clothes::from(&to.meta) })
}

impl<'a> Desk<'a> {
    pub fn new(top: &'a Dir, project: &'a Project) -> Self {
        Self { top, project: &project.dir, store: &project.store, meter: None }
    }
}

impl Desk<'_> {
    /// Writes a plan whose journal is on the disk. After an error the host is as before.
    pub fn run(&self, plan: &Plan, journal: &mut Journal) -> Result<()> {
        let done = self.stage(plan, journal).and_then(|()| self.go_on(journal));
        done.or_else(|error| {
            if journal.phase == Phase::Committed { Err(error) } else { self.take_back(journal, error) }
        })
    }

    /// Finishes what a killed apply began, or takes it back. False: it was taken back.
    pub fn resume(&self, journal: &mut Journal) -> Result<bool> {
        if journal.phase == Phase::Planned {
            self.put_back(journal)?;
            return Ok(false);
        }
        match self.go_on(journal) {
            Ok(()) => Ok(true),
            Err(error) if journal.phase == Phase::Committed => Err(error),
            Err(error) => self.take_back(journal, error).map(|()| true),
        }
    }

    /// Makes every new version under its temporary name, durably.
    fn stage(&self, plan: &Plan, journal: &mut Journal) -> Result<()> {
        let items = items(plan, journal)?;
        let few = items.len() <= FEW && !items.iter().any(|item| item.entry.is_dir());
        let unwatched = Meter::default();
        let meter = self.meter.unwrap_or(&unwatched);
        let contents = items.iter().filter_map(|item| item.entry.content());
        contents.for_each(|content| meter.expect(1, content.size));
        projection::add(
            self.top.again()?,
            items.into_iter().map(Ok),
            &Copy { store: self.store, meter, to: To::Host },
        )?;
        let steps = plan.by_path();
        let mut latest = Latest::default();
        for swap in journal.swaps.iter_mut().filter(|swap| swap.puts) {
            let (dir, temporary) = (self.parent(&mut latest, &swap.path)?, c_name(&swap.temporary)?);
            let stat = dir.stat(&temporary)?;
            if let Some(step) = steps.get(swap.path.as_slice()) {
                keep_owner(&dir, &temporary, &stat, step)?;
            }
            swap.new = Some(stat.ino);
        }
        let made = journal.swaps.iter().filter(|swap| swap.puts);
        let made: Vec<_> = made.map(|swap| (above(&swap.path), swap.temporary.as_slice())).collect();
        let dirs = made.iter().map(|(above, _)| *above).collect();
        if !journal.quick {
            self.sync(few, made.into_iter(), &dirs)?;
        }
        self.look_again(journal)?;
        journal.phase = Phase::Staged;
        failpoint::at("apply.made").context("write", self.project)?;
        journal.write(self.project)?;
        failpoint::at("apply.staged").context("write", self.project)
    }

    /// Nothing may have changed since the plan was made.
    fn look_again(&self, journal: &Journal) -> Result<()> {
        let mut latest = Latest::default();
        for (path, id) in journal
            .swaps
            .iter()
            .map(|swap| (&swap.path, &swap.old))
            .chain(journal.dresses.iter().map(|dress| (&dress.path, &dress.id)))
        {
            let (dir, name) = (self.parent(&mut latest, path)?, self.name(path)?);
            let same = match (dir.stat_if_there(&name)?, id) {
                (Some(stat), Some(id)) => id.is(&stat),
                (None, None) => true,
                _ => false,
            };
            if !same {
                return Err(changed(path));
            }
        }
        Ok(())
    }

    /// From staged to the end. Each step may have been done already.
    fn go_on(&self, journal: &mut Journal) -> Result<()> {
        if journal.phase == Phase::Staged {
            let mut latest = Latest::default();
            for swap in &journal.swaps {
                self.swap(&mut latest, swap)?;
                failpoint::at("apply.swapped").context("write", self.project)?;
            }
            for dress in &journal.dresses {
                self.dress(&mut latest, dress, &dress.to)?;
                failpoint::at("apply.dressed").context("write", self.project)?;
            }
            if !journal.quick {
                self.sync_swapped(journal)?;
            }
            failpoint::at("apply.synced").context("write", self.project)?;
            journal.phase = Phase::Committed;
            if let Err(error) = journal.write(self.project) {
                journal.phase = Phase::Staged;
                return Err(error);
            }
            failpoint::at("apply.committed").context("write", self.project)?;
        }
        let mut latest = Latest::default();
        for swap in journal.swaps.iter().filter(|swap| swap.old.is_some()) {
            let dir = self.parent(&mut latest, &swap.path)?;
            remove_at(&dir, &c_name(&swap.temporary)?)?;
            failpoint::at("apply.removed").context("write", self.project)?;
        }
        self.dress_dirs(journal, |dress| &dress.to)?;
        failpoint::at("apply.done").context("write", self.project)
    }

    /// Gives a name its new version, and the old one the temporary name.
    fn swap(&self, latest: &mut Latest, swap: &Swap) -> Result<()> {
        let (dir, name, temporary) =
            (self.parent(latest, &swap.path)?, self.name(&swap.path)?, c_name(&swap.temporary)?);
        if swap.puts && swap.old.is_some() {
            aside(&dir, &temporary, &name)?;
        }
        let (there, aside) = (dir.stat_if_there(&name)?, dir.stat_if_there(&temporary)?);
        let is =
            |stat: &Option<Stat>, ino: Option<u64>| stat.as_ref().is_some_and(|stat| Some(stat.ino) == ino);
        let old = swap.old.as_ref().map(|old| old.ino);
        let done = match swap.puts {
            true => is(&there, swap.new),
            false => there.is_none() && is(&aside, old),
        };
        if done {
            return Ok(());
        }
        if swap.puts && !is(&aside, swap.new) {
            return Err(changed(&join(above(&swap.path), &swap.temporary)));
        }
        let moved = match (swap.puts, &swap.old) {
            (true, Some(_)) => exchange(&dir, &temporary, &name),
            (true, None) => rename_new(&dir, &temporary, &name),
            (false, _) => rename_new(&dir, &name, &temporary),
        };
        moved.map_err(|errno| match errno {
            Errno::EXIST | Errno::NOENT => changed(&swap.path),
            errno => Error::io("put in place", dir.join(&name), &errno.into()),
        })?;
        match (&swap.old, dir.stat_if_there(&temporary)?) {
            (Some(old), Some(stat)) => self.is_what_was_seen(&stat, swap, old),
            _ => Ok(()),
        }
    }

    /// Whether what was swapped out is the old version.
    fn is_what_was_seen(&self, stat: &Stat, swap: &Swap, old: &Id) -> Result<()> {
        if !old.is_moved(stat) {
            return Err(changed(&swap.path));
        }
        if !old.is_dir {
            return Ok(());
        }
        // all that goes with a directory, and nothing else
        let top = join(above(&swap.path), &swap.temporary);
        let moved = |path: &[u8]| [&top[..], &path[swap.path.len()..]].concat();
        let mut known: std::collections::HashMap<&[u8], &Id> =
            swap.below.iter().map(|(path, id)| (path.as_slice(), id)).collect();
        let mut dirs = vec![swap.path.clone()];
        while let Some(path) = dirs.pop() {
            let here = beneath::open_dir(self.top, &moved(&path))?;
            for name in here.names()? {
                let inner = join(&path, name.name.to_bytes());
                match known.remove(inner.as_slice()) {
                    Some(id) if here.stat(&name.name).is_ok_and(|stat| id.is(&stat)) => {
                        if id.is_dir {
                            dirs.push(inner);
                        }
                    }
                    _ => return Err(changed(&inner)),
                }
            }
        }
        Ok(())
    }

    fn dress(&self, latest: &mut Latest, dress: &Dress, clothes: &Clothes) -> Result<()> {
        let (dir, name) = (self.parent(latest, &dress.path)?, self.name(&dress.path)?);
        let stat = dir.stat(&name)?;
        if dress.id.as_ref().is_none_or(|id| id.ino != stat.ino) {
            return Err(changed(&dress.path));
        }
        let meta = Meta::from(clothes);
        let path = dir.join(&name);
        if stat.kind == FileType::Symlink {
            return utimensat(&dir, &*name, &projection::times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
                .context("set the times of", path);
        }
        if dress.from.same_xattrs(&dress.to) {
            chmodat(&dir, &*name, Mode::from_raw_mode(meta.mode.into()), AtFlags::empty())
                .context("set the mode of", &path)?;
        } else {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&dir, &*name, flags, Mode::empty()).context("open", &path)?;
            escape::replace_xattrs(&fd, &meta.xattrs, To::Host).context("set attributes of", &path)?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(meta.mode.into()))
                .context("set the mode of", &path)?;
        }
        utimensat(&dir, &*name, &projection::times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .context("set the times of", path)
    }

    /// Bottom-up. The times of a directory of somebody else's are left as they are.
    fn dress_dirs<'j>(&self, journal: &'j Journal, clothes: impl Fn(&'j Dress) -> &'j Clothes) -> Result<()> {
        let few = journal.dirs.len() <= FEW;
        for dress in journal.dirs.iter().rev() {
            let dir = match beneath::open_dir(self.top, &dress.path) {
                Err(error) if error.is(libc::ENOENT) => continue,
                other => other?,
            };
            let meta = Meta::from(clothes(dress));
            let done = match dress.from == dress.to || dress.from.only_time(&dress.to) {
                true => rustix::fs::futimens(&dir, &projection::times(meta.mtime))
                    .context("set the times of", dir.path()),
                false => projection::dress_host(&dir, &meta).map(drop),
            };
            match done {
                Err(error) if error.is(libc::EPERM) && dress.from.only_time(&dress.to) => {}
                other => other?,
            }
            if few && !journal.quick {
                fsync(&dir).context("sync", dir.path())?;
            }
        }
        if few || journal.quick { Ok(()) } else { self.sync_all() }
    }

    /// Puts all back, and gives the reason; or says that it could not.
    fn take_back(&self, journal: &Journal, why: Error) -> Result<()> {
        match self.put_back(journal) {
            Ok(()) => {
                Journal::remove(self.project, journal.quick)?;
                let hint = why.hint().map_or_else(
                    || "nothing was changed".into(),
                    |hint| format!("{hint}; nothing was changed"),
                );
                Err(why.with_hint(hint))
            }
            Err(error) => Err(error.with_hint(format!(
                "this was to take back an apply that failed ({why}); the next vrift command goes on with it"
            ))),
        }
    }

    fn put_back(&self, journal: &Journal) -> Result<()> {
        let mut latest = Latest::default();
        for dress in &journal.dresses {
            // what was not reached, or is somebody else's by now, is left alone
            let _ = self.dress(&mut latest, dress, &dress.from);
        }
        for swap in journal.swaps.iter().rev() {
            let dir = match self.parent(&mut latest, &swap.path) {
                Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) => continue,
                other => other?,
            };
            let (name, temporary) = (self.name(&swap.path)?, c_name(&swap.temporary)?);
            if swap.puts && swap.old.is_some() {
                aside(&dir, &temporary, &name)?;
            }
            let ino = |name: &CStr| dir.stat_if_there(name).map(|stat| stat.map(|stat| stat.ino));
            let (there, aside) = (ino(&name)?, ino(&temporary)?);
            let is_new = |ino: Option<u64>| ino.is_some() && ino == swap.new;
            let old = swap.old.as_ref().map(|old| old.ino);
            let back =
                match (is_new(there), aside.is_some() && !is_new(aside) && journal.phase != Phase::Planned) {
                    (true, true) => exchange(&dir, &temporary, &name),
                    (true, false) if old.is_none() => rename_new(&dir, &name, &temporary),
                    (false, true) if there.is_none() => rename_new(&dir, &temporary, &name),
                    _ => Ok(()),
                };
            back.context("put back", dir.join(&name))?;
            let aside = ino(&temporary)?;
            // never what was there before, and only what was made
            if swap.puts
                && aside.is_some()
                && aside != old
                && (journal.phase == Phase::Planned || is_new(aside))
            {
                remove_at(&dir, &temporary)?;
            }
        }
        self.dress_dirs(journal, |dress| &dress.from)
    }

    /// Names that were swapped, and what changed in place.
    fn sync_swapped(&self, journal: &Journal) -> Result<()> {
        let few = journal.swaps.len() + journal.dresses.len() <= FEW;
        let dressed = journal.dresses.iter().filter_map(|dress| split(&dress.path));
        self.sync(few, dressed, &journal.swaps.iter().map(|swap| above(&swap.path)).collect())
    }

    /// Brings files (directory and name) and directories to the disk.
    fn sync<'p>(
        &self,
        few: bool,
        files: impl Iterator<Item = (&'p [u8], &'p [u8])>,
        dirs: &BTreeSet<&[u8]>,
    ) -> Result<()> {
        if !few {
            return self.sync_all();
        }
        let mut latest = Latest::default();
        for (above, name) in files {
            let (dir, name) = (latest.dir(self.top, above)?, c_name(name)?);
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&dir, &*name, flags, Mode::empty()) {
                Ok(fd) => match fsync(&fd) {
                    Ok(()) | Err(Errno::INVAL) => {} // a FIFO
                    Err(errno) => return Err(errno).context("sync", dir.join(&name)),
                },
                Err(Errno::LOOP) => {}            // a link is all in its directory
                Err(_) => return self.sync_all(), // it may not be read
            }
        }
        dirs.iter().try_for_each(|path| {
            let dir = beneath::open_dir(self.top, path)?;
            fsync(&dir).context("sync", dir.path())
        })
    }

    fn sync_all(&self) -> Result<()> {
        rustix::fs::syncfs(self.top).context("sync", self.top.path())
    }

    fn parent(&self, latest: &mut Latest, path: &[u8]) -> Result<Arc<Dir>> {
        latest.dir(self.top, above(path))
    }

    fn name(&self, path: &[u8]) -> Result<CString> {
        c_name(split(path).map_or(b"", |(_, name)| name))
    }
}

/// Everything new, under its temporary name.
fn items(plan: &Plan, journal: &Journal) -> Result<Vec<Item>> {
    let mut swaps = journal.swaps.iter().filter(|swap| swap.puts).peekable();
    let mut within: Option<(&[u8], Vec<u8>)> = None;
    let mut items = Vec::new();
    for step in &plan.steps {
        let Some(entry) = step.result.clone() else { continue };
        if step.act == Act::Put {
            let Some(swap) = swaps.next_if(|swap| swap.path == step.path) else {
                return Err(Error::corrupt("a plan and its journal do not agree"));
            };
            within = Some((&step.path, join(above(&step.path), &swap.temporary)));
        } else if step.act != Act::Within {
            continue;
        }
        if let Some((top, temporary)) = &within
            && (step.path == *top || is_below(&step.path, top))
        {
            let path = [&temporary[..], &step.path[top.len()..]].concat();
            items.push(Item { path, entry, must_be_there: false });
        }
    }
    Ok(items)
}

/// The directory of a path.
fn above(path: &[u8]) -> &[u8] {
    split(path).map_or(b"", |(above, _)| above)
}

/// A new version belongs to whom the old one belonged, where that may be.
fn keep_owner(dir: &Dir, name: &CStr, now: &Stat, step: &Step) -> Result<()> {
    let (Some(seen), Some(result)) = (&step.seen, &step.result) else { return Ok(()) };
    if (now.uid, now.gid) == (seen.uid, seen.gid) || seen.id.is_dir {
        return Ok(());
    }
    let mut changed = false;
    for (uid, gid) in [(Some(Uid::from_raw(seen.uid)), None), (None, Some(Gid::from_raw(seen.gid)))] {
        changed |= chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    }
    // chown(2) takes setuid and setgid away
    if changed && !matches!(result.kind, crate::manifest::node::Kind::Symlink(_)) {
        let mode = Mode::from_raw_mode(result.meta.mode.into());
        chmodat(dir, name, mode, AtFlags::empty()).context("set the mode of", dir.join(name))?;
    }
    Ok(())
}

fn changed(path: &[u8]) -> Error {
    let path = quoted(std::ffi::OsStr::from_bytes(path));
    Error::new(Kind::Busy, format!("{path} was changed while it was being written"))
        .with_hint("look at it, and apply again")
}
