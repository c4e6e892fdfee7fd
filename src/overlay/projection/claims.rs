//! Which objects a lower tree has linked, and where: an object is one file of a tree at most,
//! for two names of one inode are the same file to every program (`cp a b` fails).
//!
//! Kept beside the tree (`base/<n>.links`), 24 bytes an object: the first 16 of its digest, and
//! 8 of the digest of the path. What is kept may be too much (a change that was cut short), never
//! too little: an object that is claimed in vain is copied.

use std::collections::HashMap;
use std::path::Path;

use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::os::failpoint;

const RECORD: usize = 24;

/// The objects that a tree has linked, each with its path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Claims(HashMap<[u8; 16], [u8; 8]>);

impl Claims {
    /// Those of a tree that is there. `None`: they are not known, so nothing may be linked.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path, &error)),
        };
        let (records, []) = bytes.as_chunks::<RECORD>() else { return Ok(None) };
        let pair = |record: &[u8; RECORD]| {
            let (mut object, mut place) = ([0; 16], [0; 8]);
            object.copy_from_slice(&record[..16]);
            place.copy_from_slice(&record[16..]);
            (object, place)
        };
        Ok(Some(Self(records.iter().map(pair).collect())))
    }

    /// Writes them whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::with_capacity(self.0.len() * RECORD);
        for (object, place) in &self.0 {
            bytes.extend_from_slice(object);
            bytes.extend_from_slice(place);
        }
        let half = path.with_extension("links-new");
        std::fs::write(&half, bytes).context("write", &half)?;
        failpoint::at("links.written").context("write", &half)?;
        std::fs::rename(&half, path).context("write", path)
    }

    /// True when the object is this path's from now on, or was already.
    pub fn claim(&mut self, digest: &Digest, path: &[u8]) -> bool {
        let place = place(path);
        *self.0.entry(object(digest)).or_insert(place) == place
    }

    /// A path has the object no more, or could not have it.
    pub fn leave(&mut self, digest: &Digest, path: &[u8]) {
        if self.0.get(&object(digest)) == Some(&place(path)) {
            self.0.remove(&object(digest));
        }
    }
}

fn object(digest: &Digest) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&digest.as_bytes()[..16]);
    short
}

fn place(path: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(path).as_bytes()[..8]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_one_paths_until_that_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1.links");
        assert_eq!(Claims::read(&file).unwrap(), None);
        let digest = Digest::of(b"content");
        let mut claims = Claims::default();
        assert!(claims.claim(&digest, b"a/x") && claims.claim(&digest, b"a/x"));
        assert!(!claims.claim(&digest, b"b"));
        claims.leave(&digest, b"b");
        claims.write(&file).unwrap();
        let mut read = Claims::read(&file).unwrap().unwrap();
        assert_eq!(read, claims);
        assert!(!read.claim(&digest, b"b"));
        read.leave(&digest, b"a/x");
        assert!(read.claim(&digest, b"b"));
        std::fs::write(&file, [0; RECORD + 1]).unwrap();
        assert_eq!(Claims::read(&file).unwrap(), None);
    }
}
