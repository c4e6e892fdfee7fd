//! A launcher's connection to a session's init: join, run, leave.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, WaitOptions};

use crate::error::{Context, Error, Result};

use super::command::Command;
use super::desk::Desk;
use super::realm::Realm;
use super::signals::Signals;
use super::wait::Running;
use super::wire::{self, Request, Tag};
use super::{join, sys, trouble};

/// The socket's name in a session's directory.
const SOCKET: &str = "socket";
/// How long IN_UNMOUNT may come after the end of init.
const UNMOUNT_MS: i32 = 100;

/// A connection that keeps a session alive. Dropped without [`Link::leave`], init
/// takes it for a launcher that died.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    pidfd: OwnedFd,
    /// A joiner's copy of the session's lock, held until it has done with what it leaves.
    _lock: Option<OwnedFd>,
    inotify: Option<OwnedFd>,
    /// Where processes inside ask; shared by all launchers.
    requests: Option<OwnedFd>,
    pid: i32,
    has_pids: bool,
    is_parent: bool,
    warnings: Vec<Error>,
    realm: Realm,
}

/// How a leave ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Other runs go on, and so does what this one left running.
    OthersLive,
    /// This was the last run, and the session has ended.
    Last {
        /// Names of processes that had to be told to end; beyond 32, one entry `… and N more`.
        ended: Vec<String>,
        /// The overlay is known to be gone, so nothing can write to its upper any more (rule 2).
        unmounted: bool,
    },
}

/// A live run, as init knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The launcher's pid, in its own pid namespace.
    pub launcher: i32,
    /// A command's pid inside the session; 0 between commands.
    pub command: i32,
}

/// Joins the session of this directory, which was opened as this realm; `None` when nobody listens there (any more).
///
/// An opener that has not finished does not listen yet: who holds the session's lock
/// knows which it is.
pub fn connect(session_dir: &Path, realm: Realm) -> Result<Option<Link>> {
    let Some(socket) = dial(session_dir)? else { return Ok(None) };
    let pid = rustix::process::getpid().as_raw_pid();
    let Some(reply) = ask(&socket, Request::Hello { pid })? else { return Ok(None) };
    if reply.tag == Tag::Refused {
        let why = String::from_utf8_lossy(&reply.text);
        return Err(Error::failure(format!("cannot join the session: {why}")));
    }
    let has_pids = reply.numbers.0 & wire::HAS_PIDS != 0;
    if !has_pids && reply.tag == Tag::Welcome && reply.numbers.1 != sys::inode_of(c"/proc/self/ns/pid") as i32
    {
        // the numbers of its commands would mean other processes there
        return Err(Error::failure("the session has no pid namespace, and belongs to another container"));
    }
    let init = sys::peer(socket.as_fd()).context("ask for the peer of", session_dir)?.pid;
    let mut fds = reply.fds.into_iter();
    let Some(pidfd) = fds.next().filter(|_| reply.tag == Tag::Welcome) else {
        return Err(trouble::init_is_gone());
    };
    let _lock = fds.next();
    let inotify = fds.next().filter(|_| reply.numbers.0 & wire::HAS_INOTIFY != 0);
    let requests = fds.next().filter(|_| reply.numbers.0 & wire::HAS_REQUESTS != 0);
    Ok(Some(Link {
        socket,
        pidfd,
        _lock,
        inotify,
        requests,
        pid: init,
        has_pids,
        is_parent: false,
        warnings: Vec::new(),
        realm,
    }))
}

/// The live runs of the session of this directory; none when nobody listens. Asking
/// does not keep the session alive.
pub fn runs(session_dir: &Path) -> Result<Vec<Run>> {
    let Some(socket) = dial(session_dir)? else { return Ok(Vec::new()) };
    let Some(reply) = ask(&socket, Request::Info)? else { return Ok(Vec::new()) };
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
    let run = |pair: &[u8]| {
        let (launcher, command) = pair.split_at(4);
        Run { launcher: number(launcher), command: number(command) }
    };
    Ok(reply.text.chunks_exact(8).map(run).collect())
}

/// The pid of the session's first process, as seen from here: 0 when it is not visible. `None`:
/// nobody listens. Asking does not keep the session alive.
pub fn first_process(session_dir: &Path) -> Result<Option<i32>> {
    let Some(socket) = dial(session_dir)? else { return Ok(None) };
    if ask(&socket, Request::Info)?.is_none() {
        return Ok(None);
    }
    Ok(Some(sys::peer(socket.as_fd()).context("ask for the peer of", session_dir)?.pid))
}

/// Ends the command of a launcher, or of every one (`None`): SIGTERM, two seconds later
/// SIGKILL. Their launchers take in what was written, as after any end. Returns how many
/// commands were told; none when nobody listens.
pub fn stop(session_dir: &Path, launcher: Option<i32>) -> Result<usize> {
    let Some(socket) = dial(session_dir)? else { return Ok(0) };
    let Some(reply) = ask(&socket, Request::Stop { launcher: launcher.unwrap_or(0) })? else { return Ok(0) };
    Ok(usize::try_from(reply.numbers.0).unwrap_or(0))
}

impl Link {
    pub(super) fn opener(
        socket: OwnedFd,
        (pid, pidfd): (i32, OwnedFd),
        inotify: Option<OwnedFd>,
        requests: Option<OwnedFd>,
        has_pids: bool,
        warnings: Vec<Error>,
        realm: Realm,
    ) -> Self {
        let (_lock, is_parent) = (None, true);
        Self { socket, pidfd, _lock, inotify, requests, pid, has_pids, is_parent, warnings, realm }
    }

    /// A desk that runs `helper` for each request from inside: this program, with the words
    /// and the environment of the command, and the connection as standard input. `None`: the
    /// plan had none, or we are out of descriptors.
    pub fn desk(&self, helper: Box<dyn Fn() -> Command>) -> Option<Desk> {
        let listener = rustix::io::fcntl_dupfd_cloexec(self.requests.as_ref()?, 3).ok()?;
        Some(Desk::new(listener, helper))
    }

    /// Init's pid as seen from here; 0 when it is not visible (another container's).
    pub fn init_pid(&self) -> i32 {
        self.pid
    }

    /// Whether the session has a pid namespace of its own, whose end ends everything.
    pub fn has_pids(&self) -> bool {
        self.has_pids
    }

    /// What the plan had to do without; empty for a joiner.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }

    /// Starts a command inside. It is this process's own child.
    ///
    /// # Errors
    /// `NotFound` and `NotExecutable` as a shell tells them apart; else what failed.
    pub fn run(&self, command: &Command) -> Result<Running> {
        join::run(self, command, false)
    }

    /// The same for an interactive shell: it leads a process group of its own, in the
    /// terminal's foreground if we were, and SIGTERM to us reaches it as SIGHUP too.
    pub fn run_shell(&self, command: &Command) -> Result<Running> {
        join::run(self, command, true)
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(super) fn realm(&self) -> &Realm {
        &self.realm
    }

    pub(super) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Leaves the session; the last to leave ends it. With `wait_for_background` what
    /// is left running may first end by itself; SIGINT, SIGTERM or SIGHUP cut that short.
    ///
    /// # Errors
    /// When init was killed: everything inside has ended, unwatched.
    pub fn leave(&self, wait_for_background: bool) -> Result<Left> {
        self.leave_from(wait_for_background, None)
    }

    /// The same; while it waits, the desk is served.
    ///
    /// # Errors
    /// As [`Link::leave`].
    pub fn leave_from(&self, wait_for_background: bool, desk: Option<&mut Desk>) -> Result<Left> {
        self.part(wait_for_background, false, desk)
    }

    /// The same where nobody else ever took part in the session. Else `OthersLive`, and this
    /// run has not left.
    ///
    /// # Errors
    /// As [`Link::leave`].
    pub fn leave_unless_shared(&self, wait_for_background: bool, desk: Option<&mut Desk>) -> Result<Left> {
        self.part(wait_for_background, true, desk)
    }

    fn part(&self, wait: bool, unless_shared: bool, desk: Option<&mut Desk>) -> Result<Left> {
        // whoever presses ^C now wants the end, which is under way
        let signals = Signals::catch();
        let gone = |errno: Errno| match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => trouble::init_is_gone(),
            errno => Error::io("talk to", "the session's init", &errno.into()),
        };
        Request::Leave { wait, unless_shared }.send(&self.socket).map_err(gone)?;
        if let Some(signals) = signals.as_ref().filter(|_| wait)
            && signals.wait_beside(&self.socket, desk)
        {
            Request::Leave { wait: false, unless_shared }.send(&self.socket).map_err(gone)?;
        }
        let reply = loop {
            let reply = wire::receive(&self.socket).map_err(gone)?;
            // an answer to what was asked earlier
            let is_old =
                |reply: &wire::Reply| reply.tag == Tag::Others && (reply.numbers.0 != 0) != unless_shared;
            if !reply.as_ref().is_some_and(is_old) {
                break reply;
            }
        };
        let Some(reply) = reply.filter(|reply| matches!(reply.tag, Tag::Others | Tag::Last)) else {
            self.await_end();
            return Err(trouble::init_is_gone());
        };
        if reply.tag == Tag::Others {
            return Ok(Left::OthersLive);
        }
        self.await_end();
        let unmounted = self.saw_unmount();
        Ok(Left::Last { ended: names(&reply.text, reply.numbers.0), unmounted })
    }

    /// Waits until the pid namespace is empty and init is no more.
    fn await_end(&self) {
        if self.is_parent {
            return reap(self.pid);
        }
        let mut entry = [libc::pollfd { fd: raw(&self.pidfd), events: libc::POLLIN, revents: 0 }];
        while entry[0].revents == 0 && sys::poll(&mut entry, -1).is_ok() {}
    }

    fn saw_unmount(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut entry = [libc::pollfd { fd: raw(inotify), events: libc::POLLIN, revents: 0 }];
        if sys::poll(&mut entry, UNMOUNT_MS).is_err() {
            return false;
        }
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = rustix::fs::inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = events.next() {
            if event.events().contains(rustix::fs::inotify::ReadFlags::UNMOUNT) {
                return true;
            }
        }
        false
    }
}

fn raw(fd: &OwnedFd) -> i32 {
    use std::os::fd::AsRawFd;
    fd.as_raw_fd()
}

fn names(text: &[u8], count: i32) -> Vec<String> {
    let known = text.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<_> = known.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let more = usize::try_from(count).unwrap_or(0).saturating_sub(names.len());
    if more > 0 && !names.is_empty() {
        names.push(format!("… and {more} more"));
    } else if more > 0 {
        names.push("a process".to_owned());
    }
    names
}

/// Waits for a child of ours.
pub(super) fn reap(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    while let Err(Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
}

/// A request and its answer; `None` when the session is ending.
fn ask(socket: &OwnedFd, request: Request) -> Result<Option<wire::Reply>> {
    match request.send(socket) {
        // it may have refused already
        Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
        Err(errno) => return Err(errno).context("talk to", "the session's init"),
    }
    wire::receive(socket).context("talk to", "the session's init")
}

/// Makes the socket; nobody can connect until somebody listens.
pub(super) fn bind(session_dir: &Path) -> Result<OwnedFd> {
    let path = session_dir.join(SOCKET);
    let (dir, socket, address) = prepare(session_dir, SocketFlags::NONBLOCK)?;
    match rustix::fs::unlinkat(&dir, SOCKET, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno).context("remove", &path),
    }
    // what bind(2) gives the name, less the umask
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).context("make private", &path)?;
    rustix::net::bind(&socket, &address).context("make socket", &path)?;
    Ok(socket)
}

fn dial(session_dir: &Path) -> Result<Option<OwnedFd>> {
    let (_dir, socket, address) = match prepare(session_dir, SocketFlags::empty()) {
        Err(error) if error.is(libc::ENOENT) => return Ok(None),
        other => other?,
    };
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(Some(socket)),
            Err(Errno::INTR) => {}
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(errno).context("connect to", session_dir.join(SOCKET)),
        }
    }
}

/// The directory, a socket, and an address of it that is short enough (108 bytes).
fn prepare(session_dir: &Path, more: SocketFlags) -> Result<(OwnedFd, OwnedFd, SocketAddrUnix)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, session_dir, flags, Mode::empty()).context("open", session_dir)?;
    let flags = SocketFlags::CLOEXEC | more;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context("make a socket in", session_dir)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", raw(&dir)))
        .context("name the socket in", session_dir)?;
    Ok((dir, socket, address))
}
