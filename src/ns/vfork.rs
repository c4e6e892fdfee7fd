//! A child that borrows its parent's memory until it executes a program or ends, while the
//! parent's thread stands still (vfork(2)). A fork copies page tables, and every page that
//! either side writes to afterwards once more; here there is nothing to copy.
//!
//! What the child changes of itself (ids, capabilities, namespaces, directory, descriptors,
//! signals) is its own. Two things are of the memory and so its parent's too: what it writes,
//! and whether it can be traced: a change of ids or namespaces makes it undumpable.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::sys;

static BORROWED: RwLock<()> = RwLock::new(());

/// To be held from before a child is started that enters other namespaces until this
/// process is dumpable again.
pub(super) fn borrow() -> RwLockWriteGuard<'static, ()> {
    BORROWED.write().unwrap_or_else(PoisonError::into_inner)
}

/// To be held while a copy of this process is made: one made of an undumpable process is so too,
/// and its own `/proc` is closed to it.
pub(super) fn copy() -> RwLockReadGuard<'static, ()> {
    BORROWED.read().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a child's stack, the last page of which nobody may touch.
const SIZE: usize = 256 << 10;
const PAGE: usize = 4096;

/// Where a child puts its variables: not where its parent has them.
pub(super) struct Stack {
    bottom: NonNull<c_void>,
}

impl Stack {
    pub(super) fn new() -> Result<Self, Errno> {
        // SAFETY: new memory, at no address in particular; nobody else knows it.
        let memory = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let memory = mmap_anonymous(std::ptr::null_mut(), SIZE, access, MapFlags::PRIVATE)?;
            let guard = mprotect(memory, PAGE, MprotectFlags::empty());
            if let Err(errno) = guard {
                let _ = munmap(memory, SIZE);
                return Err(errno);
            }
            memory
        };
        NonNull::new(memory).map(|bottom| Self { bottom }).ok_or(Errno::NOMEM)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, with this size; the child that ran on it has left it, as said at `start`.
        let _ = unsafe { munmap(self.bottom.as_ptr(), SIZE) };
    }
}

/// Starts a child that runs `work`, which makes raw system calls alone and never returns;
/// comes back when it has executed a program or ended. `flags`: CLONE_PARENT, or none.
///
/// Where a process in between is killed its own child still runs on its stack: that must
/// stay until the child is known to have executed or ended.
pub(super) fn start<F: FnMut()>(flags: libc::c_int, stack: &Stack, mut work: F) -> Result<i32, Errno> {
    extern "C" fn enter<F: FnMut()>(work: *mut c_void) -> libc::c_int {
        // SAFETY: the pointer that `start` passed; its caller stands still as long as this runs.
        unsafe { (*work.cast::<F>())() };
        sys::exit(125)
    }
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is this child's alone and grows down from its end, which is aligned;
    // with CLONE_VFORK `work` outlives its use.
    let pid = unsafe {
        let top = stack.bottom.as_ptr().byte_add(SIZE);
        libc::clone(enter::<F>, top, flags, (&raw mut work).cast())
    };
    if pid < 0 { Err(sys::last_errno()) } else { Ok(pid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_writes_to_our_memory_and_its_directory_is_its_own() {
        let stack = Stack::new().unwrap();
        let before = std::env::current_dir().unwrap();
        let mut written = 0;
        let pid = start(0, &stack, || {
            let gone = rustix::process::chdir(c"/proc");
            written = if gone.is_ok() { 7 } else { 1 };
            sys::exit(3)
        });
        let pid = rustix::process::Pid::from_raw(pid.unwrap()).unwrap();
        let ended = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        assert_eq!(ended.unwrap().unwrap().1.exit_status(), Some(3));
        assert_eq!(written, 7);
        assert_eq!(std::env::current_dir().unwrap(), before);
    }
}
