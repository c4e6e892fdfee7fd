//! Asks the mover, after the kernel said EXDEV.

use core::ffi::{c_char, c_int, c_uint};
use core::mem::MaybeUninit;

use super::sys::{self, Fd, Part};
use super::{door, page, place};

/// Bytes of path opened at once: more than a name may have.
const STRIDE: usize = 256;

/// Has a directory moved that the kernel refuses to move. The answer is a system call's:
/// -EXDEV where this is none of the mover's business.
///
/// # Safety
/// Both paths are C strings: the kernel has read them.
pub unsafe fn ask(old: (c_int, *const c_char), new: (c_int, *const c_char), flags: c_uint) -> isize {
    let before = sys::block_signals();
    // SAFETY: the caller's promise.
    let answer = match unsafe { ask_blocked(old, new, flags) } {
        Ok(()) => 0,
        Err(errno) => -errno,
    };
    sys::set_signals(before);
    answer
}

const NOT_OURS: isize = sys::EXDEV;

/// # Safety
/// As `ask`.
unsafe fn ask_blocked(
    (old_at, old): (c_int, *const c_char),
    (new_at, new): (c_int, *const c_char),
    flags: c_uint,
) -> Result<(), isize> {
    let (old, new) = (old.cast::<u8>(), new.cast::<u8>());
    let is_dir = |at, path| {
        // SAFETY: C strings, as promised.
        match unsafe { sys::statx(at, path) } {
            // it was there when the kernel looked
            Err(sys::ENOENT) => Err(sys::ENOENT),
            other => Ok(other.is_ok_and(|stat| stat.is_dir())),
        }
    };
    if !is_dir(old_at, old)? && !(flags & sys::RENAME_EXCHANGE != 0 && is_dir(new_at, new)?) {
        return Err(NOT_OURS);
    }
    // SAFETY: as above.
    let (old_dir, old_name) = unsafe { parent(old_at, old) }?;
    // SAFETY: as above.
    let (new_dir, new_name) = unsafe { parent(new_at, new) }?;
    if mount(&old_dir)? != mount(&new_dir)? {
        return Err(NOT_OURS);
    }
    let socket = dial().map_err(|_| NOT_OURS)?;
    let head = door::Head { flags, old: old_name.length as u16, new: new_name.length as u16 }.encode();
    let parts = [Part { start: head.as_ptr(), length: head.len() }, old_name, new_name];
    // SAFETY: the names are parts of the caller's strings.
    unsafe { sys::send(&socket, &parts, [&old_dir, &new_dir]) }.map_err(|_| NOT_OURS)?;
    let mut moved = false;
    loop {
        let mut reply = [0; door::REPLY];
        if socket.receive(&mut reply) != door::REPLY as isize {
            // the mover was killed
            return Err(if moved { sys::EIO } else { NOT_OURS });
        }
        match door::read_reply(reply) {
            (door::MOVED, _) => moved = true,
            (_, 0) => return Ok(()),
            (_, errno) => return Err(errno as isize),
        }
    }
}

fn mount(dir: &Fd) -> Result<u64, isize> {
    // SAFETY: an empty C string: the descriptor itself.
    let stat = unsafe { sys::statx(dir.raw(), c"".as_ptr().cast()) }.map_err(|_| NOT_OURS)?;
    stat.mount().ok_or(NOT_OURS)
}

/// A connection to the mover of the session this process is in.
fn dial() -> Result<Fd, isize> {
    // SAFETY: a C string of ours.
    let cover = unsafe { sys::open_path(sys::AT_FDCWD, place::store()) }?;
    let mut bytes = [0; page::SIZE];
    let length = sys::open_file(&cover, page::NAME)?.read(&mut bytes);
    if length != page::SIZE as isize || page::decode(bytes) & page::RENAME_DOOR == 0 {
        return Err(NOT_OURS);
    }
    sys::connect(&cover, door::SOCKET)
}

/// Opens the directory that holds a path's last component; returns both.
///
/// # Safety
/// `path` is a C string.
unsafe fn parent(at: c_int, path: *const u8) -> Result<(Fd, Part), isize> {
    // SAFETY: up to the NUL.
    let byte = |index: usize| unsafe { *path.add(index) };
    let mut end = 0;
    while byte(end) != 0 {
        end += 1;
    }
    while end > 0 && byte(end - 1) == b'/' {
        end -= 1;
    }
    let mut start = end;
    while start > 0 && byte(start - 1) != b'/' {
        start -= 1;
    }
    let length = end - start;
    let dots = length > 0 && length <= 2 && byte(start) == b'.' && byte(end - 1) == b'.';
    if length == 0 || dots || length > door::NAME {
        return Err(NOT_OURS);
    }
    // SAFETY: the name and what is before it are in the string.
    unsafe { Ok((open_dir(at, path, start)?, Part { start: path.add(start), length })) }
}

/// Opens the directory that the first `length` bytes of a path name, piece by piece.
///
/// # Safety
/// They can be read.
unsafe fn open_dir(at: c_int, path: *const u8, length: usize) -> Result<Fd, isize> {
    let mut piece = [const { MaybeUninit::<u8>::uninit() }; STRIDE];
    let piece = piece.as_mut_ptr().cast::<u8>();
    let open = |at: c_int, from: usize, to: usize| {
        // SAFETY: fewer than STRIDE bytes of the path, and a NUL.
        unsafe {
            let mut used = 0;
            while from + used < to {
                piece.add(used).write(*path.add(from + used));
                used += 1;
            }
            if used == 0 {
                piece.write(b'.');
                used = 1;
            }
            piece.add(used).write(0);
            sys::open_path(at, piece)
        }
        .map_err(|_| NOT_OURS)
    };
    // SAFETY: the caller's promise.
    let byte = |index: usize| unsafe { *path.add(index) };
    let cut = |from: usize| {
        if length - from < STRIDE {
            return length;
        }
        let mut to = from + STRIDE - 1;
        while to > from && byte(to - 1) != b'/' {
            to -= 1;
        }
        to
    };
    let mut to = cut(0);
    let mut dir = open(at, 0, to)?;
    while to < length {
        let mut from = to;
        // a slash in front would lead to the root
        while from < length && byte(from) == b'/' {
            from += 1;
        }
        if from == length {
            break;
        }
        to = cut(from);
        if to == from {
            return Err(NOT_OURS); // a name longer than names are
        }
        dir = open(dir.raw(), from, to)?;
    }
    Ok(dir)
}
