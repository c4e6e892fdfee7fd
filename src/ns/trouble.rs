//! What init could not do, as an error with a remedy.

use std::io;

use rustix::io::Errno;

use crate::error::Error;
use crate::overlay::mount::{self, MountFailure};

use super::plan::{Plan, Step};
use super::wire::Reply;
use super::{STEP_DETACH, STEP_LISTEN, STEP_MAPS};

const REFUSED: &str = "unprivileged user namespaces seem to be refused here. Debian: `sysctl -w \
    kernel.unprivileged_userns_clone=1`; Ubuntu 23.10 and later: an AppArmor profile for vrift, or `sysctl -w \
    kernel.apparmor_restrict_unprivileged_userns=0`; in a container: a seccomp profile that allows clone with \
    namespace flags (`--security-opt seccomp=unconfined`); not possible in a chroot";
const EXHAUSTED: &str =
    "there are too many user namespaces: raise `sysctl user.max_user_namespaces` (0 forbids them)";
const NESTED: &str =
    "user namespaces are nested too deeply (32 levels), or `sysctl user.max_user_namespaces` is reached";

/// What to do when namespaces are refused with this error.
fn namespace_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::PERM | Errno::ACCESS => Some(REFUSED),
        Errno::NOSPC => Some(EXHAUSTED),
        Errno::USERS => Some(NESTED),
        Errno::INVAL => Some("this kernel was built without user namespaces (CONFIG_USER_NS)"),
        _ => None,
    }
}

/// The clone itself failed.
pub(super) fn of_clone(errno: Errno) -> Error {
    let error = Error::io("make namespaces for", "the session", &errno.into());
    match namespace_hint(errno) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
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
    let early =
        step == STEP_MAPS || plan.steps.get(step).is_some_and(|step| matches!(step, Step::SlaveMounts));
    match namespace_hint(errno).filter(|_| early && matches!(errno, Errno::PERM | Errno::ACCESS)) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
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
    fn a_refused_clone_names_the_switches() {
        let error = of_clone(Errno::PERM);
        assert!(error.hint().unwrap().contains("kernel.unprivileged_userns_clone"));
        assert!(error.hint().unwrap().contains("apparmor_restrict_unprivileged_userns"));
        assert!(of_clone(Errno::NOSPC).hint().unwrap().contains("user.max_user_namespaces"));
        assert!(of_clone(Errno::NOMEM).hint().is_none());
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
