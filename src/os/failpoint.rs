//! Named places where a test can kill the process, or make a step fail.
//!
//! `VRIFT_FAILPOINT=NAME` kills the process (SIGKILL) when it comes to that place,
//! `NAME:3` the third time; `NAME=28` makes the step fail with that error number
//! instead (`NAME:3=28`; each time: `NAME:*=28`), and `NAME=stop` stops the process there
//! (SIGSTOP). Several are separated by commas. In builds without debug assertions there are none.

use rustix::io::Errno;

/// A place; does nothing unless a test named it.
#[cfg(debug_assertions)]
pub fn at(name: &str) -> Result<(), Errno> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Vec<(Wanted, AtomicU64)>> = OnceLock::new();
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
        let signal = match wanted.what {
            What::Fail(errno) => return Err(Errno::from_raw_os_error(errno)),
            What::Stop => rustix::process::Signal::STOP,
            What::Kill => rustix::process::Signal::KILL,
        };
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
    Ok(())
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn at(_: &str) -> Result<(), Errno> {
    Ok(())
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
#[derive(Debug, PartialEq, Eq)]
enum What {
    Kill,
    Stop,
    Fail(i32),
}

#[cfg(debug_assertions)]
impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        let (place, what) = match text.split_once('=') {
            Some((place, "stop")) => (place, What::Stop),
            Some((place, errno)) => (place, What::Fail(errno.parse().ok()?)),
            None => (text, What::Kill),
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
        assert_eq!(Wanted::parse("apply.swapped:3=28"), wanted("apply.swapped", Some(3), What::Fail(28)));
        assert_eq!(Wanted::parse("mover.linked=stop"), wanted("mover.linked", Some(1), What::Stop));
        assert_eq!(Wanted::parse("a:*=22"), wanted("a", None, What::Fail(22)));
        assert_eq!(Wanted::parse("a:x"), None);
    }
}
