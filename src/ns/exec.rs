//! The child that becomes the command. Between its clone and exec it makes raw system
//! calls only, with all signals blocked.
//!
//! It still holds descriptors of ours (closed by exec), and from the drop of its
//! capabilities on it looks like any process inside: it is made undumpable first, so
//! that none of those can reach them through its `/proc`. Exec makes it dumpable again.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::error::Error;
use crate::os::early::Early;

use super::command::{Command, Image};
use super::filter;
use super::sys::{self, Mask};
use super::wire::Request;

/// Where a child on its way to exec failed; the numbers go through the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Enter = 1,
    Fork,
    Announce,
    Directory,
    Privileges,
    Exec,
    /// The file is there, its interpreter or loader is not.
    Interpreter,
    /// No directory of PATH has it, but the working directory does.
    Here,
}

/// What a child reports: a stage and an errno, or (stage 0) the command's pid.
pub(super) fn report(pipe: &OwnedFd, stage: i32, number: i32) {
    let [a, b, c, d] = stage.to_ne_bytes();
    let [e, f, g, h] = number.to_ne_bytes();
    let _ = rustix::io::write(pipe, &[a, b, c, d, e, f, g, h]);
}

/// What the child needs beside its image.
pub(super) struct Settings<'a> {
    pub(super) pipe: &'a OwnedFd,
    /// Init's, for a command inside; without one it keeps all that the caller has.
    pub(super) socket: Option<&'a OwnedFd>,
    pub(super) early: Early,
    /// Signals whose handlers are ours, and whether our caller ignored them.
    pub(super) caught: &'a [(i32, bool)],
    /// It is to lead a process group, which becomes the foreground one of this terminal if there is one.
    pub(super) group: Option<Option<BorrowedFd<'a>>>,
    /// It gets a terminal.
    pub(super) has_terminal: bool,
    /// The capabilities it keeps, bit n is capability n.
    pub(super) keeps: u64,
}

/// Becomes the command, or reports why not and exits.
pub(super) fn become_command(image: &mut Image, settings: &Settings<'_>) -> ! {
    let (stage, errno) = match prepare(image, settings) {
        Ok(()) => exec(image),
        Err(failure) => failure,
    };
    report(settings.pipe, stage as i32, errno.raw_os_error());
    sys::exit(125)
}

fn prepare(image: &Image, settings: &Settings<'_>) -> Result<(), (Stage, Errno)> {
    let at = |stage: Stage| move |errno: Errno| (stage, errno);
    if let Some(socket) = settings.socket {
        let undumpable = rustix::process::DumpableBehavior::NotDumpable;
        rustix::process::set_dumpable_behavior(undumpable).map_err(at(Stage::Privileges))?;
        let pid = rustix::process::getpid().as_raw_pid();
        Request::Command { pid }.send(socket).map_err(at(Stage::Announce))?;
    }
    rustix::process::chdir(&*image.cwd).map_err(at(Stage::Directory))?;
    if settings.socket.is_some() {
        rustix::thread::set_no_new_privs(true).map_err(at(Stage::Privileges))?;
        sys::limit_capabilities(settings.keeps).map_err(at(Stage::Privileges))?;
    }
    if let Some(terminal) = settings.group {
        // A shell whose group's number is not known in here would take that number, 0,
        // for what it has to give the terminal back to (dash fails at that).
        let _ = rustix::process::setpgid(None, None);
        if let Some(terminal) = terminal {
            // SIGTTOU is blocked
            let _ = rustix::termios::tcsetpgrp(terminal, rustix::process::getpid());
        }
    }
    if settings.has_terminal && settings.socket.is_some() {
        filter::refuse_typing().map_err(at(Stage::Privileges))?;
    }
    for &(signal, ignored) in settings.caught {
        sys::set_disposition(signal, ignored);
    }
    restore(&settings.early);
    sys::set_mask(Mask(settings.early.mask));
    Ok(())
}

/// Becomes the command where this process is already inside; returns only when it
/// could not.
pub fn replace_this_process(command: &Command) -> Error {
    let mut image = match Image::new(command) {
        Ok(image) => image,
        Err(error) => return error,
    };
    restore(&crate::os::early::state());
    let (stage, errno) = exec(&mut image);
    super::join::explain(command, stage as i32, errno.raw_os_error())
}

/// Gives this process what its caller had set.
pub(super) fn restore(early: &Early) {
    sys::set_disposition(libc::SIGPIPE, early.sigpipe_ignored);
    sys::set_disposition(libc::SIGXFSZ, early.sigxfsz_ignored);
    for (fd, _) in early.closed.iter().enumerate().filter(|(_, closed)| **closed) {
        sys::close(fd as i32);
    }
}

/// Executes `program` with an image's arguments and environment; returns why it could not.
pub(super) fn execute(program: &CStr, image: &Image) -> Errno {
    // SAFETY: `Image` owns the strings that its null-terminated arrays point to.
    unsafe { sys::execve(program, &image.argv, &image.envp) }
}

fn is_directory(path: &CStr) -> bool {
    let stat = rustix::fs::stat(path);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn is_there(path: &CStr) -> bool {
    rustix::fs::accessat(CWD, path, Access::EXISTS, AtFlags::empty()).is_ok()
}

/// Tries the candidates as execvp does; returns only when none could be executed.
fn exec(image: &mut Image) -> (Stage, Errno) {
    let mut refused = None;
    let mut stage = Stage::Exec;
    for candidate in &image.candidates {
        // SAFETY: `Image` owns the strings that its null-terminated arrays point to.
        let mut errno = unsafe { sys::execve(candidate, &image.argv, &image.envp) };
        if errno == Errno::NOEXEC
            && let Some(file) = image.script.get_mut(1)
        {
            *file = candidate.as_ptr();
            // SAFETY: as above; the candidate is alive, and FILE's place has just been filled.
            errno = unsafe { sys::execve(c"/bin/sh", &image.script, &image.envp) };
        }
        match errno {
            // a directory of PATH that may not be searched holds nothing, as for a shell
            Errno::ACCESS if is_directory(candidate) => refused = refused.or(Some(Errno::ISDIR)),
            Errno::ACCESS if !image.is_searched || is_there(candidate) => refused = Some(errno),
            Errno::NOENT if is_there(candidate) => stage = Stage::Interpreter,
            Errno::ACCESS | Errno::NOENT => {}
            Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
            errno => return (Stage::Exec, errno),
        }
    }
    match refused {
        Some(errno) => (Stage::Exec, errno),
        None if stage == Stage::Exec
            && image.here.as_deref().is_some_and(|here| is_there(here) && !is_directory(here)) =>
        {
            (Stage::Here, Errno::NOENT)
        }
        None => (stage, Errno::NOENT),
    }
}
