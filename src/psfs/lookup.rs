//! From a path to what a table says of it. The preload library is built from this file
//! too: it needs `core` alone, has no state, writes nowhere, calls nothing, and cannot
//! panic. Whatever the bytes of a table are, the worst answer is `Unknown`.

use super::layout::{COMPLETE, ENTRY, Entry, NAME, PROBES, SLOT, Table, UNKNOWN};
use super::layout::{first_slot, hash, root_seed, short, slot_of, u64_at};
use super::scan::{is_plain, name_length};

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

/// Looks for an absolute path. The first root that it is in answers for it.
#[inline(always)]
pub fn find<'a: 'b, 'b>(roots: impl Iterator<Item = &'b Root<'a>>, path: &[u8]) -> Answer<'a> {
    find_in(roots, path).unwrap_or(Answer::Unknown)
}

#[inline(always)]
fn find_in<'a: 'b, 'b>(roots: impl Iterator<Item = &'b Root<'a>>, path: &[u8]) -> Option<Answer<'a>> {
    for (number, root) in roots.enumerate() {
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
        if !is_plain(path, root.path.len()) {
            return None;
        }
        return Some(match find_below(&root.table, root.number, path, below)? {
            Some(entry) => Answer::There { entry, root: number, is_root: false },
            None => Answer::Absent,
        });
    }
    None
}

/// Looks for what a root has at a path, `below` it; `Some(None)`: it is not there.
#[inline(always)]
fn find_below<'a>(
    table: &Table<'a>,
    root: u32,
    path: &[u8],
    below: &[u8],
) -> Option<Option<&'a [u8; ENTRY]>> {
    let key = hash(below, root_seed(root));
    let mut entries = Probe::new(table.entry_slots()?, table.shape.entry_slots, key);
    while let Some(number) = entries.next() {
        let bytes = table.entry(number)?;
        let known = Entry::decode(bytes);
        if is_at(table, root, &known, below)? {
            return (known.bits & UNKNOWN == 0).then_some(Some(bytes));
        }
    }
    let is_absent = entries.is_all && has_all_names(table, root, below, name_length(path))?;
    is_absent.then_some(None)
}

/// Whether this is the path of an entry.
#[inline(always)]
fn is_at(table: &Table<'_>, root: u32, entry: &Entry, below: &[u8]) -> Option<bool> {
    let dir = table.dir(entry.dir)?;
    let Some((before, name)) = split_before(below, entry.length.into()) else { return Some(false) };
    Some(
        dir.root == root
            && same(table.text(entry.name, entry.length.into())?, name)
            && same(table.text(dir.path, dir.length.into())?, before),
    )
}

/// Directory and name of a path whose name has so many bytes.
#[inline(always)]
fn split_before(below: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (before, name) = below.split_at_checked(below.len().checked_sub(length)?)?;
    match before.split_last() {
        None => Some((before, name)),
        Some((b'/', dir)) => Some((dir, name)),
        Some(_) => None,
    }
}

/// Whether the table has all names of the directory that a path is in, so that one it has not
/// is not there.
#[inline(always)]
fn has_all_names(table: &Table<'_>, root: u32, below: &[u8], length: usize) -> Option<bool> {
    let (dir, name) = split_before(below, length)?;
    let mut dirs = Probe::new(table.dir_slots()?, table.shape.dir_slots, hash(dir, root_seed(root)));
    while let Some(number) = dirs.next() {
        let known = table.dir(number)?;
        if known.root == root && same(table.text(known.path, known.length.into())?, dir) {
            return Some(known.bits & COMPLETE != 0 && name.len() <= NAME);
        }
    }
    None
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

/// Whether two strings are the same. By hand, for `==` calls libc's memcmp; its ends overlap.
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let (Some(last), Some(other)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) {
        for (x, y) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
            if u128::from_ne_bytes(*x) != u128::from_ne_bytes(*y) {
                return false;
            }
        }
        return u128::from_ne_bytes(*last) == u128::from_ne_bytes(*other);
    }
    short(a) == short(b)
}
