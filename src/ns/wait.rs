//! Waits for a command.
//!
//! Launcher and command are in one process group, so keys (^C, ^\, ^Z) reach the
//! command from the terminal; the launcher survives the first two, and stops with the
//! command at the third. What is sent to the launcher alone by kill(1) is forwarded,
//! for whoever supervises us knows our pid only. A command that stops by itself (an
//! editor's ^Z, `suspend`) would leave a launcher that the user's shell believes
//! running, so the launcher follows; and when it is continued, a command that still
//! stands is continued too: it may be in a group of its own, which `fg` does not know.
//!
//! An interactive shell ignores SIGTERM and ends at SIGHUP, but a bash that is about to
//! read its next line can miss it: the handler only takes a note, which is looked at
//! before the wait for a key (5 of 900 tries with bash 5.2). So it is sent a few
//! times more, until the shell has ended; one that has a trap for it may want to live on.

use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::error::{Error, Result};

use super::desk::Desk;
use super::signals::{self, Signals};
use super::sys;
use super::terminal::Terminal;

/// How long a shell has after a SIGHUP until the next.
const HANG_UP_EVERY: Duration = Duration::from_secs(1);
/// How often it is sent.
const HANG_UPS: u32 = 5;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// The status a shell would give: the code, or 128 and the signal.
    pub fn status(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

/// A command that was started. Dropped without [`Running::wait`] it is killed.
pub struct Running {
    pid: i32,
    signals: Option<Signals>,
    terminal: Option<Terminal>,
    is_stopped: bool,
    is_reaped: bool,
    /// An interactive shell, which ignores SIGTERM: SIGHUP follows each.
    is_shell: bool,
    /// When a shell that was to end gets the next SIGHUP, and how many it gets yet.
    hang_up_at: Option<Instant>,
    hang_ups: u32,
}

impl Running {
    pub(super) fn new(
        pid: i32,
        signals: Option<Signals>,
        terminal: Option<Terminal>,
        is_shell: bool,
    ) -> Self {
        Self {
            pid,
            signals,
            terminal,
            is_stopped: false,
            is_reaped: false,
            is_shell,
            hang_up_at: None,
            hang_ups: 0,
        }
    }

    /// The command's pid as seen from here.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end; what other processes it left does not matter.
    pub fn wait(self) -> Result<Exit> {
        self.wait_at(None)
    }

    /// The same, and does meanwhile what is asked at the desk.
    pub fn wait_at(mut self, mut desk: Option<&mut Desk>) -> Result<Exit> {
        let fail = |errno: Errno| Error::io("wait for", "the command", &errno.into());
        let pid = Pid::from_raw(self.pid).ok_or(Errno::SRCH).map_err(fail)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(fail)?;
        while !self.has_ended(&pidfd, desk.as_deref_mut()).map_err(fail)? {
            self.deal_with_signals(pid);
        }
        let status = loop {
            match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                other => break other.map_err(fail)?,
            }
        };
        self.is_reaped = true;
        if let Some(terminal) = &self.terminal {
            terminal.give_back();
        }
        let status = status.ok_or(Errno::CHILD).map_err(fail)?;
        let signal = status.terminating_signal().map(Exit::Signal);
        Ok(signal.unwrap_or(Exit::Code(status.exit_status().unwrap_or(0))))
    }

    /// Waits for the end, a signal or somebody at the desk.
    fn has_ended(&self, pidfd: &OwnedFd, desk: Option<&mut Desk>) -> Result<bool, Errno> {
        use std::os::fd::AsRawFd;
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let signals = self.signals.as_ref().map_or(-1, Signals::fd);
        let (asked, timeout) = desk.as_ref().map_or((-1, -1), |desk| (desk.fd(), desk.timeout()));
        let mut entries = [entry(pidfd.as_raw_fd()), entry(signals), entry(asked)];
        let timeout = self.hang_up_at.map_or(timeout, |at| match timeout {
            ..0 => sys::ms_until(at),
            _ => timeout.min(sys::ms_until(at)),
        });
        sys::poll(&mut entries, timeout)?;
        if let Some(desk) = desk {
            desk.turn();
        }
        Ok(entries[0].revents != 0)
    }

    fn deal_with_signals(&mut self, pid: Pid) {
        let Some(signals) = &self.signals else { return };
        let came = signals.take();
        for came in came.iter().filter(|came| !came.from_kernel) {
            if !matches!(came.signal, libc::SIGCHLD | libc::SIGCONT) {
                let _ = sys::kill(self.pid, came.signal);
            }
            if self.is_shell && matches!(came.signal, libc::SIGTERM | libc::SIGHUP) {
                let is_sent = came.signal == libc::SIGHUP;
                self.hang_up_at = Some(Instant::now() + if is_sent { HANG_UP_EVERY } else { Duration::ZERO });
                self.hang_ups = HANG_UPS - u32::from(is_sent);
            }
        }
        if self.hang_up_at.is_some_and(|at| at <= Instant::now()) {
            self.hang_ups = self.hang_ups.saturating_sub(1);
            self.hang_up_at = (self.hang_ups > 0).then(|| Instant::now() + HANG_UP_EVERY);
            let _ = sys::kill(self.pid, libc::SIGHUP);
            // one that stopped itself (`suspend`) would not notice
            let _ = sys::kill(self.pid, libc::SIGCONT);
        }
        let is_continued = came.iter().any(|came| came.signal == libc::SIGCONT);
        let stops = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        let has_stopped = matches!(stops, Ok(Some(status)) if status.stopped());
        self.is_stopped |= has_stopped;
        if is_continued {
            if let Some(terminal) = &mut self.terminal {
                terminal.note_again();
            }
            if self.is_stopped {
                self.is_stopped = false;
                if let Some(terminal) = &self.terminal {
                    terminal.hand_over(pid);
                }
                let _ = sys::kill(self.pid, libc::SIGCONT);
            }
        } else if has_stopped {
            signals::stop_self();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_reaped {
            let _ = sys::kill(self.pid, libc::SIGKILL);
            super::link::reap(self.pid);
        }
    }
}
