//! The preload library: `rename`, `renameat` and `renameat2` that also move directories
//! of a lower.
//!
//! A crate of its own, compiled by `build.rs`, with neither std nor an allocator. It runs
//! in other people's processes, so (rule 24):
//!
//! - the real call comes first, as a raw system call; nothing else happens unless it
//!   answers EXDEV;
//! - no lock, no allocation, no state, less than 2 KiB of stack: it may be called in a
//!   signal handler, between vfork and exec, in a thread with a small stack;
//! - all signals are blocked while the mover works, as they wait while the kernel
//!   renames; no descriptor outlives the call, and none gets a number below 3;
//! - errno is changed by a failure only.
//!
//! It exports these three names, and refers to `__errno_location` alone, weakly.

#![no_std]
#![no_builtins]

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod arch;
#[path = "../door.rs"]
#[allow(dead_code)] // the mover's half
mod door;
mod mover;
#[path = "../page.rs"]
#[allow(dead_code)] // vrift's half
mod page;
mod place;
mod sys;

use core::ffi::{c_char, c_int, c_uint};

#[panic_handler]
fn never(_: &core::panic::PanicInfo<'_>) -> ! {
    arch::trap()
}

/// rename(2)
///
/// # Safety
/// As of the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(old: *const c_char, new: *const c_char) -> c_int {
    // SAFETY: the kernel checks the pointers; what they point to is the caller's promise.
    unsafe {
        let answer = sys::rename(old, new);
        if answer == -sys::EXDEV {
            return finish(mover::ask((sys::AT_FDCWD, old), (sys::AT_FDCWD, new), 0));
        }
        finish(answer)
    }
}

/// renameat(2)
///
/// # Safety
/// As of the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat(
    old_at: c_int,
    old: *const c_char,
    new_at: c_int,
    new: *const c_char,
) -> c_int {
    // SAFETY: as in `rename`.
    unsafe {
        let answer = sys::renameat(old_at, old, new_at, new);
        if answer == -sys::EXDEV {
            return finish(mover::ask((old_at, old), (new_at, new), 0));
        }
        finish(answer)
    }
}

/// renameat2(2)
///
/// # Safety
/// As of the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    old_at: c_int,
    old: *const c_char,
    new_at: c_int,
    new: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: as in `rename`.
    unsafe {
        let answer = sys::renameat2(old_at, old, new_at, new, flags);
        if answer == -sys::EXDEV {
            return finish(mover::ask((old_at, old), (new_at, new), flags));
        }
        finish(answer)
    }
}

// A program without a libc has no errno, and must be able to start all the same.
core::arch::global_asm!(".weak __errno_location");

// SAFETY: libc's function, as every libc declares it.
unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// A system call's answer as libc gives it.
fn finish(answer: isize) -> c_int {
    if answer >= 0 {
        return answer as c_int;
    }
    // the address of a weak symbol that nobody defines is null
    let location = arch::errno_location();
    if !location.is_null() {
        // SAFETY: libc's errno of this thread.
        unsafe { *location = -answer as c_int };
    }
    -1
}
