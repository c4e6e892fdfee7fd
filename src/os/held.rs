//! Directories that a parallel walk holds open, so that what is in them is opened from
//! there: only so many at once, and beyond that from the top, by path. A tree may be
//! deeper, and have more directories side by side, than a process may have descriptors.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use super::dir::Dir;

/// Held at most, where the limit of descriptors allows it.
const MOST: u64 = 256;

/// Counts them.
#[derive(Clone)]
pub struct Holder {
    live: Arc<AtomicUsize>,
    most: usize,
}

/// A directory, counted while it is open.
pub struct Held {
    dir: Dir,
    live: Arc<AtomicUsize>,
}

impl Holder {
    /// A quarter of what the process may open is for these: workers, files and
    /// everything else need some too.
    pub fn new() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { live: Arc::default(), most: (limit / 4).min(MOST) as usize }
    }

    pub fn hold(&self, dir: Dir) -> Arc<Held> {
        self.live.fetch_add(1, Ordering::Relaxed);
        Arc::new(Held { dir, live: Arc::clone(&self.live) })
    }

    /// No more of them may be kept for later.
    pub fn is_full(&self) -> bool {
        self.live.load(Ordering::Relaxed) >= self.most
    }
}

impl Default for Holder {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Held {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        &self.dir
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_as_long_as_all_are_held() {
        let holder = Holder { live: Arc::default(), most: 2 };
        let dir = || Dir::open(std::path::Path::new("/")).unwrap();
        let (one, other) = (holder.hold(dir()), holder.hold(dir()));
        assert!(holder.is_full());
        let same = Arc::clone(&one);
        drop(one);
        assert!(holder.is_full());
        drop(same);
        assert!(!holder.is_full());
        drop(other);
    }
}
