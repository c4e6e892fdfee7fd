//! Counting what is answered, in the library that does: one atomic addition to a page that
//! all programs of the session share. It is in a section of its own; the other library has an
//! empty function in its place.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::counts::{self, NUMBERS};
use super::sys::{self, Fd};

static NUMBERS_OF_SESSION: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());

/// Maps the page, where the session has one.
pub fn load(cover: &Fd) {
    let Ok(file) = sys::open_for_writing(cover, counts::NAME) else { return };
    if let Ok(numbers) = sys::map_shared(&file, counts::SIZE) {
        NUMBERS_OF_SESSION.store(numbers.cast(), Ordering::Release);
    }
}

/// Counts an answer (zero: it is there), or that the kernel is asked.
#[inline(never)]
#[unsafe(link_section = "psfs_count")]
pub fn note(kind: usize, answer: Option<isize>) {
    let numbers = NUMBERS_OF_SESSION.load(Ordering::Acquire);
    let outcome = match answer {
        Some(0) => counts::THERE,
        Some(_) => counts::ABSENT,
        None => counts::ASKED,
    };
    let place = counts::place(kind, outcome);
    if !numbers.is_null() && place < NUMBERS {
        // SAFETY: as many numbers are mapped, and stay so.
        unsafe { (*numbers.add(place)).fetch_add(1, Ordering::Relaxed) };
    }
}
