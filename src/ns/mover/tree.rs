//! Walking a tree on two sides without a call stack: names and open directories are in
//! [`Memory`].

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxFlags};
use rustix::io::Errno;

use super::super::sys;
use super::dress::dress;
use super::log::{Level, Log};
use crate::psfs::door::NAME;

/// How the directories of a tree are opened.
pub(super) const TREE: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Directories deep at most.
const DEPTH: usize = 16_384;
/// Bytes of the names of directories that are still to be walked, with three each.
const NAMES: usize = 32 << 20;
/// Files between two looks at whether somebody still waits.
const LOOK: u32 = 64;

/// A directory on both sides.
pub(super) struct Pair {
    pub(super) a: OwnedFd,
    pub(super) b: OwnedFd,
}

/// A pair in the walk.
struct Frame {
    pair: Pair,
    /// Where its own name begins.
    name: usize,
    /// Where the names begin of what is to be walked below it.
    below: usize,
}

/// Made by the launcher, and not touched before the first move: reserving costs nothing.
pub(in super::super) struct Memory {
    /// Each name with a zero and its length in two bytes.
    names: Vec<u8>,
    frames: Vec<Frame>,
    pub(super) log: Log,
    pub(super) levels: Vec<Level>,
}

impl Memory {
    /// Where there is none, every move ends in EXDEV.
    pub(in super::super) fn new() -> Self {
        let (mut names, mut frames, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        let _ = names.try_reserve_exact(NAMES);
        let _ = frames.try_reserve_exact(DEPTH);
        let _ = levels.try_reserve_exact(DEPTH);
        Self { names, frames, log: Log::new(), levels }
    }

    fn begin(&mut self, pair: Pair) -> Result<(), Errno> {
        self.names.clear();
        self.frames.clear();
        self.push_frame(pair, 0)
    }

    fn push_frame(&mut self, pair: Pair, name: usize) -> Result<(), Errno> {
        if self.frames.len() == self.frames.capacity() {
            return Err(Errno::NOMEM);
        }
        self.frames.push(Frame { pair, name, below: self.names.len() });
        Ok(())
    }

    fn push_name(&mut self, name: &CStr) -> Result<(), Errno> {
        let bytes = name.to_bytes_with_nul();
        if self.names.capacity() - self.names.len() < bytes.len() + 2 {
            return Err(Errno::NOMEM);
        }
        self.names.extend_from_slice(bytes);
        self.names.extend_from_slice(&(bytes.len() as u16).to_ne_bytes());
        Ok(())
    }

    /// The name that ends at `end`: where it begins, and a copy.
    fn name_before(&self, end: usize) -> Option<(usize, Held)> {
        let (rest, length) = self.names.get(..end)?.split_last_chunk::<2>()?;
        let start = rest.len().checked_sub(usize::from(u16::from_ne_bytes(*length)))?;
        let mut held = Held([0; NAME + 1]);
        held.0.get_mut(..rest.len() - start)?.copy_from_slice(rest.get(start..)?);
        Some((start, held))
    }
}

/// A copy of a name.
struct Held([u8; NAME + 1]);

impl Held {
    fn name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// What is done to a tree.
trait Work {
    /// Anything but a directory, named on the first side.
    fn leaf(&mut self, at: &Pair, name: &CStr) -> Result<(), Errno>;
    /// Opens a directory of the first side on both; `None`: it is passed over.
    fn enter(&mut self, at: &Pair, name: &CStr) -> Result<Option<Pair>, Errno>;
    /// Everything in a directory has been walked.
    fn leave(&mut self, at: &Pair) -> Result<(), Errno>;
    /// The same, seen from the one above.
    fn left(&mut self, at: &Pair, name: &CStr) -> Result<(), Errno>;
}

fn walk(memory: &mut Memory, top: Pair, work: &mut dyn Work) -> Result<(), Errno> {
    memory.begin(top)?;
    list(memory, work)?;
    loop {
        let Some(frame) = memory.frames.last() else { return Ok(()) };
        let end = memory.names.len();
        if end > frame.below {
            let (start, held) = memory.name_before(end).ok_or(Errno::INVAL)?;
            match work.enter(&frame.pair, held.name())? {
                Some(pair) => {
                    memory.push_frame(pair, start)?;
                    list(memory, work)?;
                }
                None => memory.names.truncate(start),
            }
            continue;
        }
        work.leave(&frame.pair)?;
        let own = memory.name_before(end);
        let Some(Frame { name, pair, .. }) = memory.frames.pop() else { return Ok(()) };
        drop(pair);
        if let (Some(above), Some((_, held))) = (memory.frames.last(), own) {
            work.left(&above.pair, held.name())?;
        }
        memory.names.truncate(name);
    }
}

/// Reads the last frame's directory: directories are noted, all else is worked on.
fn list(memory: &mut Memory, work: &mut dyn Work) -> Result<(), Errno> {
    let Some(frame) = memory.frames.pop() else { return Ok(()) };
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(&frame.pair.a, &mut buffer);
    let mut read = || -> Result<(), Errno> {
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => kind(&stat(&frame.pair.a, name)?),
                kind => kind,
            };
            match kind {
                FileType::Directory => memory.push_name(name)?,
                _ => work.leaf(&frame.pair, name)?,
            }
        }
        Ok(())
    };
    let done = read();
    memory.frames.push(frame); // into the place it came from
    done
}

/// Makes the second side what the first is: directories anew, all else by links; says
/// which part of the log names them. What goes away meanwhile is passed over.
/// Ends early when nobody waits at the connection any more.
pub(super) fn link_all(
    memory: &mut Memory,
    top: Pair,
    mount: u64,
    waits: &OwnedFd,
) -> Result<Range<usize>, Errno> {
    let log = std::mem::take(&mut memory.log);
    let start = log.end();
    let mut link = Link { mount, waits, since: 0, log };
    let done = walk(memory, top, &mut link);
    memory.log = link.log;
    done.map(|()| start..memory.log.end())
}

struct Link<'a> {
    mount: u64,
    waits: &'a OwnedFd,
    since: u32,
    log: Log,
}

/// Nobody is at the other end of a connection any more.
fn has_hung_up(connection: &OwnedFd) -> bool {
    let gone = libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR;
    let mut entry = [libc::pollfd { fd: connection.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 }];
    sys::poll(&mut entry, 0).is_ok() && entry.iter().any(|entry| entry.revents & gone != 0)
}

impl Work for Link<'_> {
    fn leaf(&mut self, at: &Pair, name: &CStr) -> Result<(), Errno> {
        self.since += 1;
        if self.since >= LOOK {
            self.since = 0;
            if has_hung_up(self.waits) {
                return Err(Errno::CANCELED);
            }
        }
        match rustix::fs::linkat(&at.a, name, &at.b, name, AtFlags::empty()) {
            Ok(()) => self.log.leaf(name, &stat(&at.b, name)?),
            // gone, or listed twice because others came and went
            Err(Errno::NOENT | Errno::EXIST | Errno::PERM) if is_gone_or_there(at, name) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn enter(&mut self, at: &Pair, name: &CStr) -> Result<Option<Pair>, Errno> {
        let Some(a) = unless_gone(rustix::fs::openat(&at.a, name, TREE, Mode::empty()))? else {
            return Ok(None);
        };
        if stat_fd(&a)?.stx_mnt_id != self.mount {
            return Err(Errno::XDEV); // something is mounted here
        }
        match rustix::fs::mkdirat(&at.b, name, Mode::RWXU) {
            Err(Errno::EXIST) => return Ok(None),
            made => made?,
        }
        let b = rustix::fs::openat(&at.b, name, TREE, Mode::empty())?;
        self.log.enter(name)?;
        Ok(Some(Pair { a, b }))
    }

    fn leave(&mut self, at: &Pair) -> Result<(), Errno> {
        dress(&at.a, &at.b)?;
        self.log.leave()
    }

    fn left(&mut self, _: &Pair, _: &CStr) -> Result<(), Errno> {
        Ok(())
    }
}

/// Takes away from the first side what the second has too: names of the same inodes, and
/// then directories that are empty.
pub(super) fn remove_linked(memory: &mut Memory, top: Pair) -> Result<(), Errno> {
    walk(memory, top, &mut Remove { all: false })
}

/// Takes away everything; both sides are the same tree.
pub(super) fn remove_all(memory: &mut Memory, top: Pair) -> Result<(), Errno> {
    walk(memory, top, &mut Remove { all: true })
}

struct Remove {
    all: bool,
}

/// Why a link was refused: its name is gone, or a directory now, or is linked already.
fn is_gone_or_there(at: &Pair, name: &CStr) -> bool {
    let is_dir = |stat: &Statx| kind(stat) == FileType::Directory;
    stat(&at.b, name).is_ok() || stat(&at.a, name).map_or_else(|errno| errno == Errno::NOENT, |a| is_dir(&a))
}

/// Whether two names are of one inode. Inode numbers do not tell: of two names in an
/// overlay one may show the number of the lower's file and the other that of its copy.
/// What was linked has two names at least, and everything else in common; what took the
/// place of one of them has another time of birth, and one name.
pub(super) fn are_linked(a: &Statx, b: &Statx) -> bool {
    let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
    let same = |stat: &Statx| {
        let times = [stat.stx_mtime, stat.stx_ctime, stat.stx_btime].map(time);
        let device = (stat.stx_rdev_major, stat.stx_rdev_minor);
        (times, stat.stx_mode, stat.stx_size, stat.stx_nlink, stat.stx_uid, stat.stx_gid, device)
    };
    a.stx_nlink > 1 && same(a) == same(b)
}

/// What has gone, or been replaced, meanwhile is no reason to stop.
pub(super) fn unless_gone<T>(done: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

impl Work for Remove {
    fn leaf(&mut self, at: &Pair, name: &CStr) -> Result<(), Errno> {
        let (Some(a), Some(b)) = (unless_gone(stat(&at.a, name))?, unless_gone(stat(&at.b, name))?) else {
            return Ok(());
        };
        if self.all || are_linked(&a, &b) {
            unless_gone(rustix::fs::unlinkat(&at.a, name, AtFlags::empty()))?;
        }
        Ok(())
    }

    fn enter(&mut self, at: &Pair, name: &CStr) -> Result<Option<Pair>, Errno> {
        let open = |dir: &OwnedFd| unless_gone(rustix::fs::openat(dir, name, TREE, Mode::empty()));
        Ok(open(&at.a)?.zip(open(&at.b)?).map(|(a, b)| Pair { a, b }))
    }

    fn leave(&mut self, _: &Pair) -> Result<(), Errno> {
        Ok(())
    }

    fn left(&mut self, at: &Pair, name: &CStr) -> Result<(), Errno> {
        unless_gone(rustix::fs::unlinkat(&at.a, name, AtFlags::REMOVEDIR)).map(drop)
    }
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

pub(super) fn stat(dir: &OwnedFd, name: &CStr) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, WANTED)
}

/// Of an open directory.
pub(super) fn stat_fd(dir: impl AsFd) -> Result<Statx, Errno> {
    rustix::fs::statx(dir, c"", AtFlags::EMPTY_PATH, WANTED)
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}
