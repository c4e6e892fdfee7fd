//! The terminal's foreground group, given back after a command (rule 22).
//!
//! A shell that ran inside may die as the foreground group; under a parent without job
//! control nobody else would take the terminal back. When we are in the background
//! the terminal belongs to somebody who looks after it, and is left alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use super::sys::{self, Mask};

/// The controlling terminal, and whether our group is in its foreground.
pub(super) struct Terminal {
    tty: OwnedFd,
    ours: Option<Pid>,
}

impl Terminal {
    /// `None` when there is no controlling terminal.
    pub(super) fn note() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let tty = rustix::fs::open(c"/dev/tty", flags, Mode::empty()).ok()?;
        let mut terminal = Self { tty, ours: None };
        terminal.note_again();
        Some(terminal)
    }

    /// The terminal for a group of the command's own: `None` while we are in the background.
    pub(super) fn for_group(&self) -> Option<BorrowedFd<'_>> {
        self.ours.map(|_| self.tty.as_fd())
    }

    /// Makes the command's group the foreground one, if ours is.
    pub(super) fn hand_over(&self, command: Pid) {
        if self.ours.is_some()
            && let Ok(group) = rustix::process::getpgid(Some(command))
        {
            self.set_foreground(group);
        }
    }

    /// After a stop: `fg` or `bg` decided anew.
    pub(super) fn note_again(&mut self) {
        self.ours =
            tcgetpgrp(&self.tty).ok().filter(|&group| group.as_raw_nonzero().get() == sys::process_group());
    }

    /// Makes our group the foreground one again, if it was.
    pub(super) fn give_back(&self) {
        let Some(ours) = self.ours else { return };
        if tcgetpgrp(&self.tty).is_ok_and(|group| group == ours) {
            return;
        }
        self.set_foreground(ours);
    }

    fn set_foreground(&self, group: Pid) {
        let before = sys::block_all();
        let ttou = 1u64 << (libc::SIGTTOU - 1);
        sys::set_mask(Mask(before.0 | ttou));
        // the terminal may be gone
        let _ = tcsetpgrp(&self.tty, group);
        sys::set_mask(before);
    }
}
