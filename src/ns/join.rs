//! Gets a command inside: vfork, setns, vfork with CLONE_PARENT, exec.
//!
//! The middle process exists because setns changes who enters and, for the pid
//! namespace, only its children; the command is still the launcher's own child. Both
//! report through one CLOEXEC pipe, whose end means that exec succeeded.
//!
//! Both borrow the launcher's memory (`vfork`). Entering makes that undumpable, so nobody
//! inside can trace the command before it has left it; only then the launcher can be traced
//! again as before. Into a control group only clone3 leads: there the middle has a copy.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::DumpableBehavior;
use rustix::thread::{move_into_link_name_space, move_into_thread_name_spaces};

use crate::error::{Context, Error, Kind, Result, shell_word};
use crate::os::early;

use super::command::{Command, Image};
use super::exec::{self, Settings, Stage};
use super::filter;
use super::link::{self, Link};
use super::signals::Signals;
use super::sys::{self, Forked};
use super::terminal::Terminal;
use super::trouble;
use super::vfork::{self, Stack};
use super::wait::Running;

pub(super) fn run(link: &Link, command: &Command, is_shell: bool) -> Result<Running> {
    let mut image = Image::new(command)?;
    let (reader, writer) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make a pipe for", "the command")?;
    let way = |which: &str| CString::new(format!("/proc/{}/ns/{which}", link.init_pid()));
    let namespaces = link.realm().namespaces(link.has_pids());
    let ways: Vec<_> = namespaces.filter_map(|(_, which)| way(which).ok()).collect();
    let around = Around::note();
    let settings = around.settings(&writer, Some(link.socket()), is_shell, link.realm().keeps());

    let stacks = Stack::new().and_then(|outer| Ok((outer, Stack::new()?)));
    let (outer, inner) = stacks.context("make room for", "the command")?;
    let mut enter = || middle(link, &ways, &mut image, &settings, &inner);

    let borrowed = vfork::borrow();
    let is_dumpable = rustix::process::dumpable_behavior();
    let mask = sys::block_all();
    let forked = match link.realm().cgroup() {
        None => vfork::start(0, &outer, enter),
        cgroup => sys::fork_into(0, cgroup).map(|forked| match forked {
            Forked::Child => {
                enter();
                sys::exit(125)
            }
            Forked::Parent { pid, .. } => pid,
        }),
    };
    sys::set_mask(mask);
    let middle = forked.context("fork for", "the command")?;
    drop(writer);
    let (started, failed) = listen(reader);
    // nobody is left in our memory
    if let Ok(before @ DumpableBehavior::Dumpable) = is_dumpable {
        rustix::process::set_dumpable_behavior(before).context("come back from", "the session")?;
    }
    drop(borrowed);
    link::reap(middle);
    around.running(command, started, failed, is_shell)
}

/// Starts a command where this process is: no session, nothing taken away from it.
///
/// # Errors
/// `NotFound` and `NotExecutable` as a shell tells them apart; else what failed.
pub fn run_bare(command: &Command, is_shell: bool) -> Result<Running> {
    let mut image = Image::new(command)?;
    let (reader, writer) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make a pipe for", "the command")?;
    let around = Around::note();
    let settings = around.settings(&writer, None, is_shell, 0);
    let mask = sys::block_all();
    let forked = sys::fork_into(0, None);
    if matches!(forked, Ok(Forked::Child)) {
        exec::become_command(&mut image, &settings);
    }
    sys::set_mask(mask);
    let Forked::Parent { pid, .. } = forked.context("fork for", "the command")? else {
        return Err(trouble::init_is_gone());
    };
    drop(writer);
    let (_, failed) = listen(reader);
    around.running(command, Some(pid), failed, is_shell)
}

/// What surrounds a command that starts.
struct Around {
    terminal: Option<Terminal>,
    signals: Option<Signals>,
    caught: Vec<(i32, bool)>,
}

impl Around {
    fn note() -> Self {
        let terminal = Terminal::note();
        let signals = Signals::catch();
        let caught = signals.as_ref().map(Signals::caught).unwrap_or_default();
        Self { terminal, signals, caught }
    }

    fn settings<'a>(
        &'a self,
        pipe: &'a OwnedFd,
        socket: Option<&'a OwnedFd>,
        is_shell: bool,
        keeps: u64,
    ) -> Settings<'a> {
        Settings {
            pipe,
            socket,
            early: early::state(),
            caught: &self.caught,
            group: self.terminal.as_ref().filter(|_| is_shell).map(Terminal::for_group),
            has_terminal: filter::is_needed(self.terminal.is_some()),
            keeps,
        }
    }

    /// The command, or why it is not there.
    fn running(
        self,
        command: &Command,
        started: Option<i32>,
        failed: Option<(i32, i32)>,
        is_shell: bool,
    ) -> Result<Running> {
        match (started, failed) {
            (Some(pid), None) => Ok(Running::new(pid, self.signals, self.terminal, is_shell)),
            (started, failed) => {
                if let Some(pid) = started {
                    link::reap(pid);
                }
                Err(failed
                    .map_or_else(trouble::init_is_gone, |(stage, errno)| explain(command, stage, errno)))
            }
        }
    }
}

/// The process in the middle: enters, makes the command its own parent's child, and ends.
fn middle(link: &Link, ways: &[CString], image: &mut Image, settings: &Settings<'_>, stack: &Stack) -> ! {
    let fail = |stage: Stage, errno: Errno| -> ! {
        exec::report(settings.pipe, stage as i32, errno.raw_os_error());
        sys::exit(125)
    };
    let all = link.realm().entered(link.has_pids());
    let entered = match move_into_thread_name_spaces(link.pidfd().as_fd(), all) {
        // before 5.8 setns takes no pidfd
        Err(Errno::INVAL) => enter_by_files(ways),
        other => other,
    };
    if let Err(errno) = entered {
        fail(Stage::Enter, errno);
    }
    match vfork::start(libc::CLONE_PARENT, stack, || exec::become_command(image, settings)) {
        Ok(pid) => {
            exec::report(settings.pipe, 0, pid);
            sys::exit(0)
        }
        Err(errno) => fail(Stage::Fork, errno),
    }
}

/// All are opened before the first is entered: from inside they are not to be seen.
fn enter_by_files(ways: &[CString]) -> Result<(), Errno> {
    let mut files = [const { None }; 8];
    for (place, path) in files.iter_mut().zip(ways) {
        let file = rustix::fs::openat(CWD, path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        *place = Some(file);
    }
    // what each is, its file knows
    files.iter().flatten().try_for_each(|file| move_into_link_name_space(file.as_fd(), None))
}

/// Reads until the pipe ends: the command's pid, and what went wrong.
fn listen(reader: OwnedFd) -> (Option<i32>, Option<(i32, i32)>) {
    let mut bytes = Vec::new();
    // a read error is as good as an end: what is missing is noticed by the caller
    let _ = File::from(reader).read_to_end(&mut bytes);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
    let (mut started, mut failed) = (None, None);
    for record in bytes.chunks_exact(8) {
        let (stage, value) = record.split_at(4);
        match number(stage) {
            0 => started = Some(number(value)),
            stage => failed = Some((stage, number(value))),
        }
    }
    (started, failed)
}

pub(super) fn explain(command: &Command, stage: i32, errno: i32) -> Error {
    let cause = std::io::Error::from_raw_os_error(errno);
    let program = command.argv.first().map(OsStr::new).unwrap_or_default();
    let is = |which: Stage| which as i32 == stage;
    let cannot_run = |kind, cause_text: Option<&str>, hint: &str| {
        let error = Error::io("run", program, &cause).with_kind(kind).with_hint(hint);
        cause_text.map_or(error.clone(), |text| error.with_cause(text))
    };
    if is(Stage::Here) {
        let hint = format!(
            "it is in this directory, which is not on PATH: {}",
            shell_word(Path::new(".").join(program))
        );
        return cannot_run(Kind::NotFound, Some("command not found"), &hint);
    }
    if is(Stage::Exec) {
        let named = program.as_bytes().contains(&b'/');
        return match errno {
            libc::ENOENT if named => cannot_run(
                Kind::NotFound,
                Some("command not found"),
                "there is no such file in the workspace",
            ),
            libc::ENOENT => {
                cannot_run(Kind::NotFound, Some("command not found"), "no directory of PATH has it")
            }
            libc::EISDIR => cannot_run(
                Kind::NotExecutable,
                Some("it is a directory"),
                "to run a command there: vrift -C DIR exec COMMAND",
            ),
            libc::EACCES => cannot_run(
                Kind::NotExecutable,
                None,
                "make it executable (chmod +x), or name the program that runs it: sh FILE",
            ),
            libc::E2BIG => {
                cannot_run(Kind::NotExecutable, None, "the arguments or the environment are too long")
            }
            _ => Error::io("run", program, &cause).with_kind(Kind::NotExecutable),
        };
    }
    if is(Stage::Interpreter) {
        let cause = "its interpreter or loader is missing";
        return cannot_run(Kind::NotExecutable, Some(cause), "see its first line (head -n 1), or: file, ldd");
    }
    if is(Stage::Directory) {
        let hint = "this directory is not there in the workspace: start from another one";
        return Error::io("go to", &command.cwd, &cause).with_hint(hint);
    }
    if is(Stage::Announce) || (is(Stage::Fork) && errno == libc::ENOMEM) || errno == libc::ESRCH {
        return trouble::init_is_gone();
    }
    if is(Stage::Enter) {
        let hint = "a session of another container, or of another user, cannot be joined";
        return Error::io("enter", "the session", &cause).with_hint(hint);
    }
    let operation = if is(Stage::Fork) { "fork for" } else { "drop privileges for" };
    Error::io(operation, program, &cause)
}
