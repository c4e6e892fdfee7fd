//! What the process was started with, before Rust's runtime changed it.
//!
//! The runtime ignores SIGPIPE and opens `/dev/null` for closed standard
//! descriptors before `main`. A command run by us is to see what our caller set,
//! so a function in `.init_array`, which runs earlier, writes it down.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static SIGXFSZ_IGNORED: AtomicBool = AtomicBool::new(false);
static MASK: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);

#[used]
// SAFETY: the section holds pointers to functions that the C runtime calls once, in
// one thread, before main; `record` needs nothing that is initialised later.
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

/// The caller's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Early {
    /// SIGPIPE was ignored (as under Python's subprocess or `trap '' PIPE`).
    pub sigpipe_ignored: bool,
    /// SIGXFSZ was ignored. It is by us: a file that may not grow (`ulimit -f`) is an
    /// error with a message, not the end of a take-in.
    pub sigxfsz_ignored: bool,
    /// The blocked signals, one bit each, signal 1 lowest.
    pub mask: u64,
    /// Which of the descriptors 0, 1, 2 were closed.
    pub closed: [bool; 3],
}

/// What was recorded when the program started.
pub fn state() -> Early {
    let closed = CLOSED.load(Relaxed);
    Early {
        sigpipe_ignored: SIGPIPE_IGNORED.load(Relaxed),
        sigxfsz_ignored: SIGXFSZ_IGNORED.load(Relaxed),
        mask: MASK.load(Relaxed),
        closed: [closed & 1 != 0, closed & 2 != 0, closed & 4 != 0],
    }
}

extern "C" fn record() {
    // SAFETY: all three calls only write into the locals passed, of the sizes the kernel expects.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action) == 0 {
            SIGPIPE_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Relaxed);
        }
        if libc::sigaction(libc::SIGXFSZ, std::ptr::null(), &mut action) == 0 {
            SIGXFSZ_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Relaxed);
            action.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(libc::SIGXFSZ, &action, std::ptr::null_mut());
        }
        let mut mask = 0u64;
        let nothing = std::ptr::null::<u64>();
        if libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, nothing, &mut mask, 8usize) == 0 {
            MASK.store(mask, Relaxed);
        }
        let mut closed = 0;
        for fd in 0..3 {
            if libc::fcntl(fd, libc::F_GETFD) == -1 {
                closed |= 1 << fd;
            }
        }
        CLOSED.store(closed, Relaxed);
    }
}
