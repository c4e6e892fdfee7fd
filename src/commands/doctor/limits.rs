//! Limits of the process, the user and the namespace.

use rustix::process::{Resource, getrlimit};

use super::super::printer::size;
use super::check::{Check, Verdict};
use super::subject::Subject;

/// Descriptors below which a deep or wide tree may not be read (tried: `ulimit -n`).
const FEW_FILES: u64 = 256;

pub fn checks(subject: &Subject) -> Vec<Check> {
    vec![open_files(subject), processes(), file_size(), watches(subject), namespaces(subject)]
}

fn open_files(subject: &Subject) -> Check {
    let limit = getrlimit(Resource::Nofile);
    let shown = |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string());
    let found = format!("{} (may be raised to {})", shown(limit.current), shown(limit.maximum));
    if limit.current.is_none_or(|value| value >= FEW_FILES) {
        return Check::good("open files", found);
    }
    let raised = limit.maximum.unwrap_or(4096).min(4096);
    let check = Check::lacking("open files", found, subject.severity());
    if raised >= FEW_FILES {
        check.command(format!("ulimit -n {raised}"))
    } else {
        check.hint("raise the hard limit: /etc/security/limits.conf, LimitNOFILE= of the service")
    }
}

fn processes() -> Check {
    match getrlimit(Resource::Nproc).current {
        None => Check::good("processes", "unlimited"),
        Some(limit) => Check::good("processes", format!("{limit} of this user")),
    }
}

fn file_size() -> Check {
    match getrlimit(Resource::Fsize).current {
        None => Check::good("file size", "unlimited"),
        Some(limit) => Check::lacking(
            "file size",
            format!("no file may have more than {}; what is larger is not taken in", size(limit)),
            Verdict::Note,
        )
        .command("ulimit -f unlimited"),
    }
}

/// Without a watch the end of a session's mount is not seen, and what it wrote is copied.
fn watches(subject: &Subject) -> Check {
    match rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC) {
        Ok(_) => Check::good("inotify", "works"),
        Err(errno) => {
            let found = format!("inotify_init: {errno}; what runs write is copied instead of linked");
            let key = "fs.inotify.max_user_instances=1024";
            let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
            let check = Check::lacking("inotify", found, Verdict::Note);
            match subject.machine.filtered {
                true => check.hint("a seccomp filter may refuse it"),
                false => check.command(format!("{sudo}sysctl -w {key}")),
            }
        }
    }
}

fn namespaces(subject: &Subject) -> Check {
    let limits: Vec<String> =
        subject.machine.max_namespaces.iter().map(|(word, limit)| format!("{word} {limit}")).collect();
    Check::good("namespaces", if limits.is_empty() { "no limits shown".into() } else { limits.join(", ") })
}
