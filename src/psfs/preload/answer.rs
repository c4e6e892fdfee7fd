//! The functions that are answered from a table, in a section of their own, in which no
//! system call is made: what is not known there goes on in `cold`. Which calls may be
//! answered is rule 30.

use core::ffi::{c_char, c_int, c_uint, c_void};

use super::arch::{PLAIN_OPEN, Stat};
use super::layout::{EXACT, Entry, Time};
use super::lookup::Answer;
use super::state::{Facts, facts, find};
use super::sys::{self, Stamp, Statx};
use super::{cold, finish};

const ENOENT: isize = 2;
const EINVAL: isize = 22;
const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
const AT_NO_AUTOMOUNT: c_int = 0x800;
/// The versions of struct stat that __xstat takes: the kernel's, and Linux's, which are one.
const VERSIONS: core::ops::RangeInclusive<c_int> = 0..=1;

/// Answers for the stat family; `None`: cold.
///
/// # Safety
/// `path` is null or a C string, `out` null or room for the structure.
#[inline(always)]
unsafe fn stat_from_table(path: *const c_char, out: *mut Stat, flags: c_int) -> Option<isize> {
    if out.is_null() || flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    match unsafe { find(path.cast()) } {
        Answer::Absent => Some(-ENOENT),
        Answer::There { entry, root, is_root } => {
            let entry = Entry::decode(entry);
            if !is_told(&entry, flags) {
                return None;
            }
            // SAFETY: the caller's promise.
            unsafe { out.write(stat_of(&entry, &facts(root), is_root)) };
            Some(0)
        }
        Answer::Unknown => None,
    }
}

/// Whether what is known of an entry is what a call with these flags wants.
#[inline(always)]
fn is_told(entry: &Entry, flags: c_int) -> bool {
    entry.bits & EXACT != 0 && (flags & AT_SYMLINK_NOFOLLOW != 0 || !entry.is_link())
}

#[inline(always)]
fn stat_of(entry: &Entry, facts: &Facts, is_root: bool) -> Stat {
    let (major, minor) = (u64::from(facts.dev.0), u64::from(facts.dev.1));
    let time = |time: Time| [time.seconds(), time.nanoseconds().into()];
    Stat {
        // as makedev(3)
        dev: (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32,
        ino: entry.ino,
        nlink: if is_root { facts.nlink } else { entry.nlink }.into(),
        mode: entry.mode.into(),
        uid: facts.uid,
        gid: facts.gid,
        pad: 0,
        rdev: 0,
        size: entry.size,
        block_size: facts.block_size.into(),
        blocks: entry.blocks,
        atime: time(entry.atime),
        mtime: time(entry.mtime),
        ctime: time(entry.ctime),
        unused: [0; 3],
    }
}

/// # Safety
/// As `stat_from_table`.
#[inline(always)]
unsafe fn statx_from_table(path: *const c_char, out: *mut Statx, flags: c_int, mask: c_uint) -> Option<isize> {
    let wanted = sys::STATX_BASIC | sys::STATX_BTIME | sys::STATX_MNT_ID;
    let flagged = flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0;
    if out.is_null() || flagged || mask & !wanted != 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    match unsafe { find(path.cast()) } {
        Answer::Absent => Some(-ENOENT),
        Answer::There { entry, root, is_root } => {
            let (entry, facts) = (Entry::decode(entry), facts(root));
            if !is_told(&entry, flags) || facts.told == 0 {
                return None;
            }
            // SAFETY: the caller's promise.
            unsafe { write_statx(out, &entry, &facts, is_root, mask) };
            Some(0)
        }
        Answer::Unknown => None,
    }
}

/// # Safety
/// `out` has room for the structure.
#[inline(always)]
unsafe fn write_statx(out: *mut Statx, entry: &Entry, facts: &Facts, is_root: bool, mask: c_uint) {
    let changed = if mask & sys::STATX_CHANGED != 0 { sys::STATX_CHANGED } else { 0 };
    let told = facts.told | mask & sys::STATX_BTIME | changed;
    // what is not told is zero
    let stamp = |time: Time, bits| {
        let time = if told & bits != 0 { time } else { Time(0) };
        Stamp { seconds: time.seconds(), nanoseconds: time.nanoseconds(), pad: 0 }
    };
    // SAFETY: the caller's promise. Field by field, for whole structures of this size are
    // cleared and copied by libc.
    unsafe {
        (&raw mut (*out).mask).write(told);
        (&raw mut (*out).block_size).write(facts.block_size);
        (&raw mut (*out).attributes).write(if is_root { facts.attributes } else { 0 });
        (&raw mut (*out).nlink).write(if is_root { facts.nlink } else { entry.nlink });
        (&raw mut (*out).uid).write(facts.uid);
        (&raw mut (*out).gid).write(facts.gid);
        (&raw mut (*out).mode).write(entry.mode);
        (&raw mut (*out).pad).write(0);
        (&raw mut (*out).ino).write(entry.ino);
        (&raw mut (*out).size).write(entry.size);
        (&raw mut (*out).blocks).write(entry.blocks);
        (&raw mut (*out).attributes_mask).write(facts.attributes_mask);
        (&raw mut (*out).atime).write(stamp(entry.atime, sys::STATX_BASIC));
        (&raw mut (*out).btime).write(stamp(entry.btime, sys::STATX_BTIME));
        (&raw mut (*out).ctime).write(stamp(entry.ctime, sys::STATX_CHANGED));
        (&raw mut (*out).mtime).write(stamp(entry.mtime, sys::STATX_CHANGED));
        (&raw mut (*out).rdev).write([0; 2]);
        (&raw mut (*out).dev).write([facts.dev.0, facts.dev.1]);
        (&raw mut (*out).mount).write(facts.mount);
        let rest = (&raw mut (*out).rest).cast::<u64>();
        for at in 0..13 {
            rest.add(at).write_volatile(0);
        }
    }
}

/// # Safety
/// `path` is null or a C string.
#[inline(always)]
unsafe fn access_from_table(path: *const c_char, mode: c_int) -> Option<isize> {
    if mode & !7 != 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    match unsafe { find(path.cast()) } {
        Answer::Absent => Some(-ENOENT),
        Answer::There { entry, .. } if mode == 0 && !Entry::decode(entry).is_link() => Some(0),
        _ => None,
    }
}

/// # Safety
/// `path` is null or a C string.
#[inline(always)]
unsafe fn open_from_table(path: *const c_char, flags: c_int) -> Option<isize> {
    if flags & !PLAIN_OPEN != 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    matches!(unsafe { find(path.cast()) }, Answer::Absent).then_some(-ENOENT)
}

/// A function of libc: its name, as what it is counted, its arguments, what answers it, and
/// what else does.
macro_rules! function {
    ($name:ident $counted:ident ($($argument:ident: $kind:ty),+) $hot:expr, $cold:expr) => {
        /// # Safety
        /// As of the function of this name in libc.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "psfs_answer")]
        pub unsafe extern "C" fn $name($($argument: $kind),+) -> c_int {
            // SAFETY: what the pointers point to is the caller's promise.
            unsafe {
                let answer = $hot;
                #[cfg(counting)]
                super::count::note(super::counts::$counted, answer);
                match answer {
                    Some(answer) => finish(answer),
                    None => $cold,
                }
            }
        }
    };
}

/// The same by several names.
macro_rules! interpose {
    ($($counted:ident [$($name:ident)+] $arguments:tt = $hot:expr, else $cold:expr;)+) => {
        $($(function! { $name $counted $arguments $hot, $cold })+)+
    };
}

type Out = *mut c_void;
type Path = *const c_char;
const HERE: c_int = sys::AT_FDCWD;

interpose! {
    STAT [stat stat64] (path: Path, out: Out) = stat_from_table(path, out.cast(), 0), else cold::fstatat(HERE, path, out, 0);
    STAT [lstat lstat64] (path: Path, out: Out) = stat_from_table(path, out.cast(), AT_SYMLINK_NOFOLLOW),
        else cold::fstatat(HERE, path, out, AT_SYMLINK_NOFOLLOW);
    STAT [fstatat fstatat64] (at: c_int, path: Path, out: Out, flags: c_int) = stat_from_table(path, out.cast(), flags),
        else cold::fstatat(at, path, out, flags);
    STAT [__xstat __xstat64] (version: c_int, path: Path, out: Out) = of_version(version, stat_from_table(path, out.cast(), 0)),
        else cold::fstatat(HERE, path, out, 0);
    STAT [__lxstat __lxstat64] (version: c_int, path: Path, out: Out) =
        of_version(version, stat_from_table(path, out.cast(), AT_SYMLINK_NOFOLLOW)),
        else cold::fstatat(HERE, path, out, AT_SYMLINK_NOFOLLOW);
    STAT [__fxstatat __fxstatat64] (version: c_int, at: c_int, path: Path, out: Out, flags: c_int) =
        of_version(version, stat_from_table(path, out.cast(), flags)), else cold::fstatat(at, path, out, flags);
    STATX [statx] (at: c_int, path: Path, flags: c_int, mask: c_uint, out: Out) = statx_from_table(path, out.cast(), flags, mask),
        else cold::statx(at, path, flags, mask, out);
    ACCESS [access] (path: Path, mode: c_int) = access_from_table(path, mode), else cold::access(path, mode);
    ACCESS [faccessat] (at: c_int, path: Path, mode: c_int, flags: c_int) =
        if flags == 0 { access_from_table(path, mode) } else { None }, else cold::faccessat(at, path, mode, flags);
    OPEN [open open64] (path: Path, flags: c_int, mode: c_uint) = open_from_table(path, flags), else cold::open(path, flags, mode);
    OPEN [openat openat64] (at: c_int, path: Path, flags: c_int, mode: c_uint) = open_from_table(path, flags),
        else cold::openat(at, path, flags, mode);
}

/// Another version of the structure is refused, as libc does.
#[inline(always)]
fn of_version(version: c_int, answer: Option<isize>) -> Option<isize> {
    if VERSIONS.contains(&version) { answer } else { Some(-EINVAL) }
}

/// statx by its number, through syscall(2).
///
/// # Safety
/// As of the function.
#[unsafe(link_section = "psfs_answer")]
pub unsafe extern "C" fn statx_by_number(at: c_int, path: Path, flags: c_int, mask: c_uint, out: Out) -> isize {
    // SAFETY: the caller's promise.
    unsafe { statx(at, path, flags, mask, out) as isize }
}
