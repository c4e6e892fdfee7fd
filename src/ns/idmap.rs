//! Id maps: everybody is inside who they are outside.
//!
//! An ordinary user's namespace maps one uid and one gid to themselves, written by
//! init after `setgroups` was denied. Root's maps every id there is to itself, which
//! only the parent may write; where it may not (a container without CAP_SETUID in its
//! own namespace), root gets the one-entry map too. With `--root` the caller's one id is
//! 0 inside; every other id has no number there, and giving files to it is EINVAL.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// The caller's one-entry maps, ready to be written.
pub(super) struct OwnMaps {
    uid: Vec<u8>,
    gid: Vec<u8>,
}

impl OwnMaps {
    /// `root`: the caller is 0 inside.
    pub(super) fn new(root: bool) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let entry = |id: u32| format!("{} {id} 1\n", if root { 0 } else { id }).into_bytes();
        Self { uid: entry(uid), gid: entry(gid) }
    }

    /// Called by init; no allocation.
    pub(super) fn write(&self) -> Result<(), (Errno, &'static str)> {
        match write(c"/proc/self/setgroups", b"deny") {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err((errno, "setgroups")),
        }
        write(c"/proc/self/gid_map", &self.gid).map_err(|errno| (errno, "gid_map"))?;
        write(c"/proc/self/uid_map", &self.uid).map_err(|errno| (errno, "uid_map"))
    }
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text).map(drop)
}

/// Called by a root launcher for its init: true when all ids are mapped.
pub(super) fn write_full(pid: i32) -> bool {
    let map = |which: &str| {
        let own = std::fs::read_to_string(Path::new("/proc/self").join(which))?;
        std::fs::write(format!("/proc/{pid}/{which}"), identity(&own))
    };
    map("gid_map").is_ok() && map("uid_map").is_ok()
}

/// The identity over every id that a map (`inside outside count` a line) has inside.
fn identity(map: &str) -> String {
    let entry = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (first, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{first} {first} {count}\n"))
    };
    map.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_keeps_the_inside_column() {
        assert_eq!(identity("         0     100000      65536\n 70000 9 1\n"), "0 0 65536\n70000 70000 1\n");
    }
}
