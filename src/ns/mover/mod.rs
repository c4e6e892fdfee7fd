//! The mover: renames a directory that the overlay refuses to rename (EXDEV), because it
//! exists in a lower.
//!
//! A child of init, for one request, and one at a time, so no two moves meet. Like init it
//! is a clone of a process that may have had threads: raw system calls on memory prepared
//! before. It has init's power over the session's own files, so the kernel is asked again
//! first, with no more rights than the caller's: what is not EXDEV is the answer.
//!
//! ```text
//! destination's parent/.vrift-move-…   directories made anew, everything else a hard link   ← killed here:
//!        │ rename(2), atomic                                                                   the source is whole
//! destination                                                                                ← killed here:
//!        └ then the source: each name whose inode the destination has, and what is empty       nothing is lost
//! ```
//! A link copies a file of the lower up and keeps its data, times, modes, xattrs, and the
//! hard links among its names; sockets, FIFOs and open files go along. Directories are new
//! inodes: one that a process has open, or as its working directory, is the old one, and is
//! removed. What somebody adds to the source meanwhile and the destination does not have
//! is not removed: it stays where it was put, and so do the directories above it.

mod dress;
mod request;
mod rights;
mod tree;

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, RawDir, RenameFlags, StatxFlags};
use rustix::io::Errno;

use super::init::close_others;
use super::sys;
use crate::psfs::door;
use request::{Name, Request};
pub(super) use tree::Memory;
use tree::{Pair, TREE};

/// The child's whole life. `root` is where the session's overlay is.
pub(super) fn main(connection: OwnedFd, root: &CStr, memory: &mut Memory) -> ! {
    let _ = rustix::thread::set_name(c"vrift-mover");
    close_others(&[connection.as_raw_fd()]);
    if let Some(request) = Request::receive(&connection) {
        let errno = match rename(&connection, root, &request, memory) {
            Ok(()) => 0,
            Err(errno) => told(errno).raw_os_error(),
        };
        say(&connection, door::DONE, errno);
    }
    sys::exit(0)
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

fn rename(connection: &OwnedFd, root: &CStr, request: &Request, memory: &mut Memory) -> Result<(), Errno> {
    let Request { flags, old, new } = request;
    let flags = RenameFlags::from_bits_retain(*flags);
    let kernel = || rustix::fs::renameat_with(&old.dir, old.name(), &new.dir, new.name(), flags);
    match rights::as_peer(connection, kernel)? {
        Err(Errno::XDEV) => {}
        answer => return answer,
    }
    // With both on one mount it was the filesystem that said EXDEV, and it is the last to be asked.
    let overlay = device(&rustix::fs::statx(CWD, root, AtFlags::empty(), StatxFlags::BASIC_STATS)?);
    let [from, to] = [&old.dir, &new.dir].map(tree::stat_fd);
    let (from, to) = (from?, to?);
    if from.stx_mnt_id != to.stx_mnt_id || device(&from) != overlay || device(&to) != overlay {
        return Err(Errno::XDEV);
    }
    let mut mover = Mover { connection, mount: from.stx_mnt_id, memory };
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
        let (aside, name) = self.copy(&source, &new.dir)?;
        let flags = flags.intersection(RenameFlags::NOREPLACE);
        let moved = rustix::fs::renameat_with(&new.dir, name.name(), &new.dir, new.name(), flags);
        if let Err(errno) = moved {
            self.remove(aside, &name);
            return Err(errno);
        }
        say(self.connection, door::MOVED, 0);
        tree::remove_linked(self.memory, Pair { a: source, b: aside })?;
        match rustix::fs::unlinkat(&old.dir, old.name(), AtFlags::REMOVEDIR) {
            // what came meanwhile stays
            Ok(()) | Err(Errno::NOTEMPTY | Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Each of the two gets the other's name; one at least is a directory.
    ///
    /// While one of them has no name but a temporary one, that is one which is taken in:
    /// killed there, nothing is lost, and that name is left.
    fn exchange(&mut self, old: &Name, new: &Name) -> Result<(), Errno> {
        let (first, second) = match rustix::fs::openat(&old.dir, old.name(), TREE, Mode::empty()) {
            Ok(first) => (first, rustix::fs::openat(&new.dir, new.name(), TREE, Mode::empty())),
            Err(Errno::NOTDIR | Errno::LOOP) => return self.exchange(new, old),
            Err(errno) => return Err(errno),
        };
        let (aside, name) = self.copy(&first, &new.dir)?;
        let done = match second {
            Ok(second) => self.exchange_trees(old, new, (&first, &aside, &name), &second),
            Err(Errno::NOTDIR | Errno::LOOP) => self.exchange_with_leaf(old, new, (&first, &aside, &name)),
            Err(errno) => Err(errno),
        };
        done.inspect_err(|errno| {
            if *errno != Errno::IO {
                self.remove(aside, &name);
            }
        })
    }

    /// A directory and something else. An error other than EIO: nothing has changed.
    fn exchange_with_leaf(&mut self, old: &Name, new: &Name, copy: Copy<'_>) -> Result<(), Errno> {
        let (first, aside, name) = copy;
        let shown = name.shown()?;
        put(name, &shown, RenameFlags::NOREPLACE)?;
        put(&shown, new, RenameFlags::EXCHANGE).inspect_err(|_| {
            let _ = put(&shown, name, RenameFlags::NOREPLACE);
        })?;
        say(self.connection, door::MOVED, 0);
        self.empty(first, aside)?;
        rustix::fs::unlinkat(&old.dir, old.name(), AtFlags::REMOVEDIR).map_err(|_| Errno::IO)?;
        put(&shown, old, RenameFlags::NOREPLACE).map_err(|_| Errno::IO)
    }

    /// Two directories. An error other than EIO: nothing has changed.
    fn exchange_trees(
        &mut self,
        old: &Name,
        new: &Name,
        (first, aside, name): Copy<'_>,
        second: &OwnedFd,
    ) -> Result<(), Errno> {
        let (other, other_name) = self.copy(second, &old.dir)?;
        let shown = (name.shown()?, other_name.shown()?);
        let both = put(name, &shown.0, RenameFlags::NOREPLACE)
            .and_then(|()| put(&other_name, &shown.1, RenameFlags::NOREPLACE));
        if let Err(errno) = both {
            let _ = put(&shown.0, name, RenameFlags::NOREPLACE);
            self.remove(other, &other_name);
            return Err(errno);
        }
        // from here on it must go through: whatever stops it, both trees are there whole
        say(self.connection, door::MOVED, 0);
        self.empty(second, &other)?;
        put(&shown.0, new, RenameFlags::empty()).map_err(|_| Errno::IO)?;
        self.empty(first, aside)?;
        put(&shown.1, old, RenameFlags::empty()).map_err(|_| Errno::IO)
    }

    /// Takes from a directory what its copy has.
    fn empty(&mut self, dir: &OwnedFd, copy: &OwnedFd) -> Result<(), Errno> {
        let pair = again(dir).and_then(|a| Ok(Pair { a, b: again(copy)? }));
        pair.and_then(|pair| tree::remove_linked(self.memory, pair)).map_err(|_| Errno::IO)
    }

    /// A copy of a tree under a temporary name in `dir`. When it fails nothing is left of
    /// it, not even the time of that directory.
    fn copy(&mut self, source: &OwnedFd, dir: &OwnedFd) -> Result<(OwnedFd, Name), Errno> {
        let before = tree::stat_fd(dir)?;
        let (aside, name) = make_aside(dir)?;
        let pair = again(source).and_then(|a| Ok(Pair { a, b: again(&aside)? }));
        let copied = pair.and_then(|pair| tree::link_all(self.memory, pair, self.mount, self.connection));
        if let Err(errno) = copied {
            self.remove(aside, &name);
            let _ = dress::times(dir, &before);
            return Err(errno);
        }
        Ok((aside, name))
    }

    /// Removes a copy.
    fn remove(&mut self, aside: OwnedFd, name: &Name) {
        // all of it is in itself
        if let Ok(same) = again(&aside) {
            let _ = tree::remove_all(self.memory, Pair { a: aside, b: same });
        }
        let _ = rustix::fs::unlinkat(&name.dir, name.name(), AtFlags::REMOVEDIR);
    }
}

/// A tree, its copy, and the copy's name.
type Copy<'a> = (&'a OwnedFd, &'a OwnedFd, &'a Name);

/// rename(2) of what is no directory of a lower.
fn put(from: &Name, to: &Name, flags: RenameFlags) -> Result<(), Errno> {
    rustix::fs::renameat_with(&from.dir, from.name(), &to.dir, to.name(), flags)
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
