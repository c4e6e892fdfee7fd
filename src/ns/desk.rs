//! The desk: what a launcher does for the processes inside while it waits.
//!
//! Inside, the store is covered, so what only it can tell is asked of a launcher, which
//! is outside. The session has one socket for that, in the cover; init makes its name,
//! every launcher has the socket and polls it while its command runs. Whoever is awake
//! takes a connection, so one that is stopped, or gone, is not missed.
//!
//! The launcher itself reads nothing of what a process inside says. It starts a helper
//! (this same program, with the connection as its standard input and nothing else of
//! ours), of which a few run at once: a command that asks without end makes no more
//! processes outside than that. A helper may also be started every so often without being
//! asked (a *round*).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketFlags;
use rustix::process::{Pid, WaitOptions};

use super::command::{Command, Image};
use super::exec;
use super::sys::{self, Forked};

/// Helpers at once, of one launcher.
const AT_ONCE: usize = 8;
/// This program, wherever its file is by now.
const PROGRAM: &CStr = c"/proc/self/exe";
/// How often a full desk looks whether a helper has ended.
const TICK_MS: i32 = 100;

/// Whether somebody of our own user is at the other end of a connection.
pub fn is_own_user(connection: BorrowedFd<'_>) -> bool {
    sys::peer(connection).is_ok_and(|peer| peer.uid == rustix::process::geteuid().as_raw())
}

/// A launcher's desk.
pub struct Desk {
    listener: OwnedFd,
    /// What is run for a request; its program is the one that runs already.
    helper: Box<dyn Fn() -> Command>,
    helpers: Vec<Pid>,
    round: Option<Round>,
    watch: Option<Watch>,
}

/// What the launcher itself looks at every so often.
struct Watch {
    every: Duration,
    next: Instant,
    look: Box<dyn FnMut()>,
}

struct Round {
    every: Duration,
    next: Instant,
    helper: Box<dyn Fn() -> Command>,
}

impl Desk {
    pub(super) fn new(listener: OwnedFd, helper: Box<dyn Fn() -> Command>) -> Self {
        Self { listener, helper, helpers: Vec::new(), round: None, watch: None }
    }

    /// Starts `helper` every so often, too, with nothing as its standard input.
    pub fn with_round(mut self, every: Duration, helper: Box<dyn Fn() -> Command>) -> Self {
        self.round = Some(Round { every, next: Instant::now() + every, helper });
        self
    }

    /// Calls `look` every so often, in this process: it must be quick.
    pub fn with_watch(mut self, every: Duration, look: Box<dyn FnMut()>) -> Self {
        self.watch = Some(Watch { every, next: Instant::now() + every, look });
        self
    }

    /// What to poll; -1 while enough helpers run.
    pub(super) fn fd(&self) -> i32 {
        if self.is_full() { -1 } else { self.listener.as_raw_fd() }
    }

    /// How long to poll at most, in milliseconds; -1: for ever.
    pub(super) fn timeout(&self) -> i32 {
        let next = self.round.iter().map(|round| round.next).chain(self.watch.iter().map(|watch| watch.next));
        let due = next.min().map(sys::ms_until);
        let tick = self.is_full().then_some(TICK_MS);
        due.into_iter().chain(tick).min().unwrap_or(-1)
    }

    fn is_full(&self) -> bool {
        self.helpers.len() >= AT_ONCE
    }

    /// Takes what waits, and forgets helpers that have ended.
    pub(super) fn turn(&mut self) {
        self.helpers.retain(|helper| {
            !matches!(rustix::process::waitpid(Some(*helper), WaitOptions::NOHANG), Ok(Some(_)) | Err(_))
        });
        while !self.is_full() {
            // another launcher may have been quicker
            let Ok(connection) = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) else {
                break;
            };
            self.start(&(self.helper)(), Some(&connection));
        }
        let now = Instant::now();
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.next <= now) {
            (watch.look)();
            watch.next = Instant::now() + watch.every;
        }
        let full = self.is_full();
        let Some(round) = self.round.as_mut().filter(|round| !full && round.next <= now) else { return };
        round.next = now + round.every;
        let command = (round.helper)();
        self.start(&command, None);
    }

    /// A helper that cannot be started is seen by the asker: the connection ends.
    fn start(&mut self, command: &Command, connection: Option<&OwnedFd>) {
        let Ok(image) = Image::new(command) else { return };
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(null) = rustix::fs::open(c"/dev/null", flags, Mode::empty()) else { return };
        let mask = sys::block_all();
        let forked = sys::fork_into(0, None);
        if matches!(forked, Ok(Forked::Child)) {
            sys::become_stdio(null.as_fd());
            if let Some(connection) = connection {
                sys::become_stdin(connection.as_fd());
            }
            sys::close_range(3, u32::MAX);
            // the asker's terminal may belong to another group than ours
            sys::set_disposition(libc::SIGTTOU, true);
            sys::set_mask(mask);
            exec::execute(PROGRAM, &image);
            sys::exit(1)
        }
        sys::set_mask(mask);
        if let Ok(Forked::Parent { pid, .. }) = forked {
            self.helpers.extend(Pid::from_raw(pid));
        }
    }
}
