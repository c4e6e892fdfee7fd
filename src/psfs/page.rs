//! The page of a session: a file in the cover of the store by which the preload library
//! knows which of its functions are on. The library is built from this file too, so it
//! needs `core` alone.
//!
//! ```text
//! 0   8  magic, which names the version
//! 8   4  bits: what is on
//! 12  4  zero
//! ```

/// The page's name in the cover.
pub const NAME: &core::ffi::CStr = c"session.page";
/// Bytes of a page.
pub const SIZE: usize = 16;

const MAGIC: [u8; 8] = *b"vriftpg1";

/// A directory that rename(2) refuses to move is moved by the mover.
pub const RENAME_DOOR: u32 = 1;

pub fn encode(on: u32) -> [u8; SIZE] {
    let [a, b, c, d, e, f, g, h] = MAGIC;
    let [i, j, k, l] = on.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]
}

/// What is on; nothing where the page is of another version.
pub fn decode(page: [u8; SIZE]) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = page;
    if [a, b, c, d, e, f, g, h] == MAGIC { u32::from_ne_bytes([i, j, k, l]) } else { 0 }
}
