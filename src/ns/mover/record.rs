//! What the mover says of a move that is under way, in a file beside the upper: whoever
//! comes after a mover that was killed finishes it by that. Another mover does, while the
//! session lives; else who takes in what the session wrote (`session::moved`).
//!
//! ```text
//! magic · state · kind · swapped · zero · errno · four lengths · old path · new path · first · second
//! ```
//! Numbers are in the machine's own order: it is read on the machine that wrote it. Paths
//! begin at the overlay's root; `first` and `second` are temporary names: of the copy of
//! what `old` was, beside `new`, and of the copy of what `new` was, beside `old`.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;

use super::request::Name;

/// The file's name in a session's directory.
pub const NAME: &str = "move";

const MAGIC: [u8; 4] = *b"vrm1";
const HEAD: usize = 20;
/// PATH_MAX: what /proc can say of a directory.
const PATH: usize = 4096;
const MOST: usize = HEAD + 2 * PATH + 2 * 256;

/// Nothing is changed yet.
const BEGUN: u8 = 1;
/// From here on it is finished, or undone.
const PENDING: u8 = 2;
const DONE: u8 = 3;

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory to where nothing is, or an empty one.
    Rename,
    /// A directory, `old`, and what is none change places.
    Leaf,
    /// Two directories do.
    Trees,
}

/// A move that somebody has to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished<'a> {
    pub kind: Kind,
    /// Asked for the other way round.
    pub swapped: bool,
    pub old: &'a [u8],
    pub new: &'a [u8],
    pub first: &'a [u8],
    /// Empty where there is none.
    pub second: &'a [u8],
}

impl<'a> Unfinished<'a> {
    /// `None`: there is nothing to finish.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<HEAD>()?;
        let &[a, b, c, d, PENDING, kind, swapped, 0, _, _, _, _, e, f, g, h, i, j, k, l] = head else {
            return None;
        };
        let kind = match kind {
            1 => Kind::Rename,
            2 => Kind::Leaf,
            3 => Kind::Trees,
            _ => return None,
        };
        let mut part = |length: [u8; 2]| {
            let (part, after) = rest.split_at_checked(usize::from(u16::from_ne_bytes(length)))?;
            rest = after;
            Some(part)
        };
        let (old, new) = (part([e, f])?, part([g, h])?);
        let (first, second) = (part([i, j])?, part([k, l])?);
        ([a, b, c, d] == MAGIC).then_some(Self { kind, swapped: swapped == 1, old, new, first, second })
    }

    fn encode(&self, to: &mut [u8; MOST]) -> Option<usize> {
        let kind = match self.kind {
            Kind::Rename => 1,
            Kind::Leaf => 2,
            Kind::Trees => 3,
        };
        let mut used = 0;
        let mut put = |bytes: &[u8]| -> Option<()> {
            to.get_mut(used..used + bytes.len())?.copy_from_slice(bytes);
            used += bytes.len();
            Some(())
        };
        put(&MAGIC)?;
        put(&[PENDING, kind, u8::from(self.swapped), 0, 0, 0, 0, 0])?;
        let parts = [self.old, self.new, self.first, self.second];
        for part in parts {
            put(&u16::try_from(part.len()).ok()?.to_ne_bytes())?;
        }
        parts.into_iter().try_for_each(&mut put)?;
        Some(used)
    }
}

/// How far a mover before this one came.
pub(super) enum State {
    Unknown,
    Begun,
    Pending,
    Done(i32),
}

/// The file, as the mover has it.
pub(super) struct Record<'a> {
    pub(super) file: &'a OwnedFd,
    /// Where the session's overlay is.
    pub(super) root: &'a CStr,
}

impl Record<'_> {
    pub(super) fn state(&self) -> State {
        let mut head = [0; HEAD];
        match rustix::io::pread(self.file, &mut head, 0).ok().and_then(|length| head.get(..length)) {
            Some(&[a, b, c, d, state, _, _, _, e, f, g, h, ..]) if [a, b, c, d] == MAGIC => match state {
                BEGUN => State::Begun,
                PENDING => State::Pending,
                DONE => State::Done(i32::from_ne_bytes([e, f, g, h])),
                _ => State::Unknown,
            },
            _ => State::Unknown,
        }
    }

    /// The kernel has been asked, and nothing else was done.
    pub(super) fn begin(&self) -> Result<(), Errno> {
        self.say(BEGUN, 0)
    }

    /// It has been answered; nothing is left to do.
    pub(super) fn end(&self, errno: i32) -> Result<(), Errno> {
        self.say(DONE, errno)
    }

    /// Takes away what is said.
    pub(super) fn clear(&self) -> Result<(), Errno> {
        rustix::fs::ftruncate(self.file, 0)
    }

    fn say(&self, state: u8, errno: i32) -> Result<(), Errno> {
        let ([a, b, c, d], [e, f, g, h]) = (MAGIC, errno.to_ne_bytes());
        rustix::io::pwrite(self.file, &[a, b, c, d, state, 0, 0, 0, e, f, g, h], 0).map(drop)
    }

    /// All is ready, and the next step is the first one that can be seen.
    ///
    /// # Errors
    /// EXDEV: `/proc` does not tell where in the overlay these directories are.
    pub(super) fn commit(
        &self,
        kind: Kind,
        swapped: bool,
        (old, new): (&Name, &Name),
        (first, second): (&CStr, &CStr),
    ) -> Result<(), Errno> {
        let (mut one, mut other, mut bytes) = ([0; PATH + 256], [0; PATH + 256], [0; MOST]);
        let (old, new) = (self.path(old, &mut one)?, self.path(new, &mut other)?);
        let (first, second) = (first.to_bytes(), second.to_bytes());
        let length = Unfinished { kind, swapped, old, new, first, second }.encode(&mut bytes);
        let bytes = length.and_then(|length| bytes.get(..length)).ok_or(Errno::XDEV)?;
        rustix::io::pwrite(self.file, bytes, 0).map(drop)
    }

    /// What [`Self::commit`] wrote, in `space`.
    pub(super) fn read<'s>(&self, space: &'s mut [u8; MOST]) -> Result<Option<Unfinished<'s>>, Errno> {
        let length = rustix::io::pread(self.file, &mut space[..], 0)?;
        Ok(Unfinished::decode(space.get(..length).unwrap_or(&[])))
    }

    /// Space for [`Self::read`].
    pub(super) const fn space() -> [u8; MOST] {
        [0; MOST]
    }

    /// Where a name is, from the overlay's root.
    fn path<'s>(&self, name: &Name, space: &'s mut [u8; PATH + 256]) -> Result<&'s [u8], Errno> {
        let mut link = *b"/proc/self/fd/0000000000\0";
        let mut number = name.dir.as_raw_fd();
        for place in link.iter_mut().skip(14).take(10).rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
        // no zeros in front
        let digits = link.iter().skip(14).take(9).take_while(|&&byte| byte == b'0').count();
        link.copy_within(14 + digits.., 14);
        let link = CStr::from_bytes_until_nul(&link).map_err(|_| Errno::XDEV)?;
        let mut place = [MaybeUninit::uninit(); PATH];
        let (dir, rest) = rustix::fs::readlinkat_raw(CWD, link, &mut place[..]).map_err(|_| Errno::XDEV)?;
        let below = dir.strip_prefix(self.root.to_bytes()).filter(|_| !rest.is_empty());
        let below = match below {
            Some([]) => &[][..],
            Some([b'/', below @ ..]) => below,
            _ => return Err(Errno::XDEV),
        };
        let mut used = 0;
        let slash: &[u8] = if below.is_empty() { b"" } else { b"/" };
        for part in [below, slash, name.name().to_bytes()] {
            space.get_mut(used..used + part.len()).ok_or(Errno::XDEV)?.copy_from_slice(part);
            used += part.len();
        }
        space.get(..used).ok_or(Errno::XDEV)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_anything_else_is_none() {
        let record = Unfinished {
            kind: Kind::Trees,
            swapped: true,
            old: b"a/b",
            new: b"c",
            first: b".vrift-1",
            second: b".vrift-2",
        };
        let mut bytes = [0; MOST];
        let length = record.encode(&mut bytes).unwrap();
        assert_eq!(Unfinished::decode(&bytes[..length]), Some(record));
        for cut in 0..length {
            assert_eq!(Unfinished::decode(&bytes[..cut]), None, "{cut}");
        }
        for at in 0..HEAD {
            let mut other = bytes;
            other[at] ^= 0xff;
            let _ = Unfinished::decode(&other[..length]);
        }
        assert_eq!(Unfinished::decode(&[0; MOST]), None);
    }
}
