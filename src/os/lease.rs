//! Whether a file is being written to: what the kernel knows, asked by trying to get a lease.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

/// fcntl(2), which the libc crate lacks.
const F_SETSIG: libc::c_int = 10;

/// Whether somebody has the file open for writing, or mapped so. `file` is open for reading
/// only, and the caller's own. Where leases are not to be had: false.
///
/// A read lease is refused with EAGAIN as long as there is such a descriptor (fcntl(2)). The
/// lease is given back at once; who opens the file meanwhile waits for that.
pub fn is_being_written(file: impl AsFd) -> bool {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: fcntl(2) with an open descriptor and integers; no memory is handed over.
    unsafe {
        // a lease that is broken tells its holder so: by a signal that does nothing
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) == -1 {
            return false;
        }
        if libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == -1 {
            return std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN);
        }
        libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_for_writing_is_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let writer = std::fs::File::create(&path).unwrap();
        let reader = std::fs::File::open(&path).unwrap();
        assert!(is_being_written(&reader));
        drop(writer);
        assert!(!is_being_written(&reader));
        // and nothing is left behind that keeps a writer waiting
        drop(std::fs::OpenOptions::new().write(true).open(&path).unwrap());
        assert!(!is_being_written(&reader));
    }
}
