//! Which processes are left in the namespace, asked by init without allocating.

use std::mem::MaybeUninit;

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::sys;

/// Names reported at most.
const NAMES: usize = 32;
/// TASK_COMM_LEN (linux/sched.h) with its NUL.
const NAME: usize = 16;

/// The names of ended processes, each followed by NUL.
pub(super) struct Names {
    pub(super) count: i32,
    bytes: [u8; NAMES * NAME],
    used: usize,
}

impl Names {
    pub(super) const fn new() -> Self {
        Self { count: 0, bytes: [0; NAMES * NAME], used: 0 }
    }

    pub(super) fn text(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&[])
    }

    fn add(&mut self, name: &[u8]) {
        self.count = self.count.saturating_add(1);
        let name = name.get(..name.len().min(NAME - 1)).unwrap_or(name);
        if let Some(place) = self.bytes.get_mut(self.used..self.used + name.len() + 1) {
            place.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
            self.used += name.len() + 1;
        }
    }
}

/// True when init is alone. A process that ended and was not reaped yet counts.
pub(super) fn none_left() -> bool {
    sys::kill(-1, 0) == Err(Errno::SRCH)
}

/// Writes down who is alive, from a `/proc` that shows this namespace.
pub(super) fn collect(names: &mut Names) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = rustix::fs::openat(CWD, c"/proc", flags, Mode::empty()) else { return };
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&proc, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if name == c"1" || !name.to_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(process) = rustix::fs::openat(&proc, name, flags, Mode::empty()) else { continue };
        let mut stat = [0u8; 256];
        let Ok(file) = rustix::fs::openat(&process, c"stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        else {
            continue;
        };
        let length = rustix::io::read(&file, &mut stat).unwrap_or(0);
        if let Some(name) = stat.get(..length).and_then(living_name) {
            names.add(name);
        }
    }
}

/// The name in a line `PID (NAME) STATE …`, unless the process has ended already.
fn living_name(stat: &[u8]) -> Option<&[u8]> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let state = stat.get(close + 2)?;
    (!matches!(state, b'Z' | b'X')).then(|| stat.get(open + 1..close)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_parentheses_and_zombies_do_not_count() {
        assert_eq!(living_name(b"12 (a) (b)) S 1 12"), Some(&b"a) (b)"[..]));
        assert_eq!(living_name(b"12 (a) Z 1"), None);
        assert_eq!(living_name(b"12 ("), None);
    }

    #[test]
    fn more_names_than_fit_are_counted_only() {
        let mut names = Names::new();
        (0..40).for_each(|_| names.add(b"a-very-long-command-name"));
        assert_eq!(names.count, 40);
        assert_eq!(names.text().split(|&byte| byte == 0).filter(|name| !name.is_empty()).count(), 32);
    }
}
