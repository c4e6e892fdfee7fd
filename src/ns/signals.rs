//! Signals of the launcher while a command runs, turned into bytes of a pipe.
//!
//! Handlers, not a signalfd: a signalfd needs the signals blocked in *every* thread,
//! and thread pools of ours do not do that. Signals that our caller ignored stay
//! ignored. One [`Signals`] at a time: who comes second has none, and only waits.

#![allow(unsafe_code)]

use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

use rustix::pipe::PipeFlags;

use super::desk::Desk;
use super::sys;

/// What is caught while we wait.
const CAUGHT: &[i32] = &[
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCONT,
    libc::SIGCHLD,
];

/// Set once: handlers stay when they are not needed any more.
static HELD: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicBool = AtomicBool::new(false);
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// One signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) signal: i32,
    /// Sent by the kernel (a key, a hang-up): the command's group got it too.
    pub(super) from_kernel: bool,
}

/// The handlers, until it is dropped.
pub(super) struct Signals {
    reader: OwnedFd,
    _writer: OwnedFd,
    before: Vec<(i32, libc::sigaction)>,
}

extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: only async-signal-safe calls; `info` is the kernel's, errno is put back.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        let from_kernel = !info.is_null() && (*info).si_code > 0;
        let bytes = [signal as u8, u8::from(from_kernel)];
        libc::write(PIPE.load(SeqCst), bytes.as_ptr().cast(), 2);
        *errno = before;
    }
}

impl Signals {
    /// Installs the handlers; `None` when they are in use (or no pipe can be had).
    pub(super) fn catch() -> Option<Self> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags).ok()?;
        if TAKEN.swap(true, SeqCst) {
            return None;
        }
        PIPE.store(writer.as_raw_fd(), SeqCst);
        let mut before = Vec::with_capacity(CAUGHT.len());
        for &signal in CAUGHT {
            // SAFETY: zero is a valid sigaction; the handler has the signature SA_SIGINFO asks for.
            unsafe {
                let mut old: libc::sigaction = zeroed();
                libc::sigaction(signal, std::ptr::null(), &raw mut old);
                // SIGCHLD ignored would lose the exit status
                if old.sa_sigaction == libc::SIG_IGN && signal != libc::SIGCHLD {
                    continue;
                }
                let mut new: libc::sigaction = zeroed();
                new.sa_sigaction =
                    handler as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
                new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
                // held since the last time
                if old.sa_sigaction != new.sa_sigaction {
                    libc::sigaction(signal, &raw const new, std::ptr::null_mut());
                }
                before.push((signal, old));
            }
        }
        Some(Self { reader, _writer: writer, before })
    }

    /// The signals whose handlers are ours, and whether our caller ignored them.
    pub(super) fn caught(&self) -> Vec<(i32, bool)> {
        self.before.iter().map(|(signal, old)| (*signal, old.sa_sigaction == libc::SIG_IGN)).collect()
    }

    pub(super) fn fd(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// What came since the last call, in order.
    pub(super) fn take(&self) -> Vec<Came> {
        let mut bytes = [0u8; 512];
        let length = rustix::io::read(&self.reader, &mut bytes).unwrap_or(0);
        let record =
            |pair: &[u8]| Some(Came { signal: i32::from(*pair.first()?), from_kernel: *pair.get(1)? != 0 });
        bytes.get(..length).unwrap_or(&[]).chunks_exact(2).filter_map(record).collect()
    }

    /// Waits for a message on `socket`, or for somebody who asks for the end: then true.
    pub(super) fn wait_beside(&self, socket: &OwnedFd, mut desk: Option<&mut Desk>) -> bool {
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        loop {
            let (asked, timeout) = desk.as_ref().map_or((-1, -1), |desk| (desk.fd(), desk.timeout()));
            let mut entries = [entry(socket.as_raw_fd()), entry(self.fd()), entry(asked)];
            if sys::poll(&mut entries, timeout).is_err() || entries[0].revents != 0 {
                return false;
            }
            if let Some(desk) = desk.as_deref_mut() {
                desk.turn();
            }
            if entries[1].revents == 0 {
                continue;
            }
            let asks = |came: &Came| {
                matches!(came.signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT)
            };
            if self.take().iter().any(asks) {
                return true;
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        PIPE.store(-1, SeqCst);
        for (signal, old) in self.before.iter().filter(|_| !HELD.load(SeqCst)) {
            // SAFETY: puts back what sigaction returned.
            unsafe { libc::sigaction(*signal, old, std::ptr::null_mut()) };
        }
        TAKEN.store(false, SeqCst);
    }
}

/// From the end of the next command on, signals that we catch are passed over until
/// this process exits: what the command wrote is being taken in, and who asks for the
/// end gets it in a moment. Only SIGKILL cuts that short.
pub fn hold_until_exit() {
    HELD.store(true, SeqCst);
}

/// Continues a launcher that was stopped (^Z): what it waits for has ended.
pub fn wake(launcher: i32) {
    if launcher > 0 {
        let _ = sys::kill(launcher, libc::SIGCONT);
    }
}

/// Stops this process as ^Z would: not where nobody could continue it (an orphaned
/// process group), not when our caller ignores SIGTSTP.
pub(super) fn stop_self() {
    let _ = sys::kill(rustix::process::getpid().as_raw_pid(), libc::SIGTSTP);
}
