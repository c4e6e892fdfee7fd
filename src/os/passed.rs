//! A descriptor that our caller opened for us and named by its number.

#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::FdFlags;

use crate::error::{Error, Result};

/// A descriptor of our own for number `fd`, which must be open. The number itself is
/// closed on exec, so that no command holds it; 0, 1 and 2 are left as they are.
pub fn claim(option: &str, fd: i32) -> Result<OwnedFd> {
    let refused = |why: String| {
        Error::usage(format!("{option} {fd}: {why}"))
            .with_hint(format!("open it in the calling shell: vrift … {option} 3 3>FILE"))
    };
    if fd < 0 {
        return Err(refused("a descriptor is a number from 0 up".into()));
    }
    // SAFETY: the number is used for two calls and not kept; one that is not open is
    // answered with EBADF. Nothing of ours owns it: we run before anything is opened.
    let given = unsafe { BorrowedFd::borrow_raw(fd) };
    let closed = |_| refused("this descriptor is not open".into());
    let ours = rustix::io::fcntl_dupfd_cloexec(given, 3).map_err(closed)?;
    if fd > 2 {
        rustix::io::fcntl_setfd(given, FdFlags::CLOEXEC).map_err(closed)?;
    }
    Ok(ours)
}

/// The descriptor of this number, which who started us opened for us alone.
pub fn take(what: &str, fd: i32) -> Result<OwnedFd> {
    let ours = claim(what, fd)?;
    // SAFETY: nothing of this process has the number: it was passed to it, and is closed once.
    unsafe { rustix::io::close(fd) };
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn an_open_number_is_claimed_and_others_are_refused() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let ours = claim("--status-fd", writer.as_raw_fd()).unwrap();
        assert_ne!(ours.as_raw_fd(), writer.as_raw_fd());
        assert!(claim("--status-fd", 60_000).is_err());
        assert!(claim("--status-fd", -1).is_err());
    }
}
