//! The file that a run's output is written to while it runs: its beginning and its end, as much of
//! each as fits. How much there was is written after each piece, so whoever finds it reads what
//! there was when its writer was killed.
//!
//! ```text
//! 0    u64, little endian: bytes that were written in all
//! 8    the first HALF bytes
//! +    the rest, round and round in HALF bytes: the last ones are there
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Context, Result};

/// Of the beginning and of the end so many bytes are kept.
pub const HALF: u64 = 8 << 20;
const HEADER: u64 = 8;

/// The writer's side.
pub struct Spool {
    file: File,
    total: u64,
    half: u64,
}

impl Spool {
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::options().write(true).create_new(true).open(path).context("make", path)?;
        Ok(Self { file, total: 0, half: HALF })
    }

    /// Begins in a file that was made.
    pub fn begin(path: &Path) -> Result<Self> {
        let file = File::options().write(true).open(path).context("open", path)?;
        Ok(Self { file, total: 0, half: HALF })
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (place, room) = match self.total.checked_sub(self.half) {
                None => (self.total, self.half - self.total),
                Some(over) => (self.half + over % self.half, self.half - over % self.half),
            };
            let (now, later) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.file.write_all_at(now, HEADER + place)?;
            self.total += now.len() as u64;
            rest = later;
        }
        self.file.write_all_at(&self.total.to_le_bytes(), 0)
    }
}

/// What a spool holds, in order; where bytes were left out, a line says how many.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).context("read", path)?;
    Ok(unroll(&bytes, HALF))
}

fn unroll(file: &[u8], half: u64) -> Vec<u8> {
    let Some((header, data)) = file.split_first_chunk::<8>() else { return Vec::new() };
    let total = u64::from_le_bytes(*header);
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(data.len());
    if total <= 2 * half {
        return data[..size(total)].to_vec();
    }
    let (first, ring) = data.split_at(size(half));
    let (newer, older) = ring.split_at(usize::try_from((total - half) % half).unwrap_or(0).min(ring.len()));
    let said = format!("\n[{} bytes left out]\n", total - 2 * half);
    [first, said.as_bytes(), older, newer].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces are, the beginning and the end are there.
    #[test]
    fn the_beginning_and_the_end_stay() {
        let dir = tempfile::tempdir().unwrap();
        let half = 10;
        for (number, (length, piece)) in
            [(0, 1), (5, 2), (10, 10), (19, 3), (20, 20), (21, 1), (25, 25), (39, 4), (40, 7), (173, 31)]
                .into_iter()
                .enumerate()
        {
            let path = dir.path().join(number.to_string());
            let all: Vec<u8> = (0..length).map(|byte: u8| byte).collect();
            let mut spool = Spool { half, ..Spool::create(&path).unwrap() };
            all.chunks(piece).for_each(|piece| spool.add(piece).unwrap());
            let read = unroll(&std::fs::read(&path).unwrap(), half);
            if length <= 20 {
                assert_eq!(read, all, "{length}");
                continue;
            }
            let said = format!("\n[{} bytes left out]\n", length - 20);
            let wanted = [&all[..10], said.as_bytes(), &all[all.len() - 10..]].concat();
            assert_eq!(read, wanted, "{length}");
        }
    }

    #[test]
    fn a_file_that_was_cut_is_no_panic() {
        for file in [&b""[..], b"short", b"\xff\xff\xff\xff\xff\xff\xff\xffabc", b"\x64\0\0\0\0\0\0\0abc"] {
            unroll(file, 10);
            unroll(file, 1);
        }
    }
}
