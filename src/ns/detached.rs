//! A process of this program that goes on by itself.
//!
//! It is nobody's child that anybody waits for, in a session of its own without a terminal,
//! with nothing open and in `/`: who started it, a pipe that is read to its end, or a
//! filesystem that is to be unmounted does not wait for it. Its control group is its
//! starter's, so whoever ends that ends it.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitOptions};

use super::command::{Command, Image};
use super::exec;
use super::sys::{self, Forked};
use crate::error::{Context, Result};

/// This program, wherever its file is by now.
const PROGRAM: &std::ffi::CStr = c"/proc/self/exe";

/// Starts this program with the words of `command`, whose first one is only shown.
pub fn start_detached(command: &Command) -> Result<()> {
    let image = Image::new(command)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::open(c"/dev/null", flags, Mode::empty()).context("open", "/dev/null")?;
    let mask = sys::block_all();
    let forked = sys::fork_into(0, None);
    if matches!(forked, Ok(Forked::Child)) {
        let _ = rustix::process::setsid();
        // a second child: this one is waited for, and no leader of a session gets a terminal
        if matches!(sys::fork_into(0, None), Ok(Forked::Child)) {
            sys::become_stdio(std::os::fd::AsFd::as_fd(&null));
            sys::close_range(3, u32::MAX);
            sys::set_mask(mask);
            exec::execute(PROGRAM, &image);
        }
        sys::exit(0)
    }
    sys::set_mask(mask);
    if let Forked::Parent { pid, .. } = forked.context("start", "a process in the background")? {
        let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty());
    }
    Ok(())
}
