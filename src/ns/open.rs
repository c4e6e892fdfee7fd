//! Opens a session: prepares everything, clones init, listens to how it went.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::error::{Context, Error, Result};
use crate::os::log;

use super::idmap::{self, OwnMaps};
use super::init::{self, Prepared};
use super::link::{self, Link};
use super::mover::{Memory, record};
use super::plan::Plan;
use super::realm::Realm;
use super::sys::{self, Forked};
use super::table::{Connection, Role, Table};
use super::trouble;
use super::vfork;
use super::wire::{self, Request, Tag};

/// What a session is made of.
pub struct Opening<'a> {
    pub plan: &'a Plan,
    /// The session's lock: init holds it until the session ends, and every joiner gets a
    /// copy, because the last to leave needs it until all is taken in (rule 14).
    pub lock: BorrowedFd<'a>,
    /// Other descriptors that init holds until the session ends.
    pub keep: &'a [BorrowedFd<'a>],
    /// Where `socket` is made for joiners; one that is left from before is replaced.
    pub session_dir: &'a Path,
    pub realm: Realm,
}

/// Opens a session; the caller is its first launcher.
///
/// # Errors
/// With a hint where user namespaces are refused; else the step of the plan that failed.
pub fn open(opening: Opening<'_>) -> Result<Link> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context("make a connection for", "the session")?;
    let is_root = rustix::process::geteuid().is_root();
    opening.plan.steps.iter().for_each(|step| log::line("step", step));
    let mut prepared = prepare(&opening, theirs, is_root)?;

    let copying = vfork::copy();
    let mask = sys::block_all();
    let realm = &opening.realm;
    let mut forked = sys::fork_into(realm.flags(true), realm.cgroup());
    let mut refused = None;
    if let Err(errno) = forked
        && may_be_refused_alone(errno)
    {
        // the pid namespace alone may be what is refused: a filter, or a limit
        prepared.has_pids = false;
        forked = sys::fork_into(realm.flags(false), realm.cgroup());
        refused = Some(errno);
    }
    if matches!(forked, Ok(Forked::Child)) {
        init::main(&mut prepared);
    }
    sys::set_mask(mask);
    drop(copying);
    let (pid, pidfd) = match forked {
        Ok(Forked::Parent { pid, pidfd: Some(pidfd) }) => (pid, pidfd),
        Ok(_) => return Err(Error::failure("this kernel has no pidfds (5.2)")),
        // both were refused: the first one says why
        Err(errno) => return Err(trouble::of_clone(refused.unwrap_or(errno))),
    };
    let (inotify, requests) = (prepared.inotify.take(), prepared.requests.take());
    drop(prepared);
    if is_root {
        let mapped = idmap::write_full(pid);
        // when it has died already, the answer below says so
        let _ = Request::Start { mapped }.send(&ours);
    }
    let answer = hear(&ours, opening.plan).map_err(trouble::of_this_machine);
    let warnings = match answer {
        Ok(warnings) => refused.map(trouble::without_pids).into_iter().chain(warnings).collect(),
        Err(error) => {
            link::reap(pid);
            return Err(error);
        }
    };
    Ok(Link::opener(ours, (pid, pidfd), inotify, requests, refused.is_none(), warnings, opening.realm))
}

/// By a filter, a limit, or a kernel without them; not for want of memory or processes.
fn may_be_refused_alone(errno: Errno) -> bool {
    [Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::USERS, Errno::INVAL, Errno::NOSYS].contains(&errno)
}

/// Waits for READY; returns the warnings.
fn hear(socket: &OwnedFd, plan: &Plan) -> Result<Vec<Error>> {
    let mut warnings = Vec::new();
    loop {
        let Some(reply) = wire::receive(socket).context("talk to", "the session's init")? else {
            return Err(trouble::init_is_gone());
        };
        match reply.tag {
            Tag::Ready => return Ok(warnings),
            Tag::Warning => warnings.push(trouble::of_reply(plan, &reply)),
            _ => return Err(trouble::of_reply(plan, &reply)),
        }
    }
}

fn prepare<'a>(opening: &Opening<'a>, theirs: OwnedFd, is_root: bool) -> Result<Prepared<'a>> {
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("open", "/dev/null")?;
    let listener = link::bind(opening.session_dir)?;
    // out of inotify instances: no watch, and the leaver learns of no unmount (rule 2)
    let flags = rustix::fs::inotify::CreateFlags::CLOEXEC | rustix::fs::inotify::CreateFlags::NONBLOCK;
    let inotify = opening.plan.watches().then(|| rustix::fs::inotify::init(flags).ok()).flatten();
    // shared by all launchers: none of them may wait for a connection that another one took
    let requests = opening.plan.takes_requests().then(|| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
    });
    let requests = requests.transpose().context("make a socket for", "requests from inside")?;
    let record = opening.plan.has_door().then(|| {
        let path = opening.session_dir.join(record::NAME);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).context("open", &path)
    });
    let record = record.transpose()?;
    let ours = [listener.as_fd(), theirs.as_fd(), opening.lock, null.as_fd()];
    let all = opening
        .keep
        .iter()
        .chain(&ours)
        .map(AsRawFd::as_raw_fd)
        .chain(inotify.as_ref().map(AsRawFd::as_raw_fd))
        .chain(requests.as_ref().map(AsRawFd::as_raw_fd))
        .chain(record.as_ref().map(AsRawFd::as_raw_fd));
    let mut keep: Vec<_> = all.collect();
    keep.sort_unstable();
    let mut table = Table::new();
    let launcher = rustix::process::getpid().as_raw_pid();
    let opener = Connection { socket: theirs, role: Role::Run, launcher, stays: false };
    let _ = table.admit(opener, 1);
    Ok(Prepared {
        plan: opening.plan,
        held: std::iter::repeat_with(|| None).take(opening.plan.holds()).collect(),
        maps: OwnMaps::new(opening.realm.root),
        wait_for_start: is_root,
        null,
        listener: Some(listener),
        inotify,
        requests,
        lock: opening.lock,
        keep,
        table,
        memory: Memory::new(),
        record,
        uid: if opening.realm.root { 0 } else { rustix::process::geteuid().as_raw() },
        has_pids: true,
    })
}
