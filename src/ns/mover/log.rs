//! What was linked, name by name, and by that the source's end: what a log does not name
//! was not moved, and what it names and is gone was deleted by somebody meanwhile.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, RawDir, RenameFlags, Statx};
use rustix::io::Errno;

use super::again;
use super::tree::{Memory, Pair, TREE, are_linked, stat, unless_gone};

/// Bytes of a log.
const LOG: usize = 64 << 20;
/// How often a directory is looked through for what is added to it all the time.
const SWEEPS: u32 = 16;

const ENTER: u8 = 1;
const LEAF: u8 = 2;
const LEAVE: u8 = 3;

/// Entries: ENTER name NUL, LEAF print name NUL, LEAVE.
#[derive(Default)]
pub(super) struct Log(Vec<u8>);

impl Log {
    pub(super) fn new() -> Self {
        let mut log = Vec::new();
        let _ = log.try_reserve_exact(LOG);
        Self(log)
    }

    pub(super) fn end(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn enter(&mut self, name: &CStr) -> Result<(), Errno> {
        self.push(ENTER, &[], name.to_bytes_with_nul())
    }

    pub(super) fn leaf(&mut self, name: &CStr, stat: &Statx) -> Result<(), Errno> {
        self.push(LEAF, &print(stat).to_ne_bytes(), name.to_bytes_with_nul())
    }

    pub(super) fn leave(&mut self) -> Result<(), Errno> {
        self.push(LEAVE, &[], &[])
    }

    fn push(&mut self, kind: u8, print: &[u8], name: &[u8]) -> Result<(), Errno> {
        if self.0.capacity() - self.0.len() < 1 + print.len() + name.len() {
            return Err(Errno::NOMEM);
        }
        self.0.push(kind);
        self.0.extend_from_slice(print);
        self.0.extend_from_slice(name);
        Ok(())
    }

    fn name(&self, at: usize) -> Result<&CStr, Errno> {
        self.0.get(at..).and_then(|rest| CStr::from_bytes_until_nul(rest).ok()).ok_or(Errno::INVAL)
    }

    fn print(&self, at: usize) -> Result<u64, Errno> {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk::<8>).ok_or(Errno::INVAL)?;
        Ok(u64::from_ne_bytes(*bytes))
    }
}

/// What tells one file from another that has come to its name: when it was made and last
/// written, its size and kind. Inode numbers do not (see `are_linked`).
fn print(stat: &Statx) -> u64 {
    let kind = u64::from(stat.stx_mode) & 0o170_000;
    let times = [stat.stx_btime, stat.stx_mtime].map(|time| [time.tv_sec as u64, u64::from(time.tv_nsec)]);
    let mut hash = 0xcbf2_9ce4_8422_2325u64; // FNV-1a, by words
    for word in times.into_iter().flatten().chain([stat.stx_size, kind]) {
        hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// A directory on both sides; either may be gone.
pub(super) struct Level {
    a: Option<OwnedFd>,
    b: Option<OwnedFd>,
    /// Its own name's place in the log.
    name: usize,
}

/// Takes from the first side what was linked to the second, with what happened to names of
/// the first one meanwhile happening to those of the second. Everything else in it goes
/// along as it is, where the second has no such name. Directories that are empty then go;
/// not the first side itself.
pub(super) fn replay(memory: &mut Memory, part: Range<usize>, top: &Pair) -> Result<(), Errno> {
    let (log, levels) = (&memory.log, &mut memory.levels);
    levels.clear();
    levels.push(Level { a: Some(again(&top.a)?), b: Some(again(&top.b)?), name: part.start });
    let mut at = part.start;
    while at < part.end {
        let Some(here) = levels.last() else { return Err(Errno::INVAL) };
        match log.0.get(at) {
            Some(&ENTER) => {
                let name = log.name(at + 1)?;
                let open = |dir: &Option<OwnedFd>| match dir {
                    Some(dir) => unless_gone(rustix::fs::openat(dir, name, TREE, Mode::empty())),
                    None => Ok(None),
                };
                let level = Level { a: open(&here.a)?, b: open(&here.b)?, name: at + 1 };
                if levels.len() == levels.capacity() {
                    return Err(Errno::NOMEM);
                }
                at += 2 + name.count_bytes();
                levels.push(level);
            }
            Some(&LEAF) => {
                let name = log.name(at + 9)?;
                leaf(here, name, log.print(at + 1)?)?;
                at += 10 + name.count_bytes();
            }
            Some(&LEAVE) => {
                let Some(left) = levels.pop() else { return Err(Errno::INVAL) };
                if let Some(above) = levels.last() {
                    leave(above, &left, log.name(left.name)?)?;
                }
                at += 1;
            }
            _ => return Err(Errno::INVAL),
        }
    }
    sweep(&top.a, &top.b).map(drop)
}

fn leaf(here: &Level, name: &CStr, linked: u64) -> Result<(), Errno> {
    let look = |dir: &Option<OwnedFd>| match dir {
        Some(dir) => unless_gone(stat(dir, name)),
        None => Ok(None),
    };
    let (a, b) = (look(&here.a)?, look(&here.b)?);
    let is_linked = |stat: &Statx| print(stat) == linked;
    let both = a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| are_linked(a, b));
    match (&a, &b) {
        // as it should be; or deleted or replaced under its new name
        (Some(a), _) if both || is_linked(a) => remove(&here.a, name),
        // replaced under its old name
        (Some(_), Some(b)) if is_linked(b) => match (&here.a, &here.b) {
            (Some(from), Some(to)) => match rustix::fs::renameat(from, name, to, name) {
                Err(Errno::XDEV) => Ok(()), // by a directory of a lower: it stays
                done => unless_gone(done).map(drop),
            },
            _ => Ok(()),
        },
        // deleted under its old name
        (None, Some(b)) if is_linked(b) => remove(&here.b, name),
        _ => Ok(()),
    }
}

fn remove(dir: &Option<OwnedFd>, name: &CStr) -> Result<(), Errno> {
    let Some(dir) = dir else { return Ok(()) };
    unless_gone(rustix::fs::unlinkat(dir, name, AtFlags::empty())).map(drop)
}

fn leave(above: &Level, left: &Level, name: &CStr) -> Result<(), Errno> {
    match (above, left) {
        (Level { a: Some(above), .. }, Level { a: Some(a), b: Some(b), .. }) => {
            remove_swept(above, name, a, b)
        }
        (Level { a: Some(above), .. }, Level { a: Some(_), b: None, .. }) => rmdir(above, name).map(drop),
        // deleted under its old name
        (Level { b: Some(above), .. }, Level { a: None, b: Some(_), .. }) => rmdir(above, name).map(drop),
        _ => Ok(()),
    }
}

/// Removes a directory `a`, which is `name` in `above`; what is still in it goes to `b`.
pub(super) fn remove_swept(above: &OwnedFd, name: &CStr, a: &OwnedFd, b: &OwnedFd) -> Result<(), Errno> {
    for _ in 0..SWEEPS {
        if rmdir(above, name)? || !sweep(a, b)? {
            break;
        }
    }
    Ok(())
}

/// True: it is gone. What is in it stays.
fn rmdir(above: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Moves what is in a directory to another one; true: something was. What has a namesake
/// there stays, and so does a directory of a lower.
fn sweep(a: &OwnedFd, b: &OwnedFd) -> Result<bool, Errno> {
    let Some(dir) = unless_gone(again(a))? else { return Ok(false) };
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&dir, &mut buffer);
    let mut any = false;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let is_dots = matches!(name.to_bytes(), b"." | b"..");
        let flags = RenameFlags::NOREPLACE;
        any |= !is_dots && rustix::fs::renameat_with(a, name, b, name, flags).is_ok();
    }
    Ok(any)
}
