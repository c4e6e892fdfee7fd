//! From a path to what a table says of it. The preload library is built from this file
//! too: it needs `core` alone, has no state, writes nowhere, calls nothing, and cannot
//! panic. Whatever the bytes of a table are, the worst answer is `Unknown`.

use super::layout::{COMPLETE, Entry, NAME, PATH, PROBES, SLOT, Table, UNKNOWN};
use super::layout::{first_slot, hash, root_seed, slot_of, u64_at};

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: ask the kernel.
    Unknown,
    /// Its directory is there, and has no such name (ENOENT).
    Absent,
    There {
        entry: Entry,
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
pub fn find(roots: &[Root<'_>], path: &[u8]) -> Answer {
    find_in(roots, path).unwrap_or(Answer::Unknown)
}

#[inline(always)]
fn find_in(roots: &[Root<'_>], path: &[u8]) -> Option<Answer> {
    let slash = plain(path)?;
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
fn find_below(table: &Table<'_>, root: u32, dir: &[u8], name: &[u8]) -> Option<Option<Entry>> {
    let seed = hash(dir, root_seed(root));
    let key = hash(name, seed);
    let (number, found) = probe(table.dir_slots()?, table.shape.dir_slots, seed, |number| {
        let known = table.dir(number)?;
        let is_it = known.root == root && same(table.text(known.path, known.length.into())?, dir);
        Some(is_it.then_some((number, known)))
    })??;
    let entry = probe(table.entry_slots()?, table.shape.entry_slots, key, |at| {
        let known = table.entry(at)?;
        let is_it = known.dir == number && same(table.text(known.name, known.length.into())?, name);
        Some(is_it.then_some(known))
    })?;
    match entry {
        Some(entry) if entry.bits & UNKNOWN != 0 => None,
        Some(entry) => Some(Some(entry)),
        None => (found.bits & COMPLETE != 0 && name.len() <= NAME).then_some(None),
    }
}

/// Looks at slots until one holds what has this hash (`Some(Some)`), or is empty
/// (`Some(None)`). `None`: neither in as many as are looked at.
#[inline(always)]
fn probe<T>(
    slots: &[u8],
    count: u32,
    hash: u64,
    check: impl Fn(u32) -> Option<Option<T>>,
) -> Option<Option<T>> {
    let mut at = first_slot(hash, count);
    for _ in 0..PROBES {
        let slot = u64_at(slots, at * SLOT)?;
        if slot == 0 {
            return Some(None);
        }
        if slot >> 32 == slot_of(hash, 0) >> 32
            && let Some(found) = check((slot as u32).wrapping_sub(1))?
        {
            return Some(Some(found));
        }
        at += 1;
        if at == count as usize {
            at = 0;
        }
    }
    None
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
    a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

const ONES: u64 = 0x0101_0101_0101_0101;
const SLASHES: u64 = ONES * b'/' as u64;

/// The top bit of each byte that is zero.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    const LOW: u64 = ONES * 0x7f;
    !(((word & LOW) + LOW) | word | LOW)
}

/// Where the last slash of an absolute path is that has no `.`, `..` or empty component;
/// `None`: it is another kind of path. The two characters are neighbours: with its lowest
/// bit set a dot is a slash.
#[inline(always)]
pub(super) fn plain(path: &[u8]) -> Option<usize> {
    if *path.first()? != b'/' || *path.last()? == b'/' {
        return None;
    }
    let (mut last, mut suspicious) = (0, 0);
    let mut look = |at: usize, word: [u8; 9]| {
        let [a, b, c, d, e, f, g, h, i] = word;
        let slashes = zeros(u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ SLASHES);
        suspicious |= slashes & zeros((u64::from_le_bytes([b, c, d, e, f, g, h, i]) | ONES) ^ SLASHES);
        if slashes != 0 {
            last = at + 7 - (slashes.leading_zeros() / 8) as usize;
        }
    };
    let Some(end) = path.last_chunk::<9>() else { return plain_by_bytes(path) };
    let mut at = 0;
    while let Some(word) = path.get(at..at + 9).and_then(<[u8]>::first_chunk) {
        look(at, *word);
        at += 8;
    }
    look(path.len() - 9, *end);
    if suspicious != 0 { plain_by_bytes(path) } else { Some(last) }
}

/// The same, byte for byte.
fn plain_by_bytes(path: &[u8]) -> Option<usize> {
    let (mut last, mut length, mut dots) = (0, 1, 0);
    for (at, byte) in path.iter().enumerate() {
        if *byte == b'/' {
            if length == dots {
                return None;
            }
            (last, length, dots) = (at, 0, 0);
            continue;
        }
        length += 1;
        // three dots are a name
        dots += usize::from(*byte == b'.' && length <= 2);
    }
    (length != dots).then_some(last)
}

/// The bytes of a C string; `None`: longer than the kernel takes.
///
/// Reads words that are aligned, so it never reads from a page that the string is not in.
///
/// # Safety
/// `path` is a C string, which is not changed while the result is in use.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn c_bytes<'a>(path: *const u8) -> Option<&'a [u8]> {
    let before = path.addr() % 8;
    let mut at = path.wrapping_sub(before).cast::<u64>();
    // bytes before the string count as not zero
    let known = (1u64 << (8 * before)).wrapping_sub(1);
    // SAFETY: in the page in which the string begins or goes on.
    let mut found = zeros(u64::from_le(unsafe { at.read_volatile() }) | known);
    let mut length = 8 - before;
    while found == 0 {
        if length >= PATH {
            return None;
        }
        at = at.wrapping_add(1);
        // SAFETY: as above: no word before this one had the end in it.
        found = zeros(u64::from_le(unsafe { at.read_volatile() }));
        length += 8;
    }
    let length = length + (found.trailing_zeros() / 8) as usize - 8;
    if length >= PATH {
        return None;
    }
    // SAFETY: the caller's promise; the NUL comes after these bytes.
    Some(unsafe { core::slice::from_raw_parts(path, length) })
}
