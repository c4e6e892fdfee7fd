//! How much may have become garbage since the last collection: a number in a file.
//!
//! What is reclaimable is not known without a mark over all projects. What makes it is:
//! states that others took the place of, and those only after something was written; and
//! what a user lets go of. So a collection is due when as much was written as the bound
//! says, or something was let go of. The file is a hint: lost, the count begins anew.

use std::io::{Read, Write};
use std::path::PathBuf;

use super::store::Store;
use crate::error::{Context, Result};
use crate::os::lock::{Hold, Lock};

/// Bytes after which a collection is due, whatever the store's size.
const MUCH: u64 = 2 << 30;
/// Bytes for which nobody collects, however small the store.
const LITTLE: u64 = 64 << 20;
/// Seconds from one collection to the next that nobody asked for: what is younger than
/// the grace age would stay.
const REST: i64 = 3600;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Bytes that the store did not have before, since the last collection.
    pub written: u64,
    /// Bytes that the last collection found in use.
    pub live: u64,
    /// Seconds since the epoch: when the last one was, or the count began.
    pub at: i64,
}

impl Debt {
    /// Bytes written after which a collection is due: a fifth of what is in use.
    fn bound(&self) -> u64 {
        (self.live / 5).clamp(LITTLE, MUCH)
    }

    pub fn is_due(&self) -> bool {
        // a clock that was set back must not put it off for long
        self.written >= self.bound() && (now() - self.at).abs() >= REST
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (written, live, at) = (words.next()?, words.next()?, words.next()?);
        Some(Self { written: written.parse().ok()?, live: live.parse().ok()?, at: at.parse().ok()? })
    }
}

impl Store {
    pub fn debt(&self) -> Debt {
        let text = std::fs::read_to_string(self.debt_path()).unwrap_or_default();
        Debt::parse(&text).unwrap_or(Debt { at: now(), ..Debt::default() })
    }

    /// Adds what was written. That it cannot be is no reason to fail.
    pub fn add_debt(&self, bytes: u64) {
        if bytes > 0 {
            let _ = self.change_debt(|debt| debt.written = debt.written.saturating_add(bytes));
        }
    }

    /// Notes that something was let go of that may have held much.
    pub fn let_go(&self) {
        let _ = self.change_debt(|debt| debt.written = debt.written.max(debt.bound()));
    }

    /// Begins anew after a collection that found so many bytes in use.
    pub fn clear_debt(&self, live: u64) {
        let _ = self.change_debt(|debt| *debt = Debt { written: 0, live, at: now() });
    }

    fn debt_path(&self) -> PathBuf {
        self.root().join("written")
    }

    /// The file is its own lock.
    fn change_debt(&self, change: impl FnOnce(&mut Debt)) -> Result<()> {
        let path = self.debt_path();
        let lock = Lock::wait(&path, Hold::Exclusive)?;
        let mut file = lock.file(&path)?;
        let mut text = String::new();
        file.read_to_string(&mut text).context("read", &path)?;
        let mut debt = Debt::parse(&text).unwrap_or(Debt { at: now(), ..Debt::default() });
        change(&mut debt);
        // numbers of a fixed width, so that no end of a longer text stays
        let text = format!("{:>20} {:>20} {:>20}\n", debt.written, debt.live, debt.at);
        std::io::Seek::rewind(&mut file).and_then(|()| file.write_all(text.as_bytes())).context("write", path)
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_due_after_much_was_written_or_something_let_go_of() {
        let old = now() - 2 * REST;
        let due = |written, live, at| Debt { written, live, at }.is_due();
        assert!(!due(LITTLE - 1, 0, old) && due(LITTLE, 0, old));
        assert!(!due(LITTLE, 10 * LITTLE, old) && due(2 * LITTLE, 10 * LITTLE, old));
        assert!(due(MUCH, 1 << 50, old));
        assert!(!due(MUCH, 0, now()) && due(MUCH, 0, now() + 2 * REST));
    }

    #[test]
    fn the_count_is_kept_and_garbage_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        assert!(!store.debt().is_due());
        std::thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| (0..50).for_each(|_| store.add_debt(3)))));
        });
        assert_eq!(store.debt().written, 1200);
        store.let_go();
        assert_eq!(store.debt().written, LITTLE);
        store.clear_debt(LITTLE * 50);
        assert_eq!((store.debt().written, store.debt().live), (0, LITTLE * 50));
        std::fs::write(store.debt_path(), "-1 x").unwrap();
        assert_eq!(store.debt().written, 0);
        store.add_debt(5);
        assert_eq!(store.debt().written, 5);
    }
}
