//! What is left of a session without a pid namespace whose init was killed: nobody is there
//! who would end it, and its commands go on (rules 3 and 21).
//!
//! They are found from outside by what they have mounted: a session's upper has a name that
//! no other ever has, so no number that is used again can mean somebody else. It is seen in
//! mount namespaces that were made from the session's as well.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Signal, pidfd_send_signal};

use crate::error::{Context, Error, Result};

/// From SIGTERM to SIGKILL, as init has it.
const TERM: Duration = Duration::from_secs(2);
/// How long a killed process may take to go.
const KILL: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(10);

/// Ends every process that has an overlay mounted whose options contain `mark`: SIGTERM, two
/// seconds later SIGKILL. Returns how many there were.
///
/// # Errors
/// When one does not go, or `/proc` cannot be read.
pub fn end_remains(mark: &str) -> Result<usize> {
    let found = find(mark)?;
    if found.is_empty() {
        return Ok(0);
    }
    let began = Instant::now();
    let mut left = found.len();
    let mut signals = [Signal::TERM, Signal::CONT].as_slice();
    while left > 0 {
        let now = find(mark)?;
        left = now.len();
        if began.elapsed() > TERM {
            signals = &[Signal::KILL];
        }
        for (process, signal) in now.iter().flat_map(|process| signals.iter().map(move |s| (process, *s))) {
            // one that has gone meanwhile is what is wanted
            let _ = pidfd_send_signal(process, signal);
        }
        if signals != [Signal::KILL] {
            signals = &[];
        }
        if began.elapsed() > TERM + KILL {
            return Err(Error::failure(format!(
                "{left} processes of a session whose init was killed do not end"
            ))
            .with_hint("they wait for a disk or another machine; try again when they are gone"));
        }
        std::thread::sleep(TICK);
    }
    Ok(found.len())
}

/// A process that has a directory, or something below it, open or for its working directory; one's
/// own and other users' are not seen.
pub fn user_of(dir: &Path) -> Result<Option<i32>> {
    let below = |link: PathBuf| std::fs::read_link(link).is_ok_and(|target| target.starts_with(dir));
    let me = rustix::process::getpid().as_raw_pid();
    for entry in std::fs::read_dir("/proc").context("read directory", "/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let open = || std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        if pid != me && (below(entry.path().join("cwd")) || open().any(|fd| below(fd.path()))) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// The processes, by their directories in `/proc`.
fn find(mark: &str) -> Result<Vec<OwnedFd>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("read directory", "/proc")? {
        let Ok(entry) = entry else { continue };
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(process) = rustix::fs::openat(CWD, entry.path(), flags, Mode::empty()) else { continue };
        let Ok(mounts) = std::fs::read(entry.path().join("mountinfo")) else { continue };
        if mounts.windows(mark.len()).any(|part| part == mark.as_bytes()) {
            found.push(process);
        }
    }
    Ok(found)
}
