//! The bytes of a table: what stat(2) says of every name below the Tier-1 directories of
//! one base at one generation (rule 28). The preload library is built from this file too,
//! so it needs `core` alone, and cannot panic.
//!
//! Numbers are in the machine's own order. Every part begins at a multiple of 8.
//!
//! ```text
//! 0     8  magic, which names the version
//! 8     8  bytes of the whole file
//! 16    4  roots       number of Tier-1 directories
//! 20    4  dirs        number of directories
//! 24    4  entries     number of names
//! 28    4  dir slots
//! 32    4  entry slots
//! 36    4  bits of the table (`COARSE`)
//! 40    4  block size, as st_blksize says of every entry
//! 44    4  bytes of the pool
//! 48   32  what was asked for: a digest of base, generation, roots and exceptions
//! 80   32  digest (BLAKE3) of everything after the header
//! 112   8  checksum of the 112 bytes before it ([`hash`], seed 0)
//! 120      end of the header
//!
//! roots        4 each   number of the root's own entry; padded to 8
//! entries     72 each   see `Entry`
//! dirs        16 each   see `Dir`
//! dir slots    8 each   open addressing, linear, at most `PROBES` slots from the first
//! entry slots  8 each   the same
//! pool                  names, and the paths of directories relative to their root
//! ```
//!
//! A slot holds the number of what it is for plus one in its low half (0: empty) and the
//! low half of the hash in its high half; the high half of the hash says where to look first
//! ([`first_slot`]). Names and directories are hashed by their paths relative to their root,
//! seeded with its number. What was not found before an empty slot is not there; where no
//! slot is empty nothing is known.

/// Names the version.
pub const MAGIC: [u8; 8] = *b"vriftvd2";
/// Bytes of the header.
pub const HEADER: usize = 120;
/// Where the header's own checksum is.
pub const CHECKED: usize = 112;
pub const ENTRY: usize = 72;
pub const DIR: usize = 16;
pub const SLOT: usize = 8;
/// Slots that are looked at at most.
pub const PROBES: usize = 64;
/// Bytes of a path at most, with its NUL (PATH_MAX).
pub const PATH: usize = 4096;
/// Bytes of a name at most (NAME_MAX).
pub const NAME: usize = 255;

/// Of a table: files share inodes with what is not in the base, so of them it is only said
/// that they are there (rule 29).
pub const COARSE: u32 = 1;

/// Of an entry: all of its fields are what the kernel says; else only that it is there.
pub const EXACT: u8 = 1;
/// Of an entry: nothing is said of it at all.
pub const UNKNOWN: u8 = 2;

/// Of a directory: its names are all in the table.
pub const COMPLETE: u16 = 1;

/// One name.
///
/// ```text
/// 0   8 inode          8  8 size           16  8 512-byte blocks
/// 24  8 atime          32 8 mtime          40  8 ctime          48  8 btime   (`Time`)
/// 56  4 links          60 4 number of the directory it is in
/// 64  4 name's place in the pool           68  2 mode, with the kind
/// 70  1 bytes of the name                  71  1 bits (`EXACT`, `UNKNOWN`)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub btime: Time,
    pub nlink: u32,
    pub dir: u32,
    pub name: u32,
    pub mode: u16,
    pub length: u8,
    pub bits: u8,
}

/// One directory: `0 4` its path's place in the pool, `4 2` bytes of the path, `6 2` bits
/// (`COMPLETE`), `8 4` its root's number, `12 4` zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dir {
    pub path: u32,
    pub length: u16,
    pub bits: u16,
    pub root: u32,
}

/// Seconds since 1970 in the upper 34 bits, nanoseconds in the lower 30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Time(pub u64);

impl Time {
    /// `None`: outside of the years 1698 to 2242.
    pub fn new(seconds: i64, nanoseconds: u32) -> Option<Self> {
        let fits = seconds >> 33 == 0 || seconds >> 33 == -1;
        (fits && nanoseconds < 1 << 30).then_some(Self((seconds << 30) as u64 | u64::from(nanoseconds)))
    }

    pub fn seconds(self) -> i64 {
        self.0 as i64 >> 30
    }

    pub fn nanoseconds(self) -> u32 {
        self.0 as u32 & 0x3fff_ffff
    }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    word(bytes, at).map(u64::from_ne_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    word(bytes, at).map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    word(bytes, at).map(u16::from_ne_bytes)
}

impl Entry {
    /// From its 72 bytes.
    #[inline(always)]
    pub fn decode(bytes: &[u8; ENTRY]) -> Self {
        let long = |at| u64_at(bytes, at).unwrap_or_default();
        let short = |at| u32_at(bytes, at).unwrap_or_default();
        let [.., m, n, length, bits] = *bytes;
        Self {
            ino: long(0),
            size: long(8),
            blocks: long(16),
            atime: Time(long(24)),
            mtime: Time(long(32)),
            ctime: Time(long(40)),
            btime: Time(long(48)),
            nlink: short(56),
            dir: short(60),
            name: short(64),
            mode: u16::from_ne_bytes([m, n]),
            length,
            bits,
        }
    }

    pub fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }
}

impl Dir {
    fn decode(bytes: &[u8; DIR]) -> Option<Self> {
        Some(Self {
            path: u32_at(bytes, 0)?,
            length: u16_at(bytes, 4)?,
            bits: u16_at(bytes, 6)?,
            root: u32_at(bytes, 8)?,
        })
    }
}

/// The numbers of a header, and where the parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub roots: u32,
    pub dirs: u32,
    pub entries: u32,
    pub dir_slots: u32,
    pub entry_slots: u32,
    pub bits: u32,
    pub block_size: u32,
    pub pool: u32,
}

/// Where the parts of a table begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    pub entries: usize,
    pub dirs: usize,
    pub dir_slots: usize,
    pub entry_slots: usize,
    pub pool: usize,
    pub end: usize,
}

impl Shape {
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            roots: u32_at(bytes, 16)?,
            dirs: u32_at(bytes, 20)?,
            entries: u32_at(bytes, 24)?,
            dir_slots: u32_at(bytes, 28)?,
            entry_slots: u32_at(bytes, 32)?,
            bits: u32_at(bytes, 36)?,
            block_size: u32_at(bytes, 40)?,
            pool: u32_at(bytes, 44)?,
        })
    }

    /// `None`: more than can be addressed.
    pub fn places(&self) -> Option<Places> {
        let part = |start: usize, count: u32, each: usize| {
            start.checked_add(each.checked_mul(count as usize)?)?.checked_next_multiple_of(8)
        };
        let entries = part(HEADER, self.roots, 4)?;
        let dirs = part(entries, self.entries, ENTRY)?;
        let dir_slots = part(dirs, self.dirs, DIR)?;
        let entry_slots = part(dir_slots, self.dir_slots, SLOT)?;
        let pool = part(entry_slots, self.entry_slots, SLOT)?;
        let end = pool.checked_add(self.pool as usize)?;
        Some(Places { entries, dirs, dir_slots, entry_slots, pool, end })
    }
}

/// A table whose header is right.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
    pub shape: Shape,
    places: Places,
}

impl<'a> Table<'a> {
    /// `None`: not a table of this version, or not whole. Nothing of the body is looked at.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        if size(bytes)? != bytes.len() as u64 {
            return None;
        }
        let shape = Shape::decode(bytes)?;
        let places = shape.places()?;
        (places.end == bytes.len()).then_some(Self { bytes, shape, places })
    }

    /// The number of a root's own entry.
    pub fn root(&self, number: u32) -> Option<u32> {
        if number >= self.shape.roots {
            return None;
        }
        u32_at(self.bytes, HEADER + 4 * number as usize)
    }

    /// The bytes of an entry (`Entry::decode`).
    pub fn entry(&self, number: u32) -> Option<&'a [u8; ENTRY]> {
        if number >= self.shape.entries {
            return None;
        }
        let at = self.places.entries + ENTRY * number as usize;
        self.bytes.get(at..)?.first_chunk()
    }

    pub fn dir(&self, number: u32) -> Option<Dir> {
        if number >= self.shape.dirs {
            return None;
        }
        let at = self.places.dirs + DIR * number as usize;
        Dir::decode(self.bytes.get(at..)?.first_chunk()?)
    }

    /// Bytes of the pool.
    pub fn text(&self, at: u32, length: usize) -> Option<&'a [u8]> {
        let start = self.places.pool.checked_add(at as usize)?;
        self.bytes.get(start..start.checked_add(length)?)
    }

    /// The slots of the directories.
    pub fn dir_slots(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.places.dir_slots..self.places.entry_slots)
    }

    /// The slots of the names.
    pub fn entry_slots(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.places.entry_slots..self.places.pool)
    }

    /// The digest of the body that the header records, and the body.
    pub fn body(&self) -> Option<([u8; 32], &'a [u8])> {
        Some((word(self.bytes, 80)?, self.bytes.get(HEADER..)?))
    }
}

/// Bytes of a whole table, by its header; `None`: the header is not right.
pub fn size(header: &[u8]) -> Option<u64> {
    let checked = header.get(..CHECKED)?;
    let right =
        u64_at(header, 0)? == u64::from_ne_bytes(MAGIC) && u64_at(header, CHECKED)? == hash(checked, 0);
    if right { u64_at(header, 8) } else { None }
}

/// What was asked for when a table was made, by its header.
pub fn wanted(header: &[u8]) -> Option<[u8; 32]> {
    word(header, 48)
}

/// Where the slot is that is looked at first, of `count`.
pub fn first_slot(hash: u64, count: u32) -> usize {
    ((hash >> 32).wrapping_mul(u64::from(count)) >> 32) as usize
}

/// What a slot says of what has this hash.
pub fn slot_of(hash: u64, number: u32) -> u64 {
    (hash << 32) | (u64::from(number) + 1)
}

/// The seed of what is in a root.
pub fn root_seed(root: u32) -> u64 {
    u64::from(root).wrapping_add(1).wrapping_mul(K1)
}

const K0: u64 = 0x2d35_8dcc_aa6c_78a5;
const K1: u64 = 0x8bb8_4b93_962e_acc9;
const K2: u64 = 0x4b33_a62e_d433_d4a3;

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    product as u64 ^ (product >> 64) as u64
}

/// A hash of bytes, 16 at a time, in the manner of wyhash, but none of the products waits for
/// another. Not for what an adversary chooses: what is found is compared byte for byte.
#[inline(always)]
pub fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(K1);
    let (low, high) = match bytes.last_chunk() {
        Some(last) => {
            let mut key = K0;
            for pair in bytes.as_chunks().0 {
                let (low, high) = halves(pair);
                state = state.wrapping_add(mix(low ^ key, high ^ K1));
                key = key.wrapping_add(K2);
            }
            halves(last)
        }
        None => short(bytes),
    };
    mix(low ^ K1, high ^ state) ^ state.rotate_left(29)
}

#[inline(always)]
fn halves(pair: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*pair);
    (both as u64, (both >> 64) as u64)
}

/// Fewer than 16 bytes as two numbers; with the length, no two are alike.
#[inline(always)]
pub fn short(rest: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        return (u64::from_ne_bytes(*first), u64::from_ne_bytes(*last));
    }
    if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        return (u32::from_ne_bytes(*first).into(), u32::from_ne_bytes(*last).into());
    }
    match *rest {
        [a] => (a.into(), 0),
        [a, b] => (a.into(), b.into()),
        [a, b, c] => (u64::from(a) | u64::from(b) << 8, c.into()),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_the_nanosecond() {
        for (seconds, nanoseconds) in
            [(0, 0), (-1, 999_999_999), (1 << 32, 1), (-(1 << 33), 5), ((1 << 33) - 1, 7)]
        {
            let time = Time::new(seconds, nanoseconds).unwrap();
            assert_eq!((time.seconds(), time.nanoseconds()), (seconds, nanoseconds));
        }
        assert_eq!(Time::new(1 << 33, 0), None);
        assert_eq!(Time::new(-(1 << 33) - 1, 0), None);
    }

    #[test]
    fn hashes_differ_by_content_length_and_seed() {
        let mut seen = std::collections::HashSet::new();
        for length in 0..100 {
            for byte in [0u8, 1, b'a'] {
                for seed in 0..4 {
                    let mut bytes = vec![byte; length];
                    assert!(seen.insert(hash(&bytes, seed)) || length == 0);
                    if let Some(last) = bytes.last_mut() {
                        *last ^= 0x80;
                        assert!(seen.insert(hash(&bytes, seed)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_shape_that_cannot_be_addressed_has_no_places() {
        let all = u32::MAX;
        let shape = Shape {
            roots: all,
            dirs: all,
            entries: all,
            dir_slots: all,
            entry_slots: all,
            bits: 0,
            block_size: 0,
            pool: all,
        };
        assert!(shape.places().is_some(), "64-bit numbers hold it");
        assert!(Table::open(&[0; HEADER]).is_none());
    }
}
