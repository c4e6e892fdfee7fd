//! What a long operation tells of itself while it goes on: counters that workers
//! add to. Who draws them, and whether, is decided above (`commands/bar.rs`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one operation; shared by its workers.
#[derive(Debug, Default)]
pub struct Meter {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// One more file done, with its size in bytes.
    pub fn file(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub fn files(&self) -> u64 {
        self.files.load(Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
