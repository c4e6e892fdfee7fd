//! Which processes are left of a session, asked by init without allocating.
//!
//! With a pid namespace they are all that init can signal. Without one they are found in
//! `/proc` by their user namespace: it is the session's, or lies in it. A process may leave
//! the session's mount namespace for one of its own; out of the user namespace there is no
//! way. Signals go by the process's directory in `/proc`, which is as good as a pidfd
//! (pidfd_send_signal(2)), so that no number can mean somebody else.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::Signal;

use super::sys;

/// Names reported at most.
const NAMES: usize = 32;
/// TASK_COMM_LEN (linux/sched.h) with its NUL.
const NAME: usize = 16;
/// User namespaces in one another at most (user_namespaces(7)).
const LEVELS: usize = 32;

/// The names of ended processes, each followed by NUL.
pub(super) struct Names {
    pub(super) count: i32,
    bytes: [u8; NAMES * NAME],
    used: usize,
}

impl Names {
    pub(super) const fn new() -> Self {
        Self { count: 0, bytes: [0; NAMES * NAME], used: 0 }
    }

    pub(super) fn text(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&[])
    }

    fn add(&mut self, name: &[u8]) {
        self.count = self.count.saturating_add(1);
        let name = name.get(..name.len().min(NAME - 1)).unwrap_or(name);
        if let Some(place) = self.bytes.get_mut(self.used..self.used + name.len() + 1) {
            place.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
            self.used += name.len() + 1;
        }
    }
}

/// How a session's processes are told from others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Realm {
    /// They have a pid namespace of their own.
    Pids,
    /// They have a user namespace of this inode.
    Users(u64),
}

impl Realm {
    /// That of the calling process, which is a session's first one.
    ///
    /// # Errors
    /// Without a pid namespace, when `/proc` does not show this very process.
    pub(super) fn of_self(has_pids: bool) -> Result<Self, Errno> {
        if has_pids {
            return Ok(Self::Pids);
        }
        let mine = open(&CWD, c"/proc/self", OFlags::DIRECTORY)?;
        let users = rustix::fs::fstat(open(&mine, c"ns/user", OFlags::empty())?)?.st_ino;
        let realm = Self::Users(users);
        if realm.has(&mine) { Ok(realm) } else { Err(Errno::NOTSUP) }
    }

    /// True when init is alone. With a pid namespace a process that ended and was not
    /// reaped yet counts; it is init who reaps it.
    pub(super) fn none_left(self) -> bool {
        match self {
            Self::Pids => sys::kill(-1, 0) == Err(Errno::SRCH),
            Self::Users(_) => {
                let mut any = false;
                self.each(&mut |_, _| any = true);
                !any
            }
        }
    }

    /// Signals everybody but init.
    pub(super) fn signal_all(self, signal: Signal) {
        match self {
            Self::Pids => {
                let _ = sys::kill(-1, signal.as_raw());
            }
            Self::Users(_) => self.each(&mut |process, _| {
                let _ = rustix::process::pidfd_send_signal(process, signal);
            }),
        }
    }

    /// Writes down who is alive.
    pub(super) fn collect(self, names: &mut Names) {
        self.each(&mut |_, name| names.add(name));
    }

    /// Whether a process, by its directory in `/proc`, is one of the session's. In a pid
    /// namespace everybody whom a `/proc` of its own shows is.
    fn has(self, process: &OwnedFd) -> bool {
        let Self::Users(users) = self else { return true };
        // refused for everybody who is not in here
        let Ok(mut namespace) = open(process, c"ns/user", OFlags::empty()) else { return false };
        for _ in 0..=LEVELS {
            if rustix::fs::fstat(&namespace).is_ok_and(|stat| stat.st_ino == users) {
                return true;
            }
            match sys::parent_namespace(&namespace) {
                Ok(parent) => namespace = parent,
                Err(_) => return false,
            }
        }
        false
    }

    /// Calls `found` with each living process but this one: its directory and its name.
    fn each(self, found: &mut dyn FnMut(&OwnedFd, &[u8])) {
        let Ok(proc) = open(&CWD, c"/proc", OFlags::DIRECTORY) else { return };
        let mut own = [0u8; 16];
        // as this `/proc` counts, which may be another pid namespace's
        let length = rustix::fs::readlinkat_raw(&proc, c"self", &mut own[..]).unwrap_or(0);
        let own = own.get(..length).unwrap_or(&[]);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&proc, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            let number = entry.file_name();
            if number.to_bytes() == own || !number.to_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            let Ok(process) = open(&proc, number, OFlags::DIRECTORY) else { continue };
            if !self.has(&process) {
                continue;
            }
            let mut stat = [0u8; 512];
            let Ok(file) = open(&process, c"stat", OFlags::empty()) else { continue };
            let length = rustix::io::read(&file, &mut stat).unwrap_or(0);
            if let Some(name) = stat.get(..length).and_then(living_name) {
                found(&process, name);
            }
        }
    }
}

fn open(dir: &impl std::os::fd::AsFd, name: &CStr, more: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC | more, Mode::empty())
}

/// The name in a line `PID (NAME) STATE …` (proc_pid_stat(5)), unless the process has ended
/// already. One whose first thread has ended and others have not is alive.
fn living_name(stat: &[u8]) -> Option<&[u8]> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat.get(close + 2..)?.split(|&byte| byte == b' ');
    let state = fields.next().filter(|state| !state.is_empty())?;
    let threads = fields.nth(16).unwrap_or_default();
    let has_ended = matches!(state, b"Z" | b"X") && matches!(threads, b"" | b"0" | b"1");
    (!has_ended).then(|| stat.get(open + 1..close)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_parentheses_and_zombies_do_not_count() {
        assert_eq!(living_name(b"12 (a) (b)) S 1 12"), Some(&b"a) (b)"[..]));
        assert_eq!(living_name(b"12 (a) Z 1"), None);
        assert_eq!(living_name(b"12 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 4 18"), Some(&b"a"[..]));
        assert_eq!(living_name(b"12 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18"), None);
        assert_eq!(living_name(b"12 ("), None);
    }

    #[test]
    fn more_names_than_fit_are_counted_only() {
        let mut names = Names::new();
        (0..40).for_each(|_| names.add(b"a-very-long-command-name"));
        assert_eq!(names.count, 40);
        assert_eq!(names.text().split(|&byte| byte == 0).filter(|name| !name.is_empty()).count(), 32);
    }
}
