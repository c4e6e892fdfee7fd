//! Each namespace by itself, so that the one that is refused, and the call that refuses
//! it, is named.

use super::check::Check;
use super::subject::Subject;
use crate::ns::probe::{Refused, Trial, attempt};
use crate::os::refusal::Asked;
use crate::os::userns::{Namespaces, in_namespaces};

const TRIALS: [(&str, Trial); 4] = [
    ("user namespace", Trial::User),
    ("mount namespace", Trial::Mount),
    ("pid namespace", Trial::Pid),
    ("fresh /proc", Trial::Proc),
];

pub fn checks(subject: &Subject) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for (name, trial) in TRIALS {
        let refused = match attempt(trial) {
            Ok(()) => {
                checks.push(Check::good(name, "works"));
                continue;
            }
            Err(refused) => refused,
        };
        let check = Check::lacking(name, said(refused), subject.severity());
        checks.push(check.because(subject.machine.why(refused.asked, refused.errno)));
        if trial == Trial::User {
            return checks; // all others are made in one
        }
    }
    // a join and a take-in make theirs by unshare, which a filter may know by itself
    checks.push(match in_namespaces("unshare", Namespaces::User, || Ok(())) {
        Ok(()) => Check::good("unshare", "works"),
        Err(error) => {
            let why = subject.machine.why(Asked::UserNamespace, error.errno().unwrap_or_default());
            Check::lacking("unshare", error.to_string(), subject.severity()).because(why)
        }
    });
    checks
}

fn said(refused: Refused) -> String {
    let errno = rustix::io::Errno::from_raw_os_error(refused.errno);
    let text = std::io::Error::from(errno).to_string();
    format!("{}: {}", refused.call, text.split(" (os").next().unwrap_or_default())
}
