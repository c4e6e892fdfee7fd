//! The page of a session: a file in the cover of the store by which the preload library
//! knows which of its functions are on, and by what the Tier-1 directories are known in this
//! session's mounts (rule 29). Init fills it in once all mounts are made. The library is
//! built from this file too, so it needs `core` alone.
//!
//! ```text
//! 0   8  magic, which names the version
//! 8   4  bits: what is on
//! 12  4  number of roots
//! 16  8  inode of the mount namespace
//! 24     56 each: a root
//!        0   4  major number of its device     4  4  minor number
//!        8   8  inode (0: not known, so cold)
//!        16  8  unique number of its mount (STATX_MNT_ID_UNIQUE; 0: the kernel has none)
//!        24  8  the mount's other number (STATX_MNT_ID)
//!        32  4  what statx tells of it unasked, as in stx_mask   36  4  zero
//!        40  4  its table: `<number>.vdir` in the cover
//!        44  4  its number in the table
//!        48  4  its path's place in the page   52  4  bytes of the path, which a NUL follows
//! …      paths
//! ```

/// The page's name in the cover.
pub const NAME: &core::ffi::CStr = c"session.page";
/// Bytes of what comes first, by which the rename door goes.
pub const SIZE: usize = 16;
/// Bytes before the roots.
pub const HEAD: usize = 24;
/// Bytes of a root.
pub const ROOT: usize = SIGHT + 16;
/// Roots at most.
pub const ROOTS: usize = 32;
/// Names of tables in the cover; no session has more.
pub const TABLES: [&core::ffi::CStr; 8] =
    [c"0.vdir", c"1.vdir", c"2.vdir", c"3.vdir", c"4.vdir", c"5.vdir", c"6.vdir", c"7.vdir"];

const MAGIC: [u8; 8] = *b"vriftpg3";

/// A directory that rename(2) refuses to move is moved by the mover.
pub const RENAME_DOOR: u32 = 1;
/// What is known of Tier-1 directories is answered from their tables.
pub const STAT: u32 = 2;

/// The first bytes.
pub fn encode(on: u32, roots: u32) -> [u8; SIZE] {
    let [a, b, c, d, e, f, g, h] = MAGIC;
    let [i, j, k, l] = on.to_ne_bytes();
    let [m, n, o, p] = roots.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// What is on; nothing where the page is of another version.
pub fn decode(page: [u8; SIZE]) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = page;
    if [a, b, c, d, e, f, g, h] == MAGIC { u32::from_ne_bytes([i, j, k, l]) } else { 0 }
}

/// By what a root is known in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    pub dev: (u32, u32),
    pub ino: u64,
    /// 0: the kernel has none.
    pub unique: u64,
    /// Not unique: reused once nothing is mounted there any more.
    pub mount: u64,
    /// What statx tells unasked.
    pub told: u32,
}

/// Bytes of a `Sight`, with which a root begins.
pub const SIGHT: usize = 40;

impl Sight {
    pub fn encode(self) -> [u8; SIGHT] {
        let short = |[a, b, c, d]: [u8; 4], [e, f, g, h]: [u8; 4]| [a, b, c, d, e, f, g, h];
        let words = [
            short(self.dev.0.to_ne_bytes(), self.dev.1.to_ne_bytes()),
            self.ino.to_ne_bytes(),
            self.unique.to_ne_bytes(),
            self.mount.to_ne_bytes(),
            short(self.told.to_ne_bytes(), [0; 4]),
        ];
        let mut bytes = [0; SIGHT];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word;
        }
        bytes
    }
}

/// A root, as a page has it.
pub struct Shown<'a> {
    pub sight: Sight,
    pub table: u32,
    pub number: u32,
    /// Its absolute path.
    pub path: &'a [u8],
}

/// A page that was read.
#[derive(Clone, Copy)]
pub struct Page<'a>(&'a [u8]);

impl<'a> Page<'a> {
    /// `None`: it says nothing of roots.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        (decode(*bytes.first_chunk()?) & STAT != 0).then_some(Self(bytes))
    }

    /// How many roots; no more than are looked at.
    pub fn roots(&self) -> usize {
        (self.u32_at(12).unwrap_or(0) as usize).min(ROOTS)
    }

    /// Inode of the mount namespace; 0: not known.
    pub fn namespace(&self) -> u64 {
        self.u64_at(16).unwrap_or(0)
    }

    /// A root whose path is followed by a NUL.
    pub fn root(&self, number: usize) -> Option<Shown<'a>> {
        let at = HEAD + ROOT * number;
        let start = self.u32_at(at + SIGHT + 8)? as usize;
        let end = start.checked_add(self.u32_at(at + SIGHT + 12)? as usize)?;
        if *self.0.get(end)? != 0 {
            return None;
        }
        Some(Shown {
            sight: Sight {
                dev: (self.u32_at(at)?, self.u32_at(at + 4)?),
                ino: self.u64_at(at + 8)?,
                unique: self.u64_at(at + 16)?,
                mount: self.u64_at(at + 24)?,
                told: self.u32_at(at + 32)?,
            },
            table: self.u32_at(at + SIGHT)?,
            number: self.u32_at(at + SIGHT + 4)?,
            path: self.0.get(start..end)?,
        })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }
}
