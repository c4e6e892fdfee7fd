//! What the kernel is asked, untouched: raw system calls (rule 24). The two functions at
//! which a thread may be cancelled go through libc where it has them by another name.
//! They are in a section of their own: where answers are made, nothing else is jumped to.
//! What may change this process's mounts or root directory ends all answers first.

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

use super::arch::{self, call, number};
use super::{finish, state};
use super::sys::{AT_FDCWD, fd};

/// # Safety
/// As of the function of this name.
#[inline(never)]
#[unsafe(link_section = "psfs_cold")]
pub unsafe fn fstatat(at: c_int, path: *const c_char, out: *mut c_void, flags: c_int) -> c_int {
    let arguments = [fd(at), path as usize, out as usize, flags as usize, 0, 0];
    // SAFETY: the kernel checks the pointers.
    finish(unsafe { call(number::NEWFSTATAT, arguments) })
}

/// # Safety
/// As of the function of this name.
#[inline(never)]
#[unsafe(link_section = "psfs_cold")]
pub unsafe fn statx(at: c_int, path: *const c_char, flags: c_int, mask: c_uint, out: *mut c_void) -> c_int {
    let arguments = [fd(at), path as usize, flags as usize, mask as usize, out as usize, 0];
    // SAFETY: as above.
    finish(unsafe { call(number::STATX, arguments) })
}

/// # Safety
/// As of the function of this name.
#[inline(never)]
#[unsafe(link_section = "psfs_cold")]
pub unsafe fn access(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: as above.
    finish(unsafe { call(number::FACCESSAT, [fd(AT_FDCWD), path as usize, mode as usize, 0, 0, 0]) })
}

/// # Safety
/// As of the function of this name.
#[inline(never)]
#[unsafe(link_section = "psfs_cold")]
pub unsafe fn faccessat(at: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int {
    let arguments = [fd(at), path as usize, mode as usize, flags as usize, 0, 0];
    // faccessat(2) has no flags
    let number = if flags == 0 { number::FACCESSAT } else { number::FACCESSAT2 };
    // SAFETY: as above.
    finish(unsafe { call(number, arguments) })
}

/// # Safety
/// As of the function of this name.
#[inline(never)]
#[unsafe(link_section = "psfs_cold")]
pub unsafe fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { arch::open(path, flags, mode).unwrap_or_else(|| raw_open(AT_FDCWD, path, flags, mode)) }
}

/// # Safety
/// As of the function of this name.
#[inline(never)]
#[unsafe(link_section = "psfs_cold")]
pub unsafe fn openat(at: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { arch::openat(at, path, flags).unwrap_or_else(|| raw_open(at, path, flags, mode)) }
}

/// # Safety
/// As of openat(2).
#[inline(always)]
unsafe fn raw_open(at: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: as above.
    finish(unsafe { call(number::OPENAT, [fd(at), path as usize, flags as usize, mode as usize, 0, 0]) })
}

/// Functions after which nothing is where it was.
macro_rules! freezing {
    ($($name:ident ($($argument:ident: $kind:ty),+) = $number:ident;)+) => {$(
        /// # Safety
        /// As of the function of this name in libc.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),+) -> c_int {
            state::freeze();
            let mut arguments = [0; 6];
            let mut places = arguments.iter_mut();
            $(if let Some(place) = places.next() { *place = $argument as usize; })+
            // SAFETY: the kernel checks the pointers.
            finish(unsafe { call(number::$number, arguments) })
        }
    )+};
}

freezing! {
    chroot(path: *const c_char) = CHROOT;
    unshare(flags: c_int) = UNSHARE;
    setns(namespace: c_int, kind: c_int) = SETNS;
    mount(source: *const c_char, target: *const c_char, kind: *const c_char, flags: c_ulong, data: *const c_void) = MOUNT;
    pivot_root(new: *const c_char, old: *const c_char) = PIVOT_ROOT;
    move_mount(from: c_int, source: *const c_char, to: c_int, target: *const c_char, flags: c_uint) = MOVE_MOUNT;
}
