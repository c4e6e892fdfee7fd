//! Giving a file without a name (O_TMPFILE) its first one.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

/// AT_EMPTY_PATH was refused once: it will be again.
static BY_PROC: AtomicBool = AtomicBool::new(false);
/// It was granted once: ENOENT is then the target's, and not tried a second time.
static BY_DESCRIPTOR: AtomicBool = AtomicBool::new(false);

/// Gives the inode of a descriptor a name. AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH in the
/// initial user namespace before Linux 6.10; /proc/self/fd works everywhere.
pub fn link_unnamed(fd: impl AsFd, dir: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<(), Errno> {
    if !BY_PROC.load(Ordering::Relaxed) {
        match linkat(&fd, c"", &dir, name, AtFlags::EMPTY_PATH) {
            // ENOENT is also what a caller without the capability gets.
            Err(Errno::NOENT) if !BY_DESCRIPTOR.load(Ordering::Relaxed) => {}
            Err(Errno::PERM) => {}
            other => {
                if other.is_ok() {
                    BY_DESCRIPTOR.store(true, Ordering::Relaxed);
                }
                return other;
            }
        }
    }
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    linkat(CWD, path, &dir, name, AtFlags::SYMLINK_FOLLOW)?;
    BY_PROC.store(true, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};

    #[test]
    fn a_descriptor_gets_a_name_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir.path(), flags, Mode::RUSR).unwrap();
        let at = std::fs::File::open(dir.path()).unwrap();
        link_unnamed(&fd, &at, c"first").unwrap();
        assert_eq!(link_unnamed(&fd, &at, c"first"), Err(Errno::EXIST));
        BY_PROC.store(true, Ordering::Relaxed);
        link_unnamed(&fd, &at, c"second").unwrap();
        BY_PROC.store(false, Ordering::Relaxed);
    }
}
