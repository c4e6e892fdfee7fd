//! What a stamp vouches for: names that need not be opened again.

use std::collections::HashMap;

use rustix::fs::FileType;

use crate::manifest::stamp::{Stamp, Stamps};
use crate::os::dir::Stat;

/// Last time's stamps of one directory, matched in readdir's order first.
pub struct Known<'a> {
    order: Vec<(&'a [u8], Stamp)>,
    by_name: Option<HashMap<&'a [u8], Stamp>>,
    next: usize,
    /// The stamp of the name that was asked for last.
    last: Option<Stamp>,
    /// How many names were stamped.
    pub count: usize,
    /// How many of them are still there.
    pub found: usize,
}

impl<'a> Known<'a> {
    /// No stamps: nothing is known.
    pub fn new(stamps: Option<&'a Stamps>) -> Self {
        let order: Vec<_> = stamps.map(|stamps| stamps.iter().collect()).unwrap_or_default();
        Self { count: order.len(), order, by_name: None, next: 0, last: None, found: 0 }
    }

    /// Whether the name was stamped, and with this stamp.
    pub fn vouches(&mut self, name: &[u8], stamp: &Stamp) -> bool {
        let known = match self.order.get(self.next) {
            Some((expected, known)) if *expected == name => {
                self.next += 1;
                Some(*known)
            }
            _ => {
                let order = &self.order;
                let map = self.by_name.get_or_insert_with(|| order.iter().copied().collect());
                map.get(name).copied()
            }
        };
        self.found += usize::from(known.is_some());
        self.last = known;
        known == Some(*stamp)
    }

    /// Whether the name asked for last had this size, or one that nobody noted: its content may
    /// be what it was.
    pub fn is_as_long(&self, stamp: &Stamp) -> bool {
        self.last.is_some_and(|last| last == Stamp::RACY || last.size == stamp.size)
    }
}

/// The stamp of what `statx` says; a directory's size means nothing.
pub fn stamp_of(stat: &Stat) -> Stamp {
    let size = if stat.kind == FileType::Directory { 0 } else { stat.size };
    Stamp { ino: stat.ino, size, mtime: stat.mtime, ctime: stat.ctime }
}

/// A file changed in the same tick as the walk began may change again without its
/// times showing it. Directories are read every time: only their metadata is stamped.
pub fn is_racy(stat: &Stat, began: (i64, u32)) -> bool {
    stat.mtime >= began || stat.ctime >= began
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(mtime: (i64, u32), ctime: (i64, u32)) -> Stat {
        Stat {
            kind: FileType::RegularFile,
            mode: 0o644,
            size: 1,
            blocks: 8,
            ino: 7,
            dev: (0, 0),
            rdev: (0, 0),
            nlink: 1,
            uid: 0,
            gid: 0,
            mtime,
            ctime,
        }
    }

    #[test]
    fn what_may_change_again_unseen_is_racy() {
        let began = (100, 5);
        for (mtime, ctime, racy) in [
            ((99, 9), (100, 4), false),
            ((100, 5), (1, 0), true),
            ((1, 0), (100, 5), true),
            ((100, 6), (1, 0), true),
            ((1, 0), (101, 0), true),
            ((1, 0), (1, 0), false),
        ] {
            assert_eq!(is_racy(&stat(mtime, ctime), began), racy, "{mtime:?} {ctime:?}");
        }
    }
}
