//! Hashing a file that others may change or cut short meanwhile: it is read, not mapped, for a
//! mapping of what is cut off kills who looks at it (SIGBUS).
//!
//! While one piece is hashed by every core, the next one is read.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::digest::Digest;
use super::sparse::read_full;

/// Bytes in one piece: it stays in the processor's cache from the read to the hash.
const PIECE: usize = 2 << 20;

/// The digest of what is read until the end, and how many bytes that was.
pub fn hash(source: BorrowedFd<'_>) -> Result<(Digest, u64), Errno> {
    // a pool of this call's own, never the global one: processes fork here
    let pool = rayon::ThreadPoolBuilder::new().build().map_err(|_| Errno::AGAIN)?;
    pool.install(|| {
        let mut hasher = blake3::Hasher::new();
        let (mut piece, mut next) = (vec![0u8; PIECE], vec![0u8; PIECE]);
        let mut length = read_full(source, &mut piece, 0)?;
        let mut done = 0;
        while length > 0 {
            done += length as u64;
            let (_, read) = rayon::join(
                || hasher.update_rayon(&piece[..length]).count(),
                || read_full(source, &mut next, done),
            );
            std::mem::swap(&mut piece, &mut next);
            length = read?;
        }
        Ok((hasher.finalize().into(), done))
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn it_is_the_digest_of_all_pieces() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, PIECE - 1, PIECE, 2 * PIECE + 7] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let path = dir.path().join("file");
            std::fs::write(&path, &bytes).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            assert_eq!(hash(file.as_fd()).unwrap(), (Digest::of(&bytes), size as u64));
        }
    }
}
