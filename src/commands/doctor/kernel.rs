//! The kernel, and the two calls without which nothing goes on.

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::check::{Check, Verdict};
use super::subject::Subject;
use crate::ns::probe;
use crate::os::refusal::Asked;

pub fn checks(subject: &Subject) -> Vec<Check> {
    let uname = rustix::system::uname();
    vec![Check::good("kernel", uname.release().to_string_lossy()), pidfds(subject), clone3(subject)]
}

fn pidfds(subject: &Subject) -> Check {
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Check::good("pidfd", "works"),
        Err(errno) => Check::lacking("pidfd", format!("pidfd_open: {errno}"), subject.severity())
            .because(subject.machine.why(Asked::Mount, errno.raw_os_error())),
    }
}

/// A filter that knows no clone3 says ENOSYS; clone does the same work.
fn clone3(subject: &Subject) -> Check {
    match probe::clone3() {
        Ok(()) => Check::good("clone3", "works"),
        Err(libc::ENOSYS | libc::EPERM) if subject.machine.filtered => {
            Check::good("clone3", "refused by a seccomp filter; clone is used")
        }
        Err(errno) => {
            let why = std::io::Error::from_raw_os_error(errno);
            Check::lacking("clone3", format!("{why}; clone is used"), Verdict::Good)
        }
    }
}
