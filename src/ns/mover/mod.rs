//! The mover: renames a directory that the overlay refuses to rename (EXDEV), because it
//! exists in a lower.
//!
//! A child of init, for one request, and one at a time, so no two moves meet. Like init it
//! is a clone of a process that may have had threads: raw system calls on memory prepared
//! before. It has init's power over the session's own files, so the kernel is asked again
//! first, with no more rights than the caller's: what is not EXDEV is the answer.
//!
//! ```text
//! destination's parent/.vrift-move-…   directories made anew, everything else a hard link
//!        │ the record says what is moved                      ← killed before: the source is whole
//!        │ rename(2), atomic
//! destination                                                 ← killed from here on: it is finished
//!        └ then the source: each name that was linked, what was added to it, what is empty
//! ```
//! A mover that was killed has a successor, which reads the same request, and by the record
//! finishes the move or begins it anew. Where the whole session was killed, who takes it in
//! does (`session::moved`).
//!
//! A link copies a file of the lower up and keeps its data, times, modes, xattrs, and the
//! hard links among its names; sockets, FIFOs and open files go along. Directories are new
//! inodes: one that a process has open, or as its working directory, is the old one, and is
//! removed. What somebody deletes in the source meanwhile, or replaces, is deleted or
//! replaced in the destination when the call returns, and what is added goes there: the log
//! of what was linked tells. A successor has no log: it removes from the source what the
//! destination has, and leaves the rest of both as they are.

mod dress;
mod log;
pub mod record;
mod request;
mod rights;
mod tree;

use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, RawDir, RenameFlags, StatxFlags};
use rustix::io::Errno;

use super::init::close_others;
use super::sys;
use crate::os::failpoint;
use crate::psfs::door;
use record::{Kind, Record, State, Unfinished};
use request::{Name, Request};
pub(super) use tree::Memory;
use tree::{Pair, TREE};

/// What a mover is given.
pub(super) struct Task<'a> {
    pub(super) connection: &'a OwnedFd,
    /// The session's file for [`record`].
    pub(super) record: &'a OwnedFd,
    /// Where the session's overlay is.
    pub(super) root: &'a CStr,
    /// The one before was killed.
    pub(super) again: bool,
}

/// The child's whole life.
pub(super) fn main(task: &Task<'_>, memory: &mut Memory) -> ! {
    let _ = rustix::thread::set_name(c"vrift-mover");
    let (one, other) = (task.connection.as_raw_fd(), task.record.as_raw_fd());
    close_others(&[one.min(other), one.max(other)]);
    let record = Record { file: task.record, root: task.root };
    if let Some(request) = Request::receive(task.connection) {
        match if task.again { record.state() } else { State::Begun } {
            // killed before the kernel had answered, or while it did
            State::Unknown => {}
            State::Done(errno) => say(task.connection, door::DONE, errno),
            _ => answer(task, &record, &request, memory),
        }
    }
    // a socket closed with something unread in it takes the answer along (ECONNRESET)
    request::consume(task.connection);
    sys::exit(0)
}

fn answer(task: &Task<'_>, record: &Record<'_>, request: &Request, memory: &mut Memory) {
    let errno = match rename(task, record, request, memory) {
        Ok(()) => 0,
        Err(errno) => told(errno).raw_os_error(),
    };
    // what could not be finished is left to who takes it in
    if errno == 0 || !matches!(record.state(), State::Pending) {
        let _ = record.end(errno);
    }
    say(task.connection, door::DONE, errno);
}

fn say(connection: &OwnedFd, kind: u32, errno: i32) {
    let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
    let _ = rustix::net::send(connection, &door::reply(kind, errno), flags);
}

/// What rename(2) has no word for is the EXDEV that the kernel had said.
fn told(errno: Errno) -> Errno {
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS => errno,
        Errno::NOENT | Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR => errno,
        Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::INVAL | Errno::NAMETOOLONG => errno,
        _ => Errno::XDEV,
    }
}

fn rename(task: &Task<'_>, record: &Record<'_>, request: &Request, memory: &mut Memory) -> Result<(), Errno> {
    let Request { flags, old, new } = request;
    let flags = RenameFlags::from_bits_retain(*flags);
    // Elsewhere nothing is done for anybody. With both on one mount it was the filesystem that
    // said EXDEV.
    let overlay = device(&rustix::fs::statx(CWD, task.root, AtFlags::empty(), StatxFlags::BASIC_STATS)?);
    let [from, to] = [&old.dir, &new.dir].map(tree::stat_fd);
    let (from, to) = (from?, to?);
    if from.stx_mnt_id != to.stx_mnt_id || device(&from) != overlay || device(&to) != overlay {
        return Err(Errno::XDEV);
    }
    if !task.again {
        record.clear()?;
        let kernel = || rustix::fs::renameat_with(&old.dir, old.name(), &new.dir, new.name(), flags);
        match rights::as_peer(task.connection, kernel)? {
            Err(Errno::XDEV) => {}
            answer => return answer,
        }
    }
    let mut mover = Mover { connection: task.connection, record, mount: from.stx_mnt_id, memory };
    if matches!(record.state(), State::Pending) && mover.resume(old, new)? {
        return Ok(());
    }
    record.begin()?;
    mover.memory.log.clear();
    if flags.contains(RenameFlags::EXCHANGE) {
        return mover.exchange(old, new);
    }
    mover.rename(old, new, flags)
}

fn device(stat: &rustix::fs::Statx) -> (u32, u32) {
    (stat.stx_dev_major, stat.stx_dev_minor)
}

struct Mover<'a> {
    connection: &'a OwnedFd,
    record: &'a Record<'a>,
    /// All of a tree must be on this mount.
    mount: u64,
    memory: &'a mut Memory,
}

impl Mover<'_> {
    fn rename(&mut self, old: &Name, new: &Name, flags: RenameFlags) -> Result<(), Errno> {
        let source = rustix::fs::openat(&old.dir, old.name(), TREE, Mode::empty())?;
        match rustix::fs::openat(&new.dir, new.name(), TREE, Mode::empty()) {
            Ok(there) if !is_empty(&there)? => return Err(Errno::NOTEMPTY),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let copy = self.copy(&source, &new.dir)?;
        let flags = flags.intersection(RenameFlags::NOREPLACE);
        let names = (copy.name.name(), c"");
        let moved = failpoint::at("mover.linked")
            .and_then(|()| self.record.commit(Kind::Rename, false, (old, new), names))
            .and_then(|()| failpoint::at("mover.recorded"))
            .and_then(|()| put_with(&copy.name, new, flags));
        if let Err(errno) = moved {
            self.abandon(&[&copy])?;
            return Err(errno);
        }
        failpoint::at("mover.switched")?;
        say(self.connection, door::MOVED, 0);
        self.finish(old, Pair { a: source, b: copy.dir }, Some(copy.log))?;
        failpoint::at("mover.emptied")
    }

    /// Each of the two gets the other's name; one at least is a directory.
    fn exchange(&mut self, old: &Name, new: &Name) -> Result<(), Errno> {
        match rustix::fs::openat(&old.dir, old.name(), TREE, Mode::empty()) {
            Ok(first) => match rustix::fs::openat(&new.dir, new.name(), TREE, Mode::empty()) {
                Ok(second) => self.exchange_trees((old, &first), (new, &second)),
                Err(Errno::NOTDIR | Errno::LOOP) => self.exchange_with_leaf((old, first), new, false),
                Err(errno) => Err(errno),
            },
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let first = rustix::fs::openat(&new.dir, new.name(), TREE, Mode::empty())?;
                self.exchange_with_leaf((new, first), old, true)
            }
            Err(errno) => Err(errno),
        }
    }

    /// A directory and something else. That has no name but a temporary one for a while,
    /// which is one that is taken in, so it cannot be lost.
    fn exchange_with_leaf(
        &mut self,
        (old, first): (&Name, OwnedFd),
        new: &Name,
        swapped: bool,
    ) -> Result<(), Errno> {
        let copy = self.copy(&first, &new.dir)?;
        let shown = copy.name.shown()?;
        let begun = self
            .record
            .commit(Kind::Leaf, swapped, (old, new), (copy.name.name(), c""))
            .and_then(|()| failpoint::at("mover.recorded"))
            .and_then(|()| put_with(&copy.name, &shown, RenameFlags::NOREPLACE))
            .and_then(|()| failpoint::at("mover.shown"))
            .and_then(|()| {
                put_with(&shown, new, RenameFlags::EXCHANGE).inspect_err(|_| {
                    let _ = put(&shown, &copy.name);
                })
            });
        if let Err(errno) = begun {
            self.abandon(&[&copy])?;
            return Err(errno);
        }
        failpoint::at("mover.switched")?;
        say(self.connection, door::MOVED, 0);
        self.finish(old, Pair { a: first, b: copy.dir }, Some(copy.log))
            .and_then(|()| failpoint::at("mover.emptied"))
            .and_then(|()| put_with(&shown, old, RenameFlags::NOREPLACE))
            .map_err(|_| Errno::IO)
    }

    /// Two directories.
    fn exchange_trees(
        &mut self,
        (old, first): (&Name, &OwnedFd),
        (new, second): (&Name, &OwnedFd),
    ) -> Result<(), Errno> {
        let one = self.copy(first, &new.dir)?;
        let other = match self.copy(second, &old.dir) {
            Ok(other) => other,
            Err(errno) => {
                self.abandon(&[&one])?;
                return Err(errno);
            }
        };
        let shown = (one.name.shown()?, other.name.shown()?);
        let begun = self
            .record
            .commit(Kind::Trees, false, (old, new), (one.name.name(), other.name.name()))
            .and_then(|()| failpoint::at("mover.recorded"))
            .and_then(|()| put_with(&one.name, &shown.0, RenameFlags::NOREPLACE))
            .and_then(|()| failpoint::at("mover.shown"))
            .and_then(|()| put_with(&other.name, &shown.1, RenameFlags::NOREPLACE));
        if let Err(errno) = begun {
            let _ = put(&shown.0, &one.name);
            self.abandon(&[&one, &other])?;
            return Err(errno);
        }
        // from here on it must go through: whatever stops it, both trees are there whole
        failpoint::at("mover.switched")?;
        say(self.connection, door::MOVED, 0);
        let finish = || {
            self.empty(Pair { a: again(second)?, b: other.dir }, Some(other.log))?;
            failpoint::at("mover.emptied")?;
            put(&shown.0, new)?;
            failpoint::at("mover.first")?;
            self.empty(Pair { a: again(first)?, b: one.dir }, Some(one.log))?;
            put(&shown.1, old)
        };
        finish().map_err(|_| Errno::IO)
    }

    /// Goes on where a mover was killed. False: nothing has changed, and what it had
    /// prepared is gone.
    fn resume(&mut self, old: &Name, new: &Name) -> Result<bool, Errno> {
        let mut space = Record::space();
        let Some(begun) = self.record.read(&mut space)? else { return Ok(false) };
        let (old, new) = if begun.swapped { (new, old) } else { (old, new) };
        let Unfinished { kind, first, second, .. } = begun;
        let (one, shown) = (new.beside(first)?, new.beside(first)?.shown()?);
        match kind {
            Kind::Rename if is_there(&one)? => self.undo(&[&one]),
            Kind::Rename => {
                self.finish_by_name(old, new)?;
                Ok(true)
            }
            Kind::Leaf if is_there(&one)? => self.undo(&[&one]),
            Kind::Leaf => match open_dir(&shown) {
                Ok(_) => {
                    put(&shown, &one)?;
                    self.undo(&[&one])
                }
                Err(Errno::NOENT) => Ok(true),
                Err(_) => {
                    self.finish_by_name(old, new)?;
                    put_with(&shown, old, RenameFlags::NOREPLACE)?;
                    Ok(true)
                }
            },
            Kind::Trees => {
                let (other, other_shown) = (old.beside(second)?, old.beside(second)?.shown()?);
                if is_there(&one)? || is_there(&other)? {
                    for (shown, hidden) in [(&shown, &one), (&other_shown, &other)] {
                        unless_missing(put(shown, hidden))?;
                    }
                    return self.undo(&[&one, &other]);
                }
                if is_there(&shown)? {
                    self.empty_by_name(new, &other_shown)?;
                    put(&shown, new)?;
                }
                if is_there(&other_shown)? {
                    self.empty_by_name(old, new)?;
                    put(&other_shown, old)?;
                }
                Ok(true)
            }
        }
    }

    /// Takes copies away that nothing has come of.
    fn undo(&mut self, copies: &[&Name]) -> Result<bool, Errno> {
        self.record.begin()?;
        for name in copies {
            if let Ok(dir) = open_dir(name) {
                self.remove(&dir, name);
            }
        }
        Ok(false)
    }

    /// The same before anything has come of them.
    fn abandon(&mut self, copies: &[&Copy]) -> Result<(), Errno> {
        self.record.begin()?;
        copies.iter().for_each(|copy| self.remove(&copy.dir, &copy.name));
        Ok(())
    }

    fn finish_by_name(&mut self, old: &Name, new: &Name) -> Result<(), Errno> {
        match (open_dir(old), open_dir(new)) {
            (Ok(a), Ok(b)) => self.finish(old, Pair { a, b }, None),
            // somebody has been there since
            _ => Ok(()),
        }
    }

    fn empty_by_name(&mut self, dir: &Name, copy: &Name) -> Result<(), Errno> {
        match (open_dir(dir), open_dir(copy)) {
            (Ok(a), Ok(b)) => self.empty(Pair { a, b }, None),
            _ => Ok(()),
        }
    }

    /// Removes a directory that has a copy; what is not in that stays.
    fn finish(&mut self, name: &Name, pair: Pair, log: Option<Range<usize>>) -> Result<(), Errno> {
        let (a, b) = (again(&pair.a)?, again(&pair.b)?);
        let is_known = log.is_some();
        self.empty(pair, log)?;
        if is_known {
            return log::remove_swept(&name.dir, name.name(), &a, &b);
        }
        match rustix::fs::unlinkat(&name.dir, name.name(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes from a directory what its copy has.
    fn empty(&mut self, pair: Pair, log: Option<Range<usize>>) -> Result<(), Errno> {
        match log {
            Some(part) => log::replay(self.memory, part, &pair),
            None => tree::remove_linked(self.memory, pair),
        }
    }

    /// A copy of a tree under a temporary name in `dir`. When it fails nothing is left of
    /// it, not even the time of that directory.
    fn copy(&mut self, source: &OwnedFd, dir: &OwnedFd) -> Result<Copy, Errno> {
        let before = tree::stat_fd(dir)?;
        let (aside, name) = make_aside(dir)?;
        let pair = again(source).and_then(|a| Ok(Pair { a, b: again(&aside)? }));
        match pair.and_then(|pair| tree::link_all(self.memory, pair, self.mount, self.connection)) {
            Ok(log) => Ok(Copy { dir: aside, name, log }),
            Err(errno) => {
                self.remove(&aside, &name);
                let _ = dress::times(dir, &before);
                Err(errno)
            }
        }
    }

    /// Removes a copy.
    fn remove(&mut self, aside: &OwnedFd, name: &Name) {
        // all of it is in itself
        if let (Ok(a), Ok(b)) = (again(aside), again(aside)) {
            let _ = tree::remove_all(self.memory, Pair { a, b });
        }
        let _ = rustix::fs::unlinkat(&name.dir, name.name(), AtFlags::REMOVEDIR);
    }
}

/// A copy of a tree.
struct Copy {
    dir: OwnedFd,
    name: Name,
    /// What of the log is about it.
    log: Range<usize>,
}

/// rename(2) of what is no directory of a lower, to where nothing is or an empty directory.
fn put(from: &Name, to: &Name) -> Result<(), Errno> {
    put_with(from, to, RenameFlags::empty())
}

fn put_with(from: &Name, to: &Name, flags: RenameFlags) -> Result<(), Errno> {
    rustix::fs::renameat_with(&from.dir, from.name(), &to.dir, to.name(), flags)
}

fn open_dir(name: &Name) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(&name.dir, name.name(), TREE, Mode::empty())
}

fn is_there(name: &Name) -> Result<bool, Errno> {
    unless_missing(tree::stat(&name.dir, name.name()).map(drop))
}

/// False: there is nothing of that name.
fn unless_missing(done: Result<(), Errno>) -> Result<bool, Errno> {
    match done {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A new directory under a temporary name.
fn make_aside(dir: &OwnedFd) -> Result<(OwnedFd, Name), Errno> {
    let mut number = 0;
    loop {
        let name = Name::temporary(dir, number)?;
        match rustix::fs::mkdirat(&name.dir, name.name(), Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) if number < 1000 => {
                number += 1;
                continue;
            }
            Err(errno) => return Err(errno),
        }
        let aside = rustix::fs::openat(&name.dir, name.name(), TREE, Mode::empty())?;
        return Ok((aside, name));
    }
}

/// Another description of the same directory: its own position when it is read.
fn again(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, c".", TREE, Mode::empty())
}

fn is_empty(dir: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
