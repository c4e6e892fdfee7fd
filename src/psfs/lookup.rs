//! From a path to what a table says of it. The preload library is built from this file
//! too: it needs `core` alone, has no state, writes nowhere, calls nothing, and cannot
//! panic. Whatever the bytes of a table are, the worst answer is `Unknown`.

use super::layout::{COMPLETE, ENTRY, Entry, NAME, PROBES, SLOT, Table, UNKNOWN};
use super::layout::{first_slot, hash, root_seed, slot_of, u64_at};
use super::scan::Plain;

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Nothing: ask the kernel.
    Unknown,
    /// Its directory is there, and has no such name (ENOENT).
    Absent,
    There {
        /// As `Entry::decode` reads it.
        entry: &'a [u8; ENTRY],
        /// Which of the roots it is in.
        root: usize,
        /// It is that root itself.
        is_root: bool,
    },
}

/// A Tier-1 directory.
#[derive(Clone, Copy)]
pub struct Root<'a> {
    /// Its absolute path.
    pub path: &'a [u8],
    pub table: Table<'a>,
    /// Its number in that table.
    pub number: u32,
}

/// Looks for a path. The first root that it is in answers for it.
#[inline(always)]
pub fn find<'a>(roots: &[Root<'a>], path: Plain<'_>) -> Answer<'a> {
    find_in(roots, path).unwrap_or(Answer::Unknown)
}

#[inline(always)]
fn find_in<'a>(roots: &[Root<'a>], Plain { path, slash }: Plain<'_>) -> Option<Answer<'a>> {
    for (number, root) in roots.iter().enumerate() {
        let Some((before, rest)) = path.split_at_checked(root.path.len()) else { continue };
        if !same(before, root.path) {
            continue;
        }
        let Some((b'/', below)) = rest.split_first() else {
            if rest.is_empty() {
                let entry = root.table.entry(root.table.root(root.number)?)?;
                return Some(Answer::There { entry, root: number, is_root: true });
            }
            continue;
        };
        let (dir, name) = match slash.checked_sub(root.path.len() + 1) {
            Some(length) => {
                let (dir, name) = below.split_at_checked(length)?;
                (dir, name.split_first()?.1)
            }
            None => (&[][..], below),
        };
        return Some(match find_below(&root.table, root.number, dir, name)? {
            Some(entry) => Answer::There { entry, root: number, is_root: false },
            None => Answer::Absent,
        });
    }
    None
}

/// Looks for a name in the directory of a root's; `Some(None)`: it is not there.
#[inline(always)]
fn find_below<'a>(table: &Table<'a>, root: u32, dir: &[u8], name: &[u8]) -> Option<Option<&'a [u8; ENTRY]>> {
    let seed = hash(dir, root_seed(root));
    let key = hash(name, seed);
    let mut dirs = Probe::new(table.dir_slots()?, table.shape.dir_slots, seed);
    let (number, above) = loop {
        let number = dirs.next()?;
        let known = table.dir(number)?;
        if known.root == root && same(table.text(known.path, known.length.into())?, dir) {
            break (number, known);
        }
    };
    let mut entries = Probe::new(table.entry_slots()?, table.shape.entry_slots, key);
    while let Some(number_of_entry) = entries.next() {
        let bytes = table.entry(number_of_entry)?;
        let known = Entry::decode(bytes);
        if known.dir == number && same(table.text(known.name, known.length.into())?, name) {
            return (known.bits & UNKNOWN == 0).then_some(Some(bytes));
        }
    }
    let is_absent = entries.is_all && above.bits & COMPLETE != 0 && name.len() <= NAME;
    is_absent.then_some(None)
}

/// A way along the slots in which what has one hash may be.
struct Probe<'a> {
    slots: &'a [u8],
    count: usize,
    at: usize,
    left: usize,
    /// What such a slot has in its upper half.
    tag: u64,
    /// The way is at its end: there was an empty slot.
    is_all: bool,
}

impl<'a> Probe<'a> {
    #[inline(always)]
    fn new(slots: &'a [u8], count: u32, hash: u64) -> Self {
        let at = first_slot(hash, count);
        Self { slots, count: count as usize, at, left: PROBES, tag: slot_of(hash, 0) >> 32, is_all: false }
    }

    /// The number of the next one.
    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        while self.left > 0 {
            let slot = u64_at(self.slots, self.at * SLOT)?;
            if slot == 0 {
                self.is_all = true;
                return None;
            }
            self.left -= 1;
            self.at += 1;
            if self.at == self.count {
                self.at = 0;
            }
            if slot >> 32 == self.tag {
                return Some((slot as u32).wrapping_sub(1));
            }
        }
        None
    }
}

/// Whether two strings are the same. By hand, for `==` calls libc's memcmp.
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let (Some(last), Some(other)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        let mut differ = u64::from_ne_bytes(*last) ^ u64::from_ne_bytes(*other);
        for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
            differ |= u64::from_ne_bytes(*x) ^ u64::from_ne_bytes(*y);
        }
        return differ == 0;
    }
    let mut differ = 0;
    for (x, y) in a.iter().zip(b) {
        differ |= x ^ y;
    }
    differ == 0
}
