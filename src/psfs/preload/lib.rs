//! The preload library: `rename`, `renameat` and `renameat2` that also move directories
//! of a lower; the stat family, `access` and `open`, answered from memory where that is
//! proven to be what the kernel would say.
//!
//! A crate of its own, compiled by `build.rs`, with neither std nor an allocator. It runs
//! in other people's processes, so (rule 24):
//!
//! - a rename is the real call first, as a raw system call; nothing else happens unless it
//!   answers EXDEV;
//! - an answer from a table (`answer`, `state`, and `lookup` and `layout` above this
//!   directory) makes no system call, takes no lock, allocates nothing and writes nowhere but
//!   to the caller's buffer and errno. Everything else is the real call (`cold`);
//! - less than 2 KiB of stack: it may be called in a signal handler, between vfork and exec,
//!   in a thread with a small stack;
//! - all signals are blocked while the mover works, as they wait while the kernel
//!   renames; no descriptor outlives a call, and none gets a number below 3;
//! - errno is changed by a failure only.
//!
//! It exports what it stands in for, and refers, weakly, to `__errno_location`, `__open` and
//! `__openat_2` alone.

#![no_std]
#![no_builtins]

mod answer;
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod arch;
mod cold;
#[cfg(counting)]
mod count;
#[cfg(counting)]
#[path = "../counts.rs"]
#[allow(dead_code)] // vrift's half
mod counts;
#[path = "../door.rs"]
#[allow(dead_code)] // the mover's half
mod door;
#[path = "../layout.rs"]
#[allow(dead_code)] // the writer's half
mod layout;
#[path = "../lookup.rs"]
mod lookup;
mod mover;
#[path = "../page.rs"]
#[allow(dead_code)] // vrift's half
mod page;
mod place;
#[path = "../scan.rs"]
mod scan;
mod state;
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

// SAFETY: libc's functions, as every libc declares them, but for `__open`, whose last
// argument is optional: those that are not read do no harm. All may be missing (`arch`).
unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn __open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int;
    fn __openat_2(at: c_int, path: *const c_char, flags: c_int) -> c_int;
}

/// A system call's answer as libc gives it.
#[inline(always)]
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

/// The end of a failed syscall(2).
extern "C" fn failed(answer: isize) -> isize {
    finish(answer) as isize
}
