//! Reading a path that a program gave: its length, and whether it is one that tables know,
//! absolute and without `.`, `..` or empty components. Once through, some bytes at a time;
//! how many depends on the architecture. The preload library is built from this file too: it needs
//! `core` alone, and cannot panic.
//!
//! Bytes are read in words that are aligned, so never from a page that the string is not in.

use super::layout::PATH;

/// A path that is absolute and plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    pub path: &'a [u8],
    /// Where its last slash is.
    pub slash: usize,
}

/// Of the bytes of a word, one bit each, the first byte's lowest.
#[derive(Clone, Copy)]
struct Marks {
    ends: u32,
    slashes: u32,
    /// Dots, and slashes.
    dots: u32,
}

/// Bytes of a word.
#[cfg(target_arch = "x86_64")]
const STEP: usize = 16;

/// # Safety
/// `at` is a multiple of `STEP`, in a page that can be read.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn marks(at: *const u8) -> Marks {
    use core::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 is part of x86-64; the address is as promised.
    unsafe {
        let word = _mm_load_si128(at.cast());
        let equal = |word, byte| _mm_movemask_epi8(_mm_cmpeq_epi8(word, _mm_set1_epi8(byte))) as u32;
        // with its lowest bit set a dot is a slash
        let dots = equal(_mm_or_si128(word, _mm_set1_epi8(1)), b'/' as i8);
        Marks { ends: equal(word, 0), slashes: equal(word, b'/' as i8), dots }
    }
}

#[cfg(not(target_arch = "x86_64"))]
const STEP: usize = 8;

/// # Safety
/// `at` is a multiple of `STEP`, in a page that can be read.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn marks(at: *const u8) -> Marks {
    // SAFETY: as promised.
    let word = u64::from_le(unsafe { at.cast::<u64>().read_volatile() });
    words::marks(word)
}

/// Eight bytes at a time, on any architecture.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::Marks;

    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = ONES * 0x7f;

    /// The bytes that are zero, one bit each.
    fn zeros(word: u64) -> u32 {
        let tops = !(((word & LOW) + LOW) | word | LOW);
        ((tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    }

    pub fn marks(word: u64) -> Marks {
        let slash = ONES * u64::from(b'/');
        Marks { ends: zeros(word), slashes: zeros(word ^ slash), dots: zeros((word | ONES) ^ slash) }
    }
}

/// Reads a path; `None`: it is not plain, or is longer than the kernel takes.
///
/// # Safety
/// `path` is a C string, which is not changed while the result is in use.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn plain<'a>(path: *const u8) -> Option<Plain<'a>> {
    let before = path.addr() % STEP;
    let mut at = path.wrapping_sub(before);
    let mut start = 0usize.wrapping_sub(before);
    let mut ours = u32::MAX << before;
    let (mut slash, mut after_slash) = (0, 0);
    let length = loop {
        // SAFETY: in the page in which the string begins or goes on: no word before had its end.
        let found = unsafe { marks(at) };
        let ends = found.ends & ours;
        // what comes after the end is not the path's
        ours &= (ends & ends.wrapping_neg()).wrapping_sub(1);
        let slashes = found.slashes & ours;
        let mut odd = (slashes << 1 | after_slash) & found.dots & ours;
        while odd != 0 {
            let place = start.wrapping_add(odd.trailing_zeros() as usize);
            // SAFETY: a byte of the string.
            if unsafe { is_odd(path.wrapping_add(place)) } {
                return None;
            }
            odd &= odd - 1;
        }
        if slashes != 0 {
            slash = start.wrapping_add(31 - slashes.leading_zeros() as usize);
        }
        if ends != 0 {
            break start.wrapping_add(ends.trailing_zeros() as usize);
        }
        (after_slash, ours) = (slashes >> (STEP - 1), u32::MAX);
        (at, start) = (at.wrapping_add(STEP), start.wrapping_add(STEP));
        if start >= PATH {
            return None;
        }
    };
    // SAFETY: the string has this many bytes before its end, and one at least.
    let bytes = unsafe { core::slice::from_raw_parts(path, length) };
    let fits = length < PATH && bytes.first() == Some(&b'/') && slash + 1 < length;
    fits.then_some(Plain { path: bytes, slash })
}

/// Whether a component that begins with a dot or is empty is `.`, `..` or empty.
///
/// # Safety
/// It is in a C string.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn is_odd(component: *const u8) -> bool {
    // SAFETY: none is read behind the end.
    unsafe {
        let is_end = |at: usize| matches!(*component.add(at), 0 | b'/');
        is_end(0) || is_end(1) || *component.add(1) == b'.' && is_end(2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As the obvious way has it, wherever in memory the string begins.
        #[test]
        fn paths_are_read_as_the_obvious_way_reads_them(
            path in prop::collection::vec(
                prop_oneof![4 => Just(b'/'), 4 => Just(b'.'), 1 => Just(b'.' ^ 1), 6 => 1u8..=255], 0..90),
            before in 0usize..16,
        ) {
            let text = [vec![b'/'; before], path.clone(), vec![0], vec![b'/'; 32]].concat();
            // SAFETY: a NUL follows.
            #[allow(unsafe_code)]
            let read = unsafe { plain(text.as_ptr().add(before)) };
            let mut parts = path.split(|byte| *byte == b'/');
            let absolute = parts.next() == Some(b"") && path.len() > 1;
            let is_plain = absolute && parts.all(|part| !matches!(part, b"" | b"." | b".."));
            let slash = path.iter().rposition(|byte| *byte == b'/').filter(|_| is_plain);
            prop_assert_eq!(read.map(|read| (read.path, read.slash)), slash.map(|slash| (&path[..], slash)));
        }

        #[test]
        fn words_are_marked_byte_for_byte(bytes in prop::array::uniform8(prop_oneof![Just(0u8), Just(b'/'), Just(b'.'), any::<u8>()])) {
            let marks = words::marks(u64::from_le_bytes(bytes));
            for (at, byte) in bytes.into_iter().enumerate() {
                let is = |marks: u32| marks >> at & 1 == 1;
                prop_assert_eq!((is(marks.ends), is(marks.slashes), is(marks.dots)), (byte == 0, byte == b'/', matches!(byte, b'.' | b'/')));
            }
        }
    }

    #[test]
    fn longer_than_the_kernel_takes_is_not_plain() {
        for (length, is_plain) in [(4095, true), (4096, false), (5000, false)] {
            let text = [&b"/"[..], &vec![b'a'; length - 1], b"\0"].concat();
            // SAFETY: a NUL follows.
            #[allow(unsafe_code)]
            let read = unsafe { plain(text.as_ptr()) };
            assert_eq!(read.is_some(), is_plain, "{length}");
        }
    }
}
