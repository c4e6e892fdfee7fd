//! Reading a path that a program gave: its length, and whether it is one that tables know,
//! without `.`, `..` or empty components. Some bytes at a time; how many depends on the
//! architecture. The preload library is built from this file too: it needs `core` alone,
//! and cannot panic.
//!
//! Where the end is not known, bytes are read in words that are aligned, so never from a
//! page that the string is not in.

use super::layout::PATH;

/// Bytes of a word.
#[cfg(target_arch = "x86_64")]
const STEP: usize = 16;

/// Of the bytes of a word which are zero, one bit each, the first byte's lowest.
///
/// # Safety
/// `at` is a multiple of `STEP`, in a page that can be read.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn ends(at: *const u8) -> u32 {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_setzero_si128};
    // SAFETY: SSE2 is part of x86-64; the address is as promised.
    unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(at.cast()), _mm_setzero_si128())) as u32 }
}

/// Of the bytes of a word which are slashes, likewise.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
fn slashes(word: &[u8; STEP]) -> u32 {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: SSE2 is part of x86-64; there are as many bytes.
    unsafe {
        let word = _mm_loadu_si128(word.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(word, _mm_set1_epi8(b'/' as i8))) as u32
    }
}

/// Whether a component begins in a word with a dot or a slash; `before` is the same one byte earlier.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
fn may_be_odd(before: &[u8; STEP], word: &[u8; STEP]) -> bool {
    use core::arch::x86_64::{
        _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 is part of x86-64; both have as many bytes.
    unsafe {
        let slash = _mm_set1_epi8(b'/' as i8);
        let slashes = _mm_cmpeq_epi8(_mm_loadu_si128(before.as_ptr().cast()), slash);
        // with its lowest bit set a dot is a slash
        let dots = _mm_or_si128(_mm_loadu_si128(word.as_ptr().cast()), _mm_set1_epi8(1));
        _mm_movemask_epi8(_mm_and_si128(slashes, _mm_cmpeq_epi8(dots, slash))) != 0
    }
}

#[cfg(not(target_arch = "x86_64"))]
const STEP: usize = 8;
#[cfg(not(target_arch = "x86_64"))]
use words::{may_be_odd, slashes};

/// # Safety
/// `at` is a multiple of `STEP`, in a page that can be read.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn ends(at: *const u8) -> u32 {
    // SAFETY: as promised.
    words::zeros(u64::from_le(unsafe { at.cast::<u64>().read_volatile() }))
}

/// Eight bytes at a time, on any architecture.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = ONES * 0x7f;
    const SLASH: u64 = ONES * 0x2f;

    /// The bytes that are zero, one bit each.
    pub fn zeros(word: u64) -> u32 {
        let tops = !(((word & LOW) + LOW) | word | LOW);
        ((tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    }

    pub fn slashes(word: &[u8; 8]) -> u32 {
        zeros(u64::from_le_bytes(*word) ^ SLASH)
    }

    pub fn may_be_odd(before: &[u8; 8], word: &[u8; 8]) -> bool {
        slashes(before) & zeros((u64::from_le_bytes(*word) | ONES) ^ SLASH) != 0
    }
}

/// Bytes of a path before its NUL; `None`: more than the kernel takes.
///
/// # Safety
/// `path` is a C string.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn length(path: *const u8) -> Option<usize> {
    let before = path.addr() % STEP;
    let mut at = path.wrapping_sub(before);
    let mut start = 0usize.wrapping_sub(before);
    // SAFETY: in the page in which the string begins.
    let mut found = unsafe { ends(at) } & u32::MAX << before;
    while found == 0 {
        (at, start) = (at.wrapping_add(STEP), start.wrapping_add(STEP));
        if start >= PATH {
            return None;
        }
        // SAFETY: in the page in which the string goes on: no word before had its end.
        found = unsafe { ends(at) };
    }
    let length = start.wrapping_add(found.trailing_zeros() as usize);
    (length < PATH).then_some(length)
}

/// Whether the components behind the slash at `from` are plain: neither empty nor `.` nor
/// `..`. Those before it are known to be.
#[inline(always)]
pub fn is_plain(path: &[u8], from: usize) -> bool {
    let (Some((_, words)), Some((last, before))) = (path.split_first(), path.split_last()) else {
        return false;
    };
    let mut odd = true;
    // the last word may begin before `from`
    if let (Some(before_end), Some(end)) = (before.last_chunk(), words.last_chunk()) {
        odd = may_be_odd(before_end, end);
        if let (Some(before), Some(words)) = (before.get(from..), words.get(from..)) {
            for (before, word) in before.as_chunks().0.iter().zip(words.as_chunks().0) {
                odd |= may_be_odd(before, word);
            }
        }
    }
    *last != b'/' && (!odd || is_plain_byte_by_byte(path, from))
}

/// Bytes behind the last slash.
#[inline(always)]
pub fn name_length(path: &[u8]) -> usize {
    let mut length = 0;
    while let Some(word) = path.get(..path.len() - length).and_then(<[u8]>::last_chunk) {
        let slashes = slashes(word);
        if slashes != 0 {
            return length + STEP + slashes.leading_zeros() as usize - 32;
        }
        length += STEP;
    }
    while length < path.len() && path.get(path.len() - length - 1) != Some(&b'/') {
        length += 1;
    }
    length
}

#[inline(always)]
fn is_plain_byte_by_byte(path: &[u8], from: usize) -> bool {
    let (mut length, mut is_dots) = (0, true);
    for byte in path.get(from + 1..).unwrap_or_default().iter().chain(b"/") {
        if *byte != b'/' {
            length += 1;
            is_dots &= *byte == b'.';
        } else if is_dots && length <= 2 {
            return false;
        } else {
            (length, is_dots) = (0, true);
        }
    }
    true
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
            let path = [b"/", &path[..]].concat();
            let text = [vec![b'/'; before], path.clone(), vec![0], vec![b'/'; 32]].concat();
            // SAFETY: a NUL follows.
            #[allow(unsafe_code)]
            let length = unsafe { length(text.as_ptr().add(before)) };
            prop_assert_eq!(length, Some(path.len()));
            let mut plain = true;
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
            prop_assert_eq!(name_length(&path), name.len());
            for from in (0..path.len()).rev().filter(|at| path[*at] == b'/') {
                let first = path[from + 1..].split(|byte| *byte == b'/').next().unwrap();
                plain &= !matches!(first, b"" | b"." | b"..");
                prop_assert_eq!(is_plain_byte_by_byte(&path, from), plain);
                // what is before is plain
                let known = path[..from].split(|byte| *byte == b'/').skip(1).all(|part| !matches!(part, b"" | b"." | b".."));
                prop_assert!(!known || is_plain(&path, from) == plain);
                prop_assert!(plain || !is_plain(&path, from));
            }
        }

        #[test]
        fn words_are_marked_byte_for_byte(bytes in prop::array::uniform9(prop_oneof![Just(0u8), Just(b'/'), Just(b'.'), any::<u8>()])) {
            let [before, word] = [0, 1].map(|at| *bytes[at..].first_chunk::<8>().unwrap());
            let zeros = words::zeros(u64::from_le_bytes(word));
            let mut odd = false;
            for at in 0..8 {
                prop_assert_eq!(zeros >> at & 1 == 1, word[at] == 0);
                prop_assert_eq!(words::slashes(&word) >> at & 1 == 1, word[at] == b'/');
                odd |= before[at] == b'/' && matches!(word[at], b'.' | b'/');
            }
            prop_assert_eq!(words::may_be_odd(&before, &word), odd);
        }
    }

    #[test]
    fn longer_than_the_kernel_takes_has_no_length() {
        for (bytes, fits) in [(4095, true), (4096, false), (5000, false)] {
            let text = [&b"/"[..], &vec![b'a'; bytes - 1], b"\0"].concat();
            // SAFETY: a NUL follows.
            #[allow(unsafe_code)]
            let read = unsafe { length(text.as_ptr()) };
            assert_eq!(read, fits.then_some(bytes));
        }
    }
}
