//! A table of what stat says, as the preload library reads it: the first two bytes say how long the
//! path is that is asked for, which comes next; the rest is the table. Whatever the bytes are, nothing
//! is read beyond them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrift::psfs::layout::{CHECKED, HEADER, MAGIC, Table, hash};
use vrift::psfs::lookup::{Root, find};
use vrift::psfs::scan::plain;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_ne_bytes(*length)) % 64;
    let Some((path, table)) = rest.split_at_checked(length) else { return };
    let mut table = table.to_vec();
    // what a checksum would refuse is tried as well: sizes and checksum are put right
    if let Some(header) = table.get_mut(..HEADER) {
        header[..8].copy_from_slice(&MAGIC);
    }
    let size = table.len() as u64;
    if let Some(place) = table.get_mut(8..16) {
        place.copy_from_slice(&size.to_ne_bytes());
    }
    if table.len() >= HEADER {
        let sum = hash(&table[..CHECKED], 0);
        table[CHECKED..HEADER].copy_from_slice(&sum.to_ne_bytes());
    }
    let Some(table) = Table::open(&table) else { return };
    let roots = [Root { path: b"/p/t", table, number: 0 }, Root { path: b"/p/u", table, number: 1 }];
    let mut text = [b"/p/t/", path, b"\0"].concat();
    // it is read by 16 bytes from where 16 divides the address, and so beyond its NUL in the same page
    text.resize(text.len().next_multiple_of(16), 0);
    // SAFETY: a NUL follows.
    if let Some(path) = unsafe { plain(text.as_ptr()) } {
        let _ = find(&roots, path);
    }
});
