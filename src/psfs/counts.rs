//! What was answered, counted by kind of call: a file in the cover of a session that was
//! opened to count, which every program of it maps and adds to. The library that counts is
//! built from the same sources as the one that does not, which has none of this in it.
//! Built into both, so it needs `core` alone.

/// The file's name, in the session's staging and in the cover.
pub const NAME: &core::ffi::CStr = c"psfs.counts";

/// Kinds of calls: those of the stat family but statx count as `stat`, all of access and of
/// open as theirs.
pub const KINDS: [&str; 4] = ["stat", "statx", "access", "open"];
pub const STAT: usize = 0;
pub const STATX: usize = 1;
pub const ACCESS: usize = 2;
pub const OPEN: usize = 3;

/// Answered: it is there.
pub const THERE: usize = 0;
/// Answered: it is not there.
pub const ABSENT: usize = 1;
/// The kernel was asked.
pub const ASKED: usize = 2;

/// Numbers of a kind.
const OUTCOMES: usize = 3;
/// Numbers in the file, each of 64 bits in the machine's own order.
pub const NUMBERS: usize = KINDS.len() * OUTCOMES;
/// Bytes of the file.
pub const SIZE: usize = 8 * NUMBERS;

/// Which number it is.
pub const fn place(kind: usize, outcome: usize) -> usize {
    kind * OUTCOMES + outcome
}

/// Counts that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; NUMBERS]);

impl Counts {
    /// `None`: the file is short.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = [0; NUMBERS];
        for (at, number) in numbers.iter_mut().enumerate() {
            *number = u64::from_ne_bytes(*bytes.get(8 * at..)?.first_chunk()?);
        }
        Some(Self(numbers))
    }

    /// How often that came of this kind.
    pub fn of(&self, kind: usize, outcome: usize) -> u64 {
        self.0.get(place(kind, outcome)).copied().unwrap_or(0)
    }

    /// What came since then.
    pub fn since(&self, before: &Self) -> Self {
        let mut numbers = self.0;
        for (number, before) in numbers.iter_mut().zip(before.0) {
            *number = number.saturating_sub(before);
        }
        Self(numbers)
    }
}
