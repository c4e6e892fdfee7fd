//! Locks where flock(2) is refused: a directory beside the lock's file, `FILE.holders`.
//!
//! Each holder has a FIFO in it, and keeps it open for reading. Its name says who that is:
//!
//! ```text
//! has-MODE-NONCE-BOOT-PID-START-HOST    a holder; MODE is x or s
//! wants-MODE-NONCE-…                    one who looks who else is there; stays beside `has`
//! new-MODE-NONCE-…                      not yet open for reading: counts for nobody
//! ```
//!
//! A FIFO has a reader as long as any copy of the descriptor is open, in whatever process:
//! just what keeps a flock. Opening it for writing without waiting asks that (ENXIO: nobody).
//! What nobody reads is never read again, for a name is not used twice; so whoever finds it
//! removes it, and of two who do the second finds nothing. On another boot of this host
//! nobody is left; of another host nothing can be known: its names count until they are removed.
//!
//! Who comes announces itself first and looks then, so of two at least one sees the other:
//! it gives way to who holds, or to the lower name; the lower one waits until the other did.

use std::hash::{BuildHasher, Hasher};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, mkdirat, mknodat, unlink};
use rustix::io::Errno;

use super::Hold;
use crate::error::{Context, Error, Kind, Result, quoted, shell_word};
use crate::os::boot;

/// How long somebody who is neither holder nor gone is waited for: a process that was stopped
/// between two calls.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a lock of another host is waited for.
const ABROAD: Duration = Duration::from_secs(30);

/// A name in a lock's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    hold: Hold,
    nonce: u64,
    boot: String,
    pid: u32,
    /// Clock ticks after the boot: tells processes of one number apart.
    start: u64,
    host: String,
}

/// Takes the name away when its last descriptor was closed.
#[derive(Debug)]
pub struct Holder {
    dir: PathBuf,
    name: Name,
}

/// What an attempt came to.
pub enum Attempt {
    Had(OwnedFd, Holder),
    /// Somebody holds it; named where it is one of another host.
    Held(Option<Name>),
}

/// Who else is there, in a way that excludes this hold.
enum Others {
    Nobody,
    /// The lowest of those who look too.
    Rival(u64),
    Held(Option<Name>),
}

pub fn dir_of(path: &Path) -> PathBuf {
    let mut dir = path.as_os_str().to_os_string();
    dir.push(super::HOLDERS);
    dir.into()
}

/// The lock, or who has it.
pub fn attempt(path: &Path, hold: Hold) -> Result<Attempt> {
    let dir = dir_of(path);
    let mine = Name::mine(hold);
    let began = Instant::now();
    loop {
        match others(&dir, &mine).context("lock", path)? {
            Others::Held(who) => return Ok(Attempt::Held(who)),
            Others::Nobody => match mine.take(&dir).context("lock", path)? {
                Some((fd, holder)) => return Ok(Attempt::Had(fd, holder)),
                None if began.elapsed() > PATIENCE => return Ok(Attempt::Held(None)),
                None => {}
            },
            Others::Rival(_) if began.elapsed() > PATIENCE => return Ok(Attempt::Held(None)),
            Others::Rival(_) => {}
        }
        nap(&mine, began);
    }
}

/// Waits for the lock; for one of another host not for ever.
pub fn wait(path: &Path, hold: Hold) -> Result<(OwnedFd, Holder)> {
    let (mine, began) = (Name::mine(hold), Instant::now());
    let mut abroad: Option<Instant> = None;
    loop {
        match attempt(path, hold)? {
            Attempt::Had(fd, holder) => return Ok((fd, holder)),
            Attempt::Held(Some(who)) if abroad.get_or_insert_with(Instant::now).elapsed() > ABROAD => {
                let message = format!("the lock {} is held by {}", quoted(path.as_os_str()), who.shown());
                let hint = format!(
                    "wait for it to end there; if nothing of vrift runs on that host any more: rm {}",
                    shell_word(dir_of(path).join(who.file("has")))
                );
                return Err(Error::new(Kind::Busy, message).with_hint(hint));
            }
            Attempt::Held(who) => abroad = abroad.filter(|_| who.is_some()),
        }
        nap(&mine, began);
    }
}

/// Longer and longer, and never as long as somebody else's.
fn nap(mine: &Name, began: Instant) {
    let micros = 200 + (began.elapsed().as_micros() as u64 / 8).min(20_000);
    std::thread::sleep(Duration::from_micros(micros + mine.nonce % micros));
}

/// Looks who is there, and removes whom nobody is behind any more.
fn others(dir: &Path, mine: &Name) -> Result<Others, Errno> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match mkdirat(rustix::fs::CWD, dir, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => return Ok(Others::Nobody),
                Err(errno) => return Err(errno),
            }
        }
        entries => entries.map_err(errno)?,
    };
    let (mut held, mut rivals) = (None, Vec::new());
    for entry in entries {
        let file = entry.map_err(errno)?.file_name();
        let Some((state, name)) = file.to_str().and_then(Name::parse) else { continue };
        if name.nonce == mine.nonce || !name.lives(&dir.join(&file), mine) {
            continue;
        }
        if state == "new" || mine.hold == Hold::Shared && name.hold == Hold::Shared {
            continue;
        }
        // what was cut short on another host is never resolved
        match state == "has" || name.boot != mine.boot {
            true => held = Some((name.boot != mine.boot).then_some(name)),
            false => rivals.push(name.nonce),
        }
    }
    // who holds has both names
    Ok(match (held, rivals.into_iter().min()) {
        (Some(who), _) => Others::Held(who),
        (None, Some(lowest)) => Others::Rival(lowest),
        (None, None) => Others::Nobody,
    })
}

impl Name {
    fn mine(hold: Hold) -> Self {
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let machine: String = machine.trim().chars().take(8).collect();
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            hold,
            nonce: nonce(),
            boot: boot::id().replace('-', ""),
            pid: rustix::process::getpid().as_raw_nonzero().get().unsigned_abs(),
            start: start(),
            host: format!("{node}.{machine}").replace(['/', '\0'], "_").chars().take(100).collect(),
        }
    }

    fn file(&self, state: &str) -> String {
        let mode = if self.hold == Hold::Shared { 's' } else { 'x' };
        let Self { nonce, boot, pid, start, host, .. } = self;
        format!("{state}-{mode}-{nonce:016x}-{boot}-{pid}-{start}-{host}")
    }

    fn parse(file: &str) -> Option<(&str, Self)> {
        let mut parts = file.splitn(7, '-');
        let mut next = || parts.next();
        let state = next().filter(|state| ["has", "wants", "new"].contains(state))?;
        let hold = match next()? {
            "s" => Hold::Shared,
            "x" => Hold::Exclusive,
            _ => return None,
        };
        let nonce = u64::from_str_radix(next()?, 16).ok()?;
        let boot = next()?.to_string();
        let (pid, start) = (next()?.parse().ok()?, next()?.parse().ok()?);
        Some((state, Self { hold, nonce, boot, pid, start, host: next()?.to_string() }))
    }

    pub fn shown(&self) -> String {
        let host = self.host.rsplit_once('.').map_or(self.host.as_str(), |(node, _)| node);
        format!("process {} of host `{}`", self.pid, crate::error::plain(host.as_ref()))
    }

    /// Whether somebody may be behind it; removed when not.
    fn lives(&self, path: &Path, mine: &Self) -> bool {
        let gone = match self.boot == mine.boot {
            true => match is_read(path) {
                Err(Errno::NOENT) => return false,
                is_read => is_read == Ok(false),
            },
            false => self.host == mine.host,
        };
        if gone {
            let _ = unlink(path); // somebody else may have done it
        }
        !gone
    }

    /// Announces itself, and looks whether somebody else is there: `None` is to be tried again,
    /// by another name.
    fn take(&self, dir: &Path) -> Result<Option<(OwnedFd, Holder)>, Errno> {
        let me = Self { nonce: nonce(), ..self.clone() };
        let Some(had) = me.announce(dir).map_or_else(again, |had| Ok(Some(had)))? else { return Ok(None) };
        let began = Instant::now();
        loop {
            match others(dir, &me)? {
                Others::Nobody => break,
                // it sees this one and gives way, or did not and is about to have it
                Others::Rival(lowest) if me.nonce < lowest && began.elapsed() < PATIENCE => nap(&me, began),
                Others::Rival(_) | Others::Held(_) => return Ok(None),
            }
        }
        // a second name: while one takes the other's place a reader of the directory sees neither
        let named = rustix::fs::link(dir.join(me.file("wants")), dir.join(me.file("has")));
        named.map_or_else(again, |()| Ok(Some(had)))
    }

    /// Is seen from when it is open for reading, and not before.
    fn announce(&self, dir: &Path) -> Result<(OwnedFd, Holder), Errno> {
        let (new, wants) = (dir.join(self.file("new")), dir.join(self.file("wants")));
        mknodat(rustix::fs::CWD, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(&new, flags, Mode::empty())?;
        rustix::fs::rename(&new, &wants)?;
        Ok((fd, Holder { dir: dir.to_path_buf(), name: self.clone() }))
    }
}

/// Not there: the directory went with its lock, or a name before it was open.
fn again<T>(errno: Errno) -> Result<Option<T>, Errno> {
    if errno == Errno::NOENT { Ok(None) } else { Err(errno) }
}

fn nonce() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

impl Drop for Holder {
    fn drop(&mut self) {
        // the descriptor was closed before; copies of it may be open
        for state in ["has", "wants"] {
            let path = self.dir.join(self.name.file(state));
            if is_read(&path) == Ok(false) {
                let _ = unlink(&path);
            }
        }
    }
}

/// Whether a FIFO is open for reading.
fn is_read(path: &Path) -> Result<bool, Errno> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::NXIO) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn start() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    ticks.and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
#[path = "holders_tests.rs"]
mod tests;
