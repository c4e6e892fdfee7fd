//! Where tree bodies come from and go to.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::cas::digest::Digest;
use crate::error::{Error, Result};

/// Reads and writes tree bodies by digest. The manifest's `tree` table is one;
/// [`MemoryTrees`] another.
pub trait Trees {
    /// The body, or a `Corrupt` error that names the digest when it is not there.
    fn get(&self, digest: &Digest) -> Result<Vec<u8>>;
    /// Stores a body; returns its digest. Storing what is there is a no-op.
    fn put(&self, body: &[u8]) -> Result<Digest>;
}

/// Trees that are there already, and new ones in memory: what would be, without writing it.
pub struct Scratch<'t> {
    there: &'t dyn Trees,
    new: MemoryTrees,
}

impl<'t> Scratch<'t> {
    pub fn over(there: &'t dyn Trees) -> Self {
        Self { there, new: MemoryTrees::default() }
    }
}

impl Trees for Scratch<'_> {
    fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.new.get(digest).or_else(|_| self.there.get(digest))
    }

    fn put(&self, body: &[u8]) -> Result<Digest> {
        self.new.put(body)
    }
}

/// Trees in memory, for tests and for values that are not to be kept.
#[derive(Default)]
pub struct MemoryTrees(RefCell<HashMap<Digest, Vec<u8>>>);

impl Trees for MemoryTrees {
    fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.0
            .borrow()
            .get(digest)
            .cloned()
            .ok_or_else(|| Error::corrupt(format!("tree {digest} is missing")))
    }

    fn put(&self, body: &[u8]) -> Result<Digest> {
        let digest = Digest::of(body);
        self.0.borrow_mut().entry(digest).or_insert_with(|| body.to_vec());
        Ok(digest)
    }
}
