//! Space that is kept for the collection that a full disk needs.
//!
//! Forgetting old states is writing: on a disk without a free block, or inode, nothing could
//! be removed by who wants to make room. A file of no use lies in the store for that; it
//! goes first, and is made again when there is space.

use std::path::PathBuf;

use rustix::fs::{FallocateFlags, Mode, OFlags, statvfs};

use super::store::Store;

/// Bytes: some hundred pages of a manifest's log.
const RESERVE: u64 = 512 << 10;
/// With fewer free inodes there are too few.
const INODES: u64 = 16;

impl Store {
    fn reserve_path(&self) -> PathBuf {
        self.root().join("reserve")
    }

    /// Makes the reserve where there is none. That there is no space for it is no failure.
    pub fn keep_reserve(&self) {
        let path = self.reserve_path();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) else { return };
        if rustix::fs::fallocate(file, FallocateFlags::empty(), 0, RESERVE).is_err() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Gives the reserve up where next to nothing is free.
    pub fn give_reserve(&self) {
        let free = statvfs(self.root());
        let is_full = |free: rustix::fs::StatVfs| {
            free.f_bavail.saturating_mul(free.f_frsize) < RESERVE
                || (free.f_files > 0 && free.f_favail < INODES)
        };
        if free.is_ok_and(is_full) {
            let _ = std::fs::remove_file(self.reserve_path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_a_reserve_and_gives_it_up_only_when_it_must() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let size = || store.reserve_path().metadata().ok().map(|file| file.len());
        assert_eq!(size(), Some(RESERVE));
        store.give_reserve();
        assert_eq!(size(), Some(RESERVE), "there is space");
        std::fs::remove_file(store.reserve_path()).unwrap();
        store.keep_reserve();
        assert_eq!(size(), Some(RESERVE));
    }
}
