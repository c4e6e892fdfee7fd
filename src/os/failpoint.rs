//! Named places where a test can kill the process, or make a step fail.
//!
//! `VRIFT_FAILPOINT=NAME` kills the process (SIGKILL) when it comes to that place,
//! `NAME:3` the third time; `NAME=28` makes the step fail with that error number
//! instead (`NAME:3=28`), and `NAME=stop` stops the process there (SIGSTOP). In builds without debug assertions there are none.

use rustix::io::Errno;

/// A place; does nothing unless a test named it.
#[cfg(debug_assertions)]
pub fn at(name: &str) -> Result<(), Errno> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    static MET: AtomicU64 = AtomicU64::new(0);
    let text = || std::env::var("VRIFT_FAILPOINT").ok();
    let Some(wanted) = WANTED.get_or_init(|| text().and_then(|text| Wanted::parse(&text))) else {
        return Ok(());
    };
    if wanted.name != name || MET.fetch_add(1, Ordering::Relaxed) + 1 != wanted.time {
        return Ok(());
    }
    let signal = match wanted.what {
        What::Fail(errno) => return Err(Errno::from_raw_os_error(errno)),
        What::Stop => rustix::process::Signal::STOP,
        What::Kill => rustix::process::Signal::KILL,
    };
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
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
    /// Counted from 1.
    time: u64,
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
            Some((name, time)) => (name, time.parse().ok()?),
            None => (place, 1),
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
        assert_eq!(Wanted::parse("apply.staged"), wanted("apply.staged", 1, What::Kill));
        assert_eq!(Wanted::parse("apply.swapped:3"), wanted("apply.swapped", 3, What::Kill));
        assert_eq!(Wanted::parse("apply.swapped:3=28"), wanted("apply.swapped", 3, What::Fail(28)));
        assert_eq!(Wanted::parse("mover.linked=stop"), wanted("mover.linked", 1, What::Stop));
        assert_eq!(Wanted::parse("a:x"), None);
    }
}
