//! System calls, raw: no errno, no cancellation point, no interposed function.

use core::ffi::{CStr, c_char, c_int, c_uint};
use core::mem::MaybeUninit;

use super::arch::{call, number};

pub const ENOENT: isize = 2;
pub const EINTR: isize = 4;
pub const EIO: isize = 5;
pub const EXDEV: isize = 18;
pub const AT_FDCWD: c_int = -100;
pub const RENAME_EXCHANGE: c_uint = 2;

const O_DIRECTORY: usize = 0o200_000;
const O_CLOEXEC: usize = 0o2_000_000;
const O_PATH: usize = 0o10_000_000;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;
const AT_NO_AUTOMOUNT: usize = 0x800;
const AT_EMPTY_PATH: usize = 0x1000;
const AF_UNIX: u16 = 1;
const SOCK_SEQPACKET: usize = 5;
const SOCK_CLOEXEC: usize = 0o2_000_000;
const SOL_SOCKET: c_int = 1;
const SCM_RIGHTS: c_int = 1;
const MSG_NOSIGNAL: usize = 0x4000;
const SIG_SETMASK: usize = 2;
const F_DUPFD_CLOEXEC: usize = 1030;

/// `at` as the kernel takes it: sign-extended.
pub fn fd(at: c_int) -> usize {
    at as isize as usize
}

/// # Safety
/// None: the kernel answers EFAULT to what is no string. Unsafe for symmetry with libc.
#[inline(always)]
pub unsafe fn rename(old: *const c_char, new: *const c_char) -> isize {
    // SAFETY: the kernel reads both strings, checked.
    unsafe { call(number::RENAME, [old as usize, new as usize, 0, 0, 0, 0]) }
}

/// # Safety
/// As `rename`.
#[inline(always)]
pub unsafe fn renameat(old_at: c_int, old: *const c_char, new_at: c_int, new: *const c_char) -> isize {
    // SAFETY: as in `rename`.
    unsafe { call(number::RENAMEAT, [fd(old_at), old as usize, fd(new_at), new as usize, 0, 0]) }
}

/// # Safety
/// As `rename`.
#[inline(always)]
pub unsafe fn renameat2(
    old_at: c_int,
    old: *const c_char,
    new_at: c_int,
    new: *const c_char,
    flags: c_uint,
) -> isize {
    let arguments = [fd(old_at), old as usize, fd(new_at), new as usize, flags as usize, 0];
    // SAFETY: as in `rename`.
    unsafe { call(number::RENAMEAT2, arguments) }
}

/// A descriptor that is closed when it goes.
pub struct Fd(c_int);

impl Fd {
    /// From a system call's answer. A number below 3 is given back for one above: the
    /// caller may have closed its standard descriptors, and nobody is to write to ours.
    fn new(answer: isize) -> Result<Self, isize> {
        if answer < 0 {
            return Err(-answer);
        }
        let low = Fd(answer as c_int);
        if low.0 > 2 {
            return Ok(low);
        }
        // SAFETY: no memory is involved.
        let high = unsafe { call(number::FCNTL, [fd(low.0), F_DUPFD_CLOEXEC, 3, 0, 0, 0]) };
        if high < 0 { Err(-high) } else { Ok(Fd(high as c_int)) }
    }

    pub fn raw(&self) -> c_int {
        self.0
    }

    /// Reads from a file at its beginning; returns how many bytes.
    pub fn read(&self, buffer: &mut [u8]) -> isize {
        // SAFETY: pointer and length describe the buffer.
        unsafe { call(number::READ, [fd(self.0), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }
    }

    /// Receives one message; returns how many bytes, 0 at the connection's end.
    pub fn receive(&self, buffer: &mut [u8]) -> isize {
        loop {
            let arguments = [fd(self.0), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
            // SAFETY: pointer and length describe the buffer.
            let length = unsafe { call(number::RECVFROM, arguments) };
            if length != -EINTR {
                return length;
            }
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { call(number::CLOSE, [fd(self.0), 0, 0, 0, 0, 0]) };
    }
}

/// Opens a directory, to be named only.
///
/// # Safety
/// `path` is a C string.
pub unsafe fn open_path(at: c_int, path: *const u8) -> Result<Fd, isize> {
    let flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    // SAFETY: the caller's promise.
    Fd::new(unsafe { call(number::OPENAT, [fd(at), path as usize, flags, 0, 0, 0]) })
}

/// Opens a file for reading.
pub fn open_file(at: &Fd, name: &CStr) -> Result<Fd, isize> {
    // SAFETY: a C string.
    Fd::new(unsafe { call(number::OPENAT, [fd(at.0), name.as_ptr() as usize, O_CLOEXEC, 0, 0, 0]) })
}

/// Opens a file for reading and writing.
#[cfg(counting)]
pub fn open_for_writing(at: &Fd, name: &CStr) -> Result<Fd, isize> {
    const O_RDWR: usize = 2;
    // SAFETY: a C string.
    Fd::new(unsafe { call(number::OPENAT, [fd(at.0), name.as_ptr() as usize, O_RDWR | O_CLOEXEC, 0, 0, 0]) })
}

/// struct statx_timestamp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stamp {
    pub seconds: i64,
    pub nanoseconds: u32,
    pub pad: u32,
}

/// struct statx (linux/stat.h).
#[repr(C)]
pub struct Statx {
    pub mask: u32,
    pub block_size: u32,
    pub attributes: u64,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u16,
    pub pad: u16,
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub attributes_mask: u64,
    pub atime: Stamp,
    pub btime: Stamp,
    pub ctime: Stamp,
    pub mtime: Stamp,
    pub rdev: [u32; 2],
    pub dev: [u32; 2],
    pub mount: u64,
    pub rest: [u64; 13],
}

const _: () = assert!(size_of::<Statx>() == 256);

const STATX_TYPE: u32 = 1;
pub const STATX_BASIC: u32 = 0x7ff;
/// Modification and change time, which are told together, since Linux 6.13 only where
/// one of them is asked for (fs/stat.c, fill_mg_cmtime).
pub const STATX_CHANGED: u32 = 0xc0;
pub const STATX_BTIME: u32 = 0x800;
pub const STATX_MNT_ID: u32 = 0x1000;
pub const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
pub const ATTR_MOUNT_ROOT: u64 = 0x2000;

impl Statx {
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// The mount it was found on; `None` before Linux 5.8.
    pub fn mount(&self) -> Option<u64> {
        (self.mask & STATX_MNT_ID != 0).then_some(self.mount)
    }
}

/// Type and mount of what a path names, links not followed; of the descriptor itself for
/// an empty one.
///
/// # Safety
/// `path` is a C string.
pub unsafe fn statx(at: c_int, path: *const u8) -> Result<Statx, isize> {
    // SAFETY: the caller's promise.
    unsafe { statx_with(at, path, AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID) }
}

/// What a mask asks for, links not followed.
///
/// # Safety
/// `path` is a C string.
pub unsafe fn statx_with(at: c_int, path: *const u8, more: usize, mask: u32) -> Result<Statx, isize> {
    let flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | more;
    let mut stat = MaybeUninit::<Statx>::uninit();
    let arguments = [fd(at), path as usize, flags, mask as usize, stat.as_mut_ptr() as usize, 0];
    // SAFETY: a structure of 256 bytes, all of it written by a call that succeeds.
    unsafe {
        let answer = call(number::STATX, arguments);
        if answer < 0 { Err(-answer) } else { Ok(stat.assume_init()) }
    }
}

/// Inode of a path's end.
pub fn inode(path: &CStr) -> Option<u64> {
    let mut stat = MaybeUninit::<Statx>::uninit();
    let arguments = [fd(AT_FDCWD), path.as_ptr() as usize, 0, STATX_BASIC as usize, stat.as_mut_ptr() as usize, 0];
    // SAFETY: as in `statx_with`.
    unsafe { (call(number::STATX, arguments) == 0).then(|| stat.assume_init().ino) }
}

/// Maps a whole file for reading.
pub fn map(file: &Fd) -> Result<&'static [u8], isize> {
    // SAFETY: an empty C string: the descriptor itself.
    let stat = unsafe { statx_with(file.0, c"".as_ptr().cast(), AT_EMPTY_PATH, STATX_BASIC) }?;
    let length = stat.size as usize;
    const PROT_READ: usize = 1;
    const MAP_PRIVATE: usize = 2;
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let answer = unsafe { call(number::MMAP, [0, length, PROT_READ, MAP_PRIVATE, fd(file.0), 0]) };
    if answer < 0 && answer >= -4095 {
        return Err(-answer);
    }
    // SAFETY: mapped, never unmapped, and not changed: its file is read-only in here.
    Ok(unsafe { core::slice::from_raw_parts(answer as *const u8, length) })
}

/// Maps so many bytes of a file that others write to, too.
#[cfg(counting)]
pub fn map_shared(file: &Fd, length: usize) -> Result<*mut u8, isize> {
    // SAFETY: an empty C string: the descriptor itself.
    let stat = unsafe { statx_with(file.0, c"".as_ptr().cast(), AT_EMPTY_PATH, STATX_BASIC) }?;
    if (stat.size as usize) < length {
        return Err(EIO);
    }
    const PROT_READ_WRITE: usize = 3;
    const MAP_SHARED: usize = 1;
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let answer = unsafe { call(number::MMAP, [0, length, PROT_READ_WRITE, MAP_SHARED, fd(file.0), 0]) };
    if answer < 0 && answer >= -4095 { Err(-answer) } else { Ok(answer as *mut u8) }
}

/// Blocks all signals of this thread; returns what was blocked before.
pub fn block_signals() -> u64 {
    set_signals(u64::MAX)
}

/// Sets which signals are blocked; returns which were before.
pub fn set_signals(mask: u64) -> u64 {
    let mut before = 0u64;
    let arguments = [SIG_SETMASK, &raw const mask as usize, &raw mut before as usize, 8, 0, 0];
    // SAFETY: both sets are 8 bytes, as said.
    unsafe { call(number::RT_SIGPROCMASK, arguments) };
    before
}

/// struct sockaddr_un.
#[repr(C)]
struct Address {
    family: u16,
    path: MaybeUninit<[u8; 108]>,
}

/// Connects to the socket `name` in a directory. The way leads through `/proc`, because
/// an address has room for 108 bytes only.
pub fn connect(dir: &Fd, name: &CStr) -> Result<Fd, isize> {
    // SAFETY: no memory is involved.
    let socket = Fd::new(unsafe {
        call(number::SOCKET, [AF_UNIX as usize, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0, 0])
    })?;
    let mut address = Address { family: AF_UNIX, path: MaybeUninit::uninit() };
    let path = address.path.as_mut_ptr().cast::<u8>();
    let mut used = 0;
    let mut put = |byte: u8| {
        if used < 108 {
            // SAFETY: within the 108 bytes.
            unsafe { path.add(used).write(byte) };
            used += 1;
        }
    };
    b"/proc/self/fd/".iter().for_each(|&byte| put(byte));
    let mut unit = 1_000_000_000;
    while unit > 0 {
        if dir.0 >= unit || unit == 1 {
            put(b'0' + (dir.0 / unit % 10) as u8);
        }
        unit /= 10;
    }
    put(b'/');
    name.to_bytes_with_nul().iter().for_each(|&byte| put(byte));
    let arguments = [fd(socket.0), &raw const address as usize, 2 + used, 0, 0, 0];
    loop {
        // SAFETY: the length covers what was written.
        let answer = unsafe { call(number::CONNECT, arguments) };
        match -answer {
            EINTR => {}
            errno if errno > 0 => return Err(errno),
            _ => return Ok(socket),
        }
    }
}

/// Bytes somewhere.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Part {
    pub start: *const u8,
    pub length: usize,
}

/// struct msghdr.
#[repr(C)]
struct Message {
    name: usize,
    name_length: usize,
    parts: *const Part,
    count: usize,
    control: *const Rights,
    control_length: usize,
    flags: usize,
}

/// struct cmsghdr with two descriptors.
#[repr(C)]
struct Rights {
    length: usize,
    level: c_int,
    kind: c_int,
    fds: [c_int; 2],
}

/// Sends one message with two descriptors.
///
/// # Safety
/// Every part can be read.
pub unsafe fn send(socket: &Fd, parts: &[Part; 3], fds: [&Fd; 2]) -> Result<(), isize> {
    let rights =
        Rights { length: size_of::<Rights>(), level: SOL_SOCKET, kind: SCM_RIGHTS, fds: fds.map(Fd::raw) };
    let message = Message {
        name: 0,
        name_length: 0,
        parts: parts.as_ptr(),
        count: parts.len(),
        control: &raw const rights,
        control_length: size_of::<Rights>(),
        flags: 0,
    };
    loop {
        let arguments = [fd(socket.0), &raw const message as usize, MSG_NOSIGNAL, 0, 0, 0];
        // SAFETY: everything the message points to is alive.
        let answer = unsafe { call(number::SENDMSG, arguments) };
        match -answer {
            EINTR => {}
            errno if errno > 0 => return Err(errno),
            _ => return Ok(()),
        }
    }
}
