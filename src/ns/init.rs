//! The session's first process, PID 1 inside: sets the namespaces up, then reaps and
//! watches its connections until the last launcher has left.
//!
//! It is a clone of a process that may have had threads, so from its first
//! instruction to its last it makes raw system calls on memory prepared before: no
//! allocation, no lock, no panic, no printing.
//!
//! States: *open* → *ending* (the listener is closed; a moment for what ends by
//! itself; SIGTERM; two seconds; exit, at which the kernel kills and waits for the
//! rest; without a pid namespace init does that itself first). *Open* with a waiting leaver goes on until nothing is left or somebody joins.

mod ending;
mod moving;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::idmap::OwnMaps;
use super::interpret::{Interpreter, Trouble};
use super::mover::Memory;
use super::plan::Plan;
use super::survivors::{Names, Realm};
use super::table::{Connection, PLACES, Role, Running, Table};
use super::wire::{self, REQUEST, Request, Tag};
use super::{STEP_DETACH, STEP_LISTEN, STEP_MAPS, STEP_PIDS, sys};
use moving::Working;

/// What is left may end by itself for so long before it is told to.
const GRACE_MS: i64 = 20;
/// From SIGTERM to SIGKILL.
const TERM_MS: i64 = 2000;
/// How often init looks whether processes that are not its children have gone.
const TICK_MS: i64 = 10;
/// The same while nothing presses.
const SLOW_TICK_MS: i64 = 250;

/// Everything init needs, made by the launcher.
pub(super) struct Prepared<'a> {
    pub(super) plan: &'a Plan,
    pub(super) held: Vec<Option<OwnedFd>>,
    pub(super) maps: OwnMaps,
    /// The launcher writes the maps and says so first.
    pub(super) wait_for_start: bool,
    pub(super) null: OwnedFd,
    pub(super) listener: Option<OwnedFd>,
    pub(super) inotify: Option<OwnedFd>,
    /// Where processes inside ask, without a name yet.
    pub(super) requests: Option<OwnedFd>,
    /// The session's lock, for joiners.
    pub(super) lock: BorrowedFd<'a>,
    /// What stays open, ascending: the lock descriptors, and ours above.
    pub(super) keep: Vec<RawFd>,
    /// The opener's connection is at place 0.
    pub(super) table: Table,
    pub(super) memory: Memory,
    /// Where the mover says what is under way; without it nothing is moved.
    pub(super) record: Option<OwnedFd>,
    /// The caller's uid, as it is inside.
    pub(super) uid: u32,
    /// The session has a pid namespace of its own.
    pub(super) has_pids: bool,
}

/// How far the end has come.
enum Phase {
    Open,
    /// Nobody is told anything before this time.
    Grace(i64),
    /// SIGTERM was sent; exit at this time.
    Term(i64),
    /// SIGKILL is sent until nobody is left: where the kernel does not do it.
    Kill,
}

struct Init<'p, 'a> {
    prepared: &'p mut Prepared<'a>,
    child_signals: OwnedFd,
    pidfd: OwnedFd,
    /// Where the mover is asked.
    door: Option<OwnedFd>,
    /// The one that works now.
    mover: Option<Working>,
    proc_is_ours: bool,
    own_pid: Pid,
    /// Inode of the pid namespace it is in.
    pids: u64,
    realm: Realm,
    phase: Phase,
    /// Somebody joined at some time.
    shared: bool,
    names: Names,
    limit: usize,
}

/// The child's whole life.
pub(super) fn main(prepared: &mut Prepared<'_>) -> ! {
    match set_up(prepared) {
        Ok(mut init) => loop {
            init.turn();
        },
        Err(trouble) => {
            report(prepared, Tag::Failed, trouble);
            sys::exit(1)
        }
    }
}

fn report(prepared: &Prepared<'_>, tag: Tag, trouble: Trouble) {
    if let Some(Some(opener)) = prepared.table.connections.first() {
        let numbers = (trouble.step as i32, trouble.errno);
        let _ = wire::reply(&opener.socket, tag, numbers, trouble.detail.as_bytes(), &[]);
    }
}

fn set_up<'p, 'a>(prepared: &'p mut Prepared<'a>) -> Result<Init<'p, 'a>, Trouble> {
    let at = |step: usize, detail: &'static str| {
        move |errno: Errno| Trouble { step, errno: errno.raw_os_error(), detail }
    };
    let _ = rustix::thread::set_name(c"vrift-init");
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    // away from the caller's terminal and process group: a signal to either is not for init
    let _ = rustix::process::setsid();
    // first of all the launcher's own end of the connection: held here too, its death
    // would never be seen
    close_others(&prepared.keep);
    if !(prepared.wait_for_start && is_mapped(prepared)?) {
        prepared.maps.write().map_err(|(errno, detail)| at(STEP_MAPS, detail)(errno))?;
    }

    let mut held = std::mem::take(&mut prepared.held);
    let (plan, inotify, requests) = (prepared.plan, prepared.inotify.as_ref(), prepared.requests.as_ref());
    let has_pids = prepared.has_pids;
    // before anything runs in here: what could not be ended later must not begin
    let realm = Realm::of_self(has_pids).map_err(at(STEP_PIDS, "/proc"))?;
    let mut interpreter =
        Interpreter { plan, held: &mut held, inotify, requests, door: None, has_pids, proc_is_ours: false };
    interpreter.run(&mut |trouble| report(prepared, Tag::Warning, trouble))?;
    let Interpreter { door, proc_is_ours, .. } = interpreter;
    // everything in it was put back; freeing its memory could meet a lock
    std::mem::forget(held);

    rustix::process::chdir(c"/").map_err(at(STEP_DETACH, "chdir"))?;
    sys::become_stdio(prepared.null.as_fd());
    sys::close(prepared.null.as_raw_fd());
    let limit = raise_descriptor_limit();
    let child_signals = sys::signalfd(libc::SIGCHLD).map_err(at(STEP_DETACH, "signalfd"))?;
    let own_pid = rustix::process::getpid();
    let pidfd =
        rustix::process::pidfd_open(own_pid, PidfdFlags::empty()).map_err(at(STEP_DETACH, "pidfd"))?;
    if let Some(listener) = &prepared.listener {
        rustix::net::listen(listener, 4096).map_err(at(STEP_LISTEN, "listen"))?;
    }
    report(prepared, Tag::Ready, Trouble { step: 0, errno: 0, detail: "" });
    let phase = Phase::Open;
    let names = Names::new();
    // asked for by joiners of a session that shares its caller's
    let pids = if has_pids { 0 } else { sys::inode_of(c"/proc/self/ns/pid") };
    let mover = None;
    Ok(Init {
        prepared,
        child_signals,
        pidfd,
        door,
        mover,
        proc_is_ours,
        own_pid,
        pids,
        realm,
        phase,
        shared: false,
        names,
        limit,
    })
}

/// Waits for the launcher's word on the maps.
fn is_mapped(prepared: &Prepared<'_>) -> Result<bool, Trouble> {
    let Some(Some(opener)) = prepared.table.connections.first() else { return Ok(false) };
    let mut bytes = [0u8; REQUEST];
    match rustix::net::recv(&opener.socket, &mut bytes, rustix::net::RecvFlags::empty()) {
        Ok((_, length)) => match Request::decode(bytes.get(..length).unwrap_or(&[])) {
            Some(Request::Start { mapped }) => Ok(mapped),
            // the launcher died
            _ => sys::exit(1),
        },
        Err(errno) => Err(Trouble { step: STEP_MAPS, errno: errno.raw_os_error(), detail: "start" }),
    }
}

/// Closes all descriptors from 3 on but these, which ascend.
pub(super) fn close_others(keep: &[RawFd]) {
    let mut next = 3u32;
    for &fd in keep.iter().filter(|&&fd| fd >= 3) {
        let fd = fd as u32;
        if fd > next {
            sys::close_range(next, fd - 1);
        }
        next = next.max(fd + 1);
    }
    sys::close_range(next, u32::MAX);
}

/// Raises the soft limit to the hard one; returns how many connections there may be,
/// each with a command, and a reserve to refuse more.
fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(1 << 20) as usize;
    (limit.saturating_sub(64) / 2).clamp(1, PLACES)
}

impl Init<'_, '_> {
    /// Waits for one thing to happen, and deals with all that did.
    fn turn(&mut self) {
        let listener = self.prepared.listener.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let signals = self.child_signals.as_raw_fd();
        // one mover at a time: no two moves meet
        let door = self.door.as_ref().filter(|_| self.mover.is_none()).map_or(-1, AsRawFd::as_raw_fd);
        let timeout = self.timeout();
        if sys::poll(self.prepared.table.poll_list([signals, listener, door]), timeout).is_err() {
            // ENOMEM: nothing better than to try again, not at once
            let _ = sys::poll(&mut [], TICK_MS as i32);
        }
        if self.prepared.table.is_ready(signals) {
            self.reap();
        }
        self.forget_ended_commands();
        self.hear_all();
        if listener >= 0 && self.prepared.table.is_ready(listener) {
            self.accept_all();
        }
        if door >= 0 && self.prepared.table.is_ready(door) {
            self.start_mover();
        }
        self.kill_overdue();
        self.advance();
    }

    /// Milliseconds until something must be done; -1: when somebody speaks.
    fn timeout(&self) -> i32 {
        let now = sys::now_ms();
        let waiting = self.waiting().map(|_| now + SLOW_TICK_MS);
        let phase = match self.phase {
            Phase::Open => waiting,
            Phase::Grace(until) => Some(until.min(now + TICK_MS / 5)),
            Phase::Term(until) => Some(until.min(now + TICK_MS)),
            Phase::Kill => Some(now + TICK_MS),
        };
        let kills = self.prepared.table.commands.iter().flatten().filter_map(|command| command.kill_at);
        match phase.into_iter().chain(kills).min() {
            Some(at) => (at - now).clamp(0, 60_000) as i32,
            None => -1,
        }
    }

    fn reap(&mut self) {
        let mut record = [0u8; 128];
        while rustix::io::read(&self.child_signals, &mut record).is_ok() {}
        while let Ok(Some((ended, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(mover) = self.mover.take_if(|mover| mover.pid == ended)
                && status.exit_status() != Some(0)
            {
                self.succeed(mover);
            }
        }
    }

    fn forget_ended_commands(&mut self) {
        for at in 0..self.prepared.table.commands.len() {
            self.prepared.table.forget_if_ready(at);
        }
    }

    /// Takes every connection that waits, of our own user.
    fn accept_all(&mut self) {
        loop {
            let Some(listener) = &self.prepared.listener else { return };
            let Ok(socket) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) else { return };
            let ours = sys::peer(socket.as_fd()).is_ok_and(|peer| peer.uid == self.prepared.uid);
            if !ours {
                let _ = wire::reply(&socket, Tag::Refused, (0, 0), b"it belongs to another user", &[]);
                continue;
            }
            let connection = Connection { socket, role: Role::Visitor, launcher: 0, stays: false };
            if let Err(connection) = self.prepared.table.admit(connection, self.limit) {
                let _ = wire::reply(&connection.socket, Tag::Refused, (0, 0), b"it has too many runs", &[]);
            }
        }
    }

    fn hear_all(&mut self) {
        for place in 0..self.prepared.table.connections.len() {
            let Some(Some(connection)) = self.prepared.table.connections.get(place) else { continue };
            if self.prepared.table.is_ready(connection.socket.as_raw_fd()) {
                self.hear(place);
            }
        }
    }

    /// One request, or the end of the connection.
    fn hear(&mut self, place: usize) {
        let Some(Some(connection)) = self.prepared.table.connections.get_mut(place) else { return };
        let mut bytes = [0u8; REQUEST];
        let flags = rustix::net::RecvFlags::DONTWAIT;
        let length = match rustix::net::recv(&connection.socket, &mut bytes, flags) {
            Ok((_, length)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => 0,
        };
        match Request::decode(bytes.get(..length).unwrap_or(&[])) {
            // the end has begun: the joiner finds nobody, and opens anew
            Some(Request::Hello { .. }) if !matches!(self.phase, Phase::Open) => self.gone(place),
            Some(Request::Hello { pid }) => {
                (connection.role, connection.launcher) = (Role::Run, pid);
                self.shared = true;
                let (inotify, requests) = (self.prepared.inotify.as_ref(), self.prepared.requests.as_ref());
                let has = |which: i32, fd: Option<&OwnedFd>| fd.map_or(0, |_| which);
                let pids = if self.prepared.has_pids { wire::HAS_PIDS } else { 0 };
                let what = has(wire::HAS_INOTIFY, inotify) | has(wire::HAS_REQUESTS, requests) | pids;
                // what is not there is stood for by the pidfd, and passed over
                let all = [
                    self.pidfd.as_fd(),
                    self.prepared.lock,
                    inotify.unwrap_or(&self.pidfd).as_fd(),
                    requests.unwrap_or(&self.pidfd).as_fd(),
                ];
                let place_of_pids = self.pids as i32;
                if wire::reply(&connection.socket, Tag::Welcome, (what, place_of_pids), &[], &all).is_err() {
                    self.gone(place);
                }
                self.answer_waiting_leaver(place);
            }
            Some(Request::Command { pid }) => self.note_command(place, pid),
            Some(Request::Leave { wait, unless_shared }) => self.leave(place, wait, unless_shared),
            Some(Request::Info) => self.tell_runs(place),
            Some(Request::Stop { launcher }) => self.stop(place, launcher),
            // end of file, or somebody who does not know how to talk
            Some(Request::Start { .. }) | None => self.gone(place),
        }
    }

    fn note_command(&mut self, place: usize, pid: i32) {
        let Some(process) = Pid::from_raw(pid).filter(|&process| process != self.own_pid) else { return };
        if let Ok(pidfd) = rustix::process::pidfd_open(process, PidfdFlags::empty()) {
            self.prepared.table.note_command(Running { pidfd, pid, connection: place, kill_at: None });
        }
    }

    fn tell_runs(&mut self, place: usize) {
        let mut text = [0u8; 8 * 250];
        let mut used = 0;
        let table = &self.prepared.table;
        for (at, connection) in table.connections.iter().enumerate() {
            let Some(connection) = connection.as_ref().filter(|connection| connection.role != Role::Visitor)
            else {
                continue;
            };
            let command = table.commands.iter().flatten().find(|command| command.connection == at);
            let pair = [connection.launcher, command.map_or(0, |command| command.pid)];
            if let Some(room) = text.get_mut(used..used + 8) {
                let bytes = pair.iter().flat_map(|number| number.to_ne_bytes());
                room.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
                used += 8;
            }
        }
        if let Some(Some(connection)) = table.connections.get(place) {
            let text = text.get(..used).unwrap_or(&[]);
            let _ = wire::reply(&connection.socket, Tag::Runs, (used as i32 / 8, 0), text, &[]);
        }
    }

    fn waiting(&self) -> Option<usize> {
        let waits = |place: &Option<Connection>| place.as_ref().is_some_and(|c| c.role == Role::Waiting);
        self.prepared.table.connections.iter().position(waits)
    }

    /// Somebody joined: who waits to be the last is not.
    fn answer_waiting_leaver(&mut self, joined: usize) {
        if let Some(place) = self.waiting().filter(|&place| place != joined) {
            self.say_others(place);
        }
    }

    fn say_others(&mut self, place: usize) {
        let Some(slot) = self.prepared.table.connections.get_mut(place) else { return };
        if let Some(connection) = slot {
            let numbers = (i32::from(connection.stays), 0);
            let _ = wire::reply(&connection.socket, Tag::Others, numbers, &[], &[]);
        }
        match slot {
            Some(connection) if connection.stays => connection.role = Role::Run,
            slot => *slot = None,
        }
    }

    fn leave(&mut self, place: usize, wait: bool, unless_shared: bool) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let shared = unless_shared && self.shared;
        self.forget_dead(place);
        // a joiner that has connected already counts once it has said hello
        let others = self.prepared.table.others(place);
        if let Some(Some(connection)) = self.prepared.table.connections.get_mut(place) {
            connection.stays = unless_shared;
            connection.role = if shared || others { Role::Run } else { Role::Waiting };
        }
        if shared || others {
            return self.say_others(place);
        }
        if !wait {
            self.begin_end();
        }
    }

    /// Launchers that have died and were not heard of yet have gone before who leaves now:
    /// else that one would leave the taking in to nobody. The connection of one that was
    /// killed as it entered lives a little longer than itself, in its child.
    fn forget_dead(&mut self, leaver: usize) {
        for at in 0..self.prepared.table.connections.len() {
            let Some(Some(connection)) = self.prepared.table.connections.get(at) else { continue };
            let mut look = [libc::pollfd { fd: connection.socket.as_raw_fd(), events: 0, revents: 0 }];
            let looked = at != leaver && sys::poll(&mut look, 0).is_ok();
            let hung_up = looked && look.iter().any(|entry| entry.revents & libc::POLLHUP != 0);
            if hung_up || at != leaver && sys::peer_has_ended(connection.socket.as_fd()) {
                self.gone(at);
            }
        }
    }

    /// A launcher has died, or a visitor has gone.
    fn gone(&mut self, place: usize) {
        let Some(slot) = self.prepared.table.connections.get_mut(place) else { return };
        let Some(connection) = slot.take() else { return };
        if connection.role == Role::Visitor || !matches!(self.phase, Phase::Open) {
            return;
        }
        if !self.prepared.table.others(place) {
            return self.begin_end();
        }
        for command in self.prepared.table.commands.iter_mut().flatten() {
            if command.connection == place {
                end(command);
                command.connection = usize::MAX;
            }
        }
    }

    /// Ends the command of a launcher, or all (0); their launchers leave as ever.
    fn stop(&mut self, place: usize, launcher: i32) {
        let mut told = 0;
        let table = &mut self.prepared.table;
        for command in table.commands.iter_mut().flatten() {
            let its = table.connections.get(command.connection).and_then(Option::as_ref);
            if launcher == 0 || its.is_some_and(|its| its.launcher == launcher) {
                end(command);
                told += 1;
            }
        }
        let of_waiting = self.waiting().and_then(|at| self.prepared.table.connections.get(at)?.as_ref());
        let ends_waiting = of_waiting.is_some_and(|its| launcher == 0 || its.launcher == launcher);
        if let Some(Some(connection)) = self.prepared.table.connections.get(place) {
            let numbers = (told + i32::from(ends_waiting), 0);
            let _ = wire::reply(&connection.socket, Tag::Runs, numbers, &[], &[]);
        }
        if ends_waiting && matches!(self.phase, Phase::Open) {
            self.begin_end();
        }
    }
}

/// SIGTERM now, SIGKILL later.
fn end(command: &mut Running) {
    let _ = rustix::process::pidfd_send_signal(&command.pidfd, Signal::TERM);
    // a stopped command would not notice
    let _ = rustix::process::pidfd_send_signal(&command.pidfd, Signal::CONT);
    command.kill_at = command.kill_at.or(Some(sys::now_ms() + TERM_MS));
}
