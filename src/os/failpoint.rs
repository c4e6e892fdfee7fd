//! Named places where a test can kill the process, or make a step fail.
//!
//! `VRIFT_FAILPOINT=NAME` kills the process (SIGKILL) when it comes to that place,
//! `NAME:3` the third time; `NAME!` kills its whole process group; `NAME=28` makes the step
//! fail with that error number instead (`NAME:3=28`; each time: `NAME:*=28`), and `NAME=stop`
//! stops the process there (SIGSTOP), `NAME=pause` makes it wait for 60 ms. Several are separated by commas.
//! `VRIFT_FAILPOINTS_MET=FILE` writes the name of each place that is come to into a file. In
//! builds without debug assertions there is nothing of this.

use rustix::io::Errno;

use super::log;

/// Every place: right before or after a change of state.
/// `tests/killed.rs` kills at each of them.
pub const ALL: &[&str] = &[
    "apply.away",
    "apply.committed",
    "apply.done",
    "apply.dressed",
    "apply.exchange",
    "apply.link",
    "apply.made",
    "apply.own",
    "apply.planned",
    "apply.recorded",
    "apply.removed",
    "apply.replaced",
    "apply.staged",
    "apply.swapped",
    "apply.synced",
    "base.aside",
    "base.rendered",
    "bundle.received",
    "bundle.synced",
    "checkpoint.read",
    "checkpoint.recorded",
    "commit.gathered",
    "commit.written",
    "copy.file",
    "copy.tmpfile",
    "destroy.marked",
    "destroy.part",
    "destroy.unnamed",
    "discard.emptied",
    "discard.marked",
    "discard.settled",
    "durable.sync",
    "durable.synced",
    "fold.begun",
    "fold.done",
    "fold.marked",
    "forget.begun",
    "forget.removed",
    "forget.renamed",
    "gc.heads",
    "gc.marked",
    "gc.object",
    "gc.tidied",
    "gc.trees",
    "layer.made",
    "layer.rendered",
    "links.written",
    "live.away",
    "live.made",
    "live.planned",
    "live.swapped",
    "live.written",
    "manifest.commit",
    "manifest.committed",
    "manifest.log",
    "mirror.exchanged",
    "mirror.made",
    "mover.emptied",
    "mover.first",
    "mover.linked",
    "mover.recorded",
    "mover.shown",
    "mover.switched",
    "object.link",
    "object.linked",
    "object.removed",
    "object.settled",
    "plain.copied",
    "plain.discarded",
    "plain.taken",
    "power.heads",
    "power.lowers",
    "power.objects",
    "power.synced",
    "project.begun",
    "project.moved",
    "quarantine.moved",
    "quarantine.written",
    "repair.head",
    "repair.lower",
    "repair.mode",
    "repair.stack",
    "repair.tree",
    "session.ended",
    "session.named",
    "session.opened",
    "staging.cleaned",
    "staging.made",
    "staging.spare",
    "staging.used",
    "staging.written",
    "store.format",
    "store.laid",
    "sweep.base",
    "sweep.removed",
    "sweep.settled",
    "sync.walked",
    "take-in.closed",
    "take-in.committed",
    "take-in.published",
    "take-in.read",
    "take-in.removed",
    "take-in.settled",
    "take-in.shown",
    "upper.layered",
    "upper.marked",
    "workspace.deleted",
    "workspace.emptied",
];

/// A place; does nothing unless a test named it, but for a line in the log (log.rs).
#[cfg(debug_assertions)]
pub fn at(name: &str) -> Result<(), Errno> {
    use rustix::process::{Signal, getpid, kill_current_process_group, kill_process};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Vec<(Wanted, AtomicU64)>> = OnceLock::new();
    debug_assert!(ALL.contains(&name), "failpoint {name} is not in the list");
    note(name);
    log::line("at", name);
    let parsed = || {
        let text = std::env::var("VRIFT_FAILPOINT").unwrap_or_default();
        let wanted = text.split(',').filter_map(Wanted::parse);
        wanted.map(|wanted| (wanted, AtomicU64::new(0))).collect()
    };
    for (wanted, met) in WANTED.get_or_init(parsed).iter().filter(|(wanted, _)| wanted.name == name) {
        let time = met.fetch_add(1, Ordering::Relaxed) + 1;
        if wanted.time.is_some_and(|wanted| wanted != time) {
            continue;
        }
        let _ = match wanted.what {
            What::Fail(errno) => return Err(Errno::from_raw_os_error(errno)),
            What::Stop => kill_process(getpid(), Signal::STOP),
            What::Pause => {
                std::thread::sleep(std::time::Duration::from_millis(60));
                Ok(())
            }
            What::Kill => kill_process(getpid(), Signal::KILL),
            What::KillAll => kill_current_process_group(Signal::KILL),
        };
    }
    Ok(())
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn at(name: &str) -> Result<(), Errno> {
    log::line("at", name);
    Ok(())
}

/// One write for each: processes and threads add to the same file.
#[cfg(debug_assertions)]
fn note(name: &str) {
    use std::io::Write;
    static FILE: std::sync::OnceLock<Option<std::fs::File>> = std::sync::OnceLock::new();
    let open = || {
        let path = std::env::var_os("VRIFT_FAILPOINTS_MET")?;
        std::fs::OpenOptions::new().append(true).create(true).open(path).ok()
    };
    if let Some(mut file) = FILE.get_or_init(open).as_ref() {
        let _ = file.write_all(format!("{name}\n").as_bytes());
    }
}

#[cfg(debug_assertions)]
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    /// Counted from 1; `None`: each.
    time: Option<u64>,
    what: What,
}

#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Kill,
    /// The whole process group.
    KillAll,
    Stop,
    Pause,
    Fail(i32),
}

#[cfg(debug_assertions)]
impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        let (place, what) = match (text.split_once('='), text.strip_suffix('!')) {
            (Some((place, "stop")), _) => (place, What::Stop),
            (Some((place, "pause")), _) => (place, What::Pause),
            (Some((place, errno)), _) => (place, What::Fail(errno.parse().ok()?)),
            (None, Some(place)) => (place, What::KillAll),
            (None, None) => (text, What::Kill),
        };
        let (name, time) = match place.split_once(':') {
            Some((name, "*")) => (name, None),
            Some((name, time)) => (name, Some(time.parse().ok()?)),
            None => (place, Some(1)),
        };
        Some(Self { name: name.into(), time, what })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_place_a_time_and_an_error_are_read() {
        let wanted = |name: &str, time, what| Some(Wanted { name: name.into(), time, what });
        assert_eq!(Wanted::parse("apply.staged"), wanted("apply.staged", Some(1), What::Kill));
        assert_eq!(Wanted::parse("apply.swapped:3"), wanted("apply.swapped", Some(3), What::Kill));
        assert_eq!(Wanted::parse("apply.swapped:3!"), wanted("apply.swapped", Some(3), What::KillAll));
        assert_eq!(Wanted::parse("apply.swapped:3=28"), wanted("apply.swapped", Some(3), What::Fail(28)));
        assert_eq!(Wanted::parse("mover.linked=stop"), wanted("mover.linked", Some(1), What::Stop));
        assert_eq!(Wanted::parse("a:*=pause"), wanted("a", None, What::Pause));
        assert_eq!(Wanted::parse("a:*=22"), wanted("a", None, What::Fail(22)));
        assert_eq!(Wanted::parse("a:x"), None);
    }
}
