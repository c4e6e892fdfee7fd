//! What a long operation tells of itself while it goes on: counters that workers
//! add to. Who draws them, and whether, is decided above (`commands/bar.rs`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::os::shared::{COUNT, Counters};

const FILES: usize = 0;
const BYTES: usize = 1;
const EXPECTED_FILES: usize = 2;
const EXPECTED_BYTES: usize = 3;
const SEEN: usize = 4;

/// Counters of one operation; shared by its workers.
#[derive(Debug, Default)]
pub struct Meter {
    own: [AtomicU64; COUNT],
    /// Instead of them, where somebody watches: children of this process add to these.
    shared: Option<Counters>,
}

impl Meter {
    /// One that is watched while the work goes on.
    pub fn watched() -> Self {
        Self { own: Default::default(), shared: Counters::new() }
    }

    /// Whether it is worth something to find out how much work there will be.
    pub fn is_watched(&self) -> bool {
        self.shared.is_some()
    }

    /// One more file done, with its size in bytes.
    pub fn file(&self, bytes: u64) {
        self.add(FILES, 1);
        self.add(BYTES, bytes);
    }

    /// More to do; bytes may be 0 where nobody knows.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.add(EXPECTED_FILES, files);
        self.add(EXPECTED_BYTES, bytes);
    }

    /// Names that were looked at, and need nothing else.
    pub fn saw(&self, names: u64) {
        self.add(SEEN, names);
    }

    pub fn files(&self) -> u64 {
        self.get(FILES)
    }

    pub fn bytes(&self) -> u64 {
        self.get(BYTES)
    }

    pub fn expected_files(&self) -> u64 {
        self.get(EXPECTED_FILES)
    }

    /// 0: nobody knows.
    pub fn expected_bytes(&self) -> u64 {
        self.get(EXPECTED_BYTES)
    }

    pub fn seen(&self) -> u64 {
        self.get(SEEN)
    }

    fn counters(&self) -> &[AtomicU64; COUNT] {
        self.shared.as_ref().map_or(&self.own, Counters::get)
    }

    fn add(&self, which: usize, number: u64) {
        self.counters()[which].fetch_add(number, Relaxed);
    }

    fn get(&self, which: usize) -> u64 {
        self.counters()[which].load(Relaxed)
    }
}
