//! What init could not do, as an error with a remedy.

use std::io;

use rustix::io::Errno;

use crate::error::{Error, Kind};
use crate::os::refusal::{Asked, Machine};
use crate::overlay::mount::{self, MountFailure};

use super::plan::{Plan, Step};
use super::wire::Reply;
use super::{STEP_DETACH, STEP_LISTEN, STEP_MAPS, STEP_PIDS};

/// With the machine's reason for it.
fn explained(error: Error, asked: Asked, errno: Errno) -> Error {
    Machine::read().why(asked, errno.raw_os_error()).explain(error)
}

/// The clone itself failed.
pub(super) fn of_clone(errno: Errno) -> Error {
    let error = Error::io("make namespaces for", "the session", &errno.into());
    of_this_machine(explained(error, Asked::Session, errno))
}

/// A refusal by the kernel is one that every run here would meet.
pub(super) fn of_this_machine(error: Error) -> Error {
    let refusals = [
        libc::EPERM,
        libc::EACCES,
        libc::ENOSYS,
        libc::EINVAL,
        libc::ENODEV,
        libc::EOPNOTSUPP,
        libc::EUSERS,
        libc::ENOSPC,
    ];
    match error.errno() {
        Some(errno) if refusals.contains(&errno) => error.with_kind(Kind::Unsupported),
        _ => error,
    }
}

/// The session has no pid namespace.
pub(super) fn without_pids(errno: Errno) -> Error {
    let why = Machine::read().why(Asked::Namespace("pid"), errno.raw_os_error());
    let what = "the run has no pid namespace: it sees, and can signal, the processes outside";
    why.explain(Error::failure(what).with_cause(why.cause.clone()))
}

/// A FAILED or WARNING message.
pub(super) fn of_reply(plan: &Plan, reply: &Reply) -> Error {
    let (number, raw) = reply.numbers;
    let step = number as isize as usize;
    let errno = Errno::from_raw_os_error(raw);
    let (operation, path) = match step {
        STEP_MAPS => ("write the id maps of", "the session".into()),
        STEP_DETACH => ("detach", "the session's init".into()),
        STEP_LISTEN => ("listen for", "further runs".into()),
        STEP_PIDS => ("do without a pid namespace: cannot find the session's processes in", "/proc".into()),
        step => plan.steps.get(step).map_or(("carry out", "the plan".into()), Step::operation),
    };
    let cause = io::Error::from(errno);
    let detail = String::from_utf8_lossy(&reply.text);
    if let Some(Step::Overlay(spec)) = plan.steps.get(step)
        && let Some(part) = mount::step::ALL.iter().find(|part| **part == detail)
    {
        return MountFailure { step: part, errno: raw }.error(&spec.target);
    }
    let error = Error::io(operation, path, &cause);
    let error = if detail.is_empty() { error } else { with_detail(error, &detail) };
    // AppArmor lets the clone through and refuses the maps or the first mount
    let asked = match (step, plan.steps.get(step)) {
        (STEP_MAPS, _) => Asked::IdMaps,
        (_, Some(Step::SlaveMounts)) => Asked::Mount,
        (_, Some(Step::FreshProc)) => Asked::FreshProc,
        _ => return error,
    };
    explained(error, asked, errno)
}

fn with_detail(error: Error, detail: &str) -> Error {
    let whole = error.to_string();
    let cause = whole.rsplit_once(": ").map_or(whole.as_str(), |(_, cause)| cause);
    let cause = format!("{cause} ({detail})");
    error.with_cause(cause)
}

/// Init has gone without a word.
pub(super) fn init_is_gone() -> Error {
    Error::failure("the session has ended: its init was killed, and with it everything inside")
        .with_hint("what had been written is kept as an orphan: `vrift recover`")
}

#[cfg(test)]
mod tests {
    use super::super::wire::Tag;
    use super::*;

    #[test]
    fn a_refused_clone_says_why_and_what_to_do() {
        for errno in [Errno::PERM, Errno::NOSPC, Errno::USERS] {
            let error = of_clone(errno);
            assert_eq!(error.errno(), Some(errno.raw_os_error()));
            assert!(error.hint().unwrap().contains("doctor"), "{error}");
        }
    }

    #[test]
    fn a_failed_step_has_operation_operand_cause_and_part() {
        let plan = Plan::new(vec![Step::Watch(c"/p".into())]);
        let reply =
            Reply { tag: Tag::Failed, numbers: (0, libc::ENOENT), text: b"inotify".to_vec(), fds: vec![] };
        let error = of_reply(&plan, &reply);
        assert_eq!(error.to_string(), "cannot watch `/p`: No such file or directory (inotify)");
        let reply =
            Reply { tag: Tag::Failed, numbers: (-1, libc::EPERM), text: b"uid_map".to_vec(), fds: vec![] };
        assert!(of_reply(&plan, &reply).hint().is_some());
    }
}
