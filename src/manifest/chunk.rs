//! One directory, read and changed in part.
//!
//! A directory of more than 1,024 entries is cut into chunks (rule 7): going through
//! its entries by name, a chunk ends behind an entry whose name hashes to a mark
//! (one in 768) once it has 256 entries, or when it has 4,096; so it has about 1,024.
//! Where a chunk ends depends on nothing before its beginning, therefore
//!
//! - equal sets of entries are cut equally, whatever their history, and
//! - a change rewrites the chunks it touches and those behind them only up to the
//!   first cut that falls on an old one, which is nearly always the next.
//!
//! Both the marks and the limits are part of the format.

use std::collections::{BTreeMap, HashSet};

use crate::cas::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::encode::{
    Body, Chunk, MAX_CHUNK, MAX_FLAT, MIN_CHUNK, decode, encode_index, encode_list,
};
use crate::manifest::node::Entry;
use crate::manifest::store::Trees;

/// What is to become of a name: an entry, or nothing.
pub type Change = (Vec<u8>, Option<Entry>);

/// True when a chunk that has `count` entries ends behind this name.
fn ends(name: &[u8], count: usize) -> bool {
    let marked = || {
        let [a, b, c, d, ..] = *blake3::hash(name).as_bytes();
        u32::from_le_bytes([a, b, c, d]).is_multiple_of(768)
    };
    count >= MAX_CHUNK || count >= MIN_CHUNK && marked()
}

/// A directory's listing; its chunks are read when they are needed.
pub struct Listing<'t> {
    trees: &'t dyn Trees,
    tree: Option<Digest>,
    /// A flat directory has one; an empty one none.
    chunks: Vec<Chunk>,
    read: BTreeMap<usize, Vec<Entry>>,
}

/// A piece of a changed directory: an old chunk, or entries.
enum Piece {
    Kept(usize),
    New(Vec<Entry>),
}

impl<'t> Listing<'t> {
    /// The directory of this digest; `None` is an empty one that is not stored.
    /// `Corrupt` when the body is not a directory's.
    pub fn open(trees: &'t dyn Trees, tree: Option<&Digest>) -> Result<Self> {
        let mut listing = Self { trees, tree: tree.copied(), chunks: Vec::new(), read: BTreeMap::new() };
        let Some(tree) = tree else { return Ok(listing) };
        match decode(&trees.get(tree)?)? {
            Body::Index(chunks) => listing.chunks = chunks,
            Body::List(entries) if entries.len() > MAX_FLAT => {
                return Err(Error::corrupt(format!("tree {tree} has too many entries for one list")));
            }
            Body::List(entries) => {
                if let Some(first) = entries.first() {
                    let first = first.name.clone();
                    listing.chunks.push(Chunk { first, count: entries.len(), digest: *tree });
                    listing.read.insert(0, entries);
                }
            }
            Body::Root(_) => return Err(Error::corrupt(format!("tree {tree} is a root record"))),
        }
        Ok(listing)
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.count).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The entry of this name; reads the one chunk it can be in.
    pub fn get(&mut self, name: &[u8]) -> Result<Option<&Entry>> {
        let behind = self.chunks.partition_point(|chunk| chunk.first.as_slice() <= name);
        let Some(at) = behind.checked_sub(1) else { return Ok(None) };
        let entries = self.chunk(at)?;
        let found = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name));
        Ok(found.ok().map(|at| &entries[at]))
    }

    /// All entries, by name.
    pub fn into_entries(mut self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        for at in 0..self.chunks.len() {
            all.append(&mut self.take_chunk(at)?);
        }
        Ok(all)
    }

    /// The entries that the other directory does not have in an equal chunk.
    fn entries_unlike(mut self, other: &HashSet<Digest>) -> Result<Vec<Entry>> {
        let mut unlike = Vec::new();
        for at in 0..self.chunks.len() {
            if !other.contains(&self.chunks[at].digest) {
                unlike.append(&mut self.take_chunk(at)?);
            }
        }
        Ok(unlike)
    }

    fn digests(&self) -> HashSet<Digest> {
        self.chunks.iter().map(|chunk| chunk.digest).collect()
    }

    fn chunk(&mut self, at: usize) -> Result<&[Entry]> {
        let entries = self.take_chunk(at)?;
        Ok(self.read.entry(at).or_insert(entries))
    }

    /// A chunk's entries; they must be what the index says.
    fn take_chunk(&mut self, at: usize) -> Result<Vec<Entry>> {
        if let Some(entries) = self.read.remove(&at) {
            return Ok(entries);
        }
        let chunk = &self.chunks[at];
        let next = self.chunks.get(at + 1);
        if let Body::List(entries) = decode(&self.trees.get(&chunk.digest)?)?
            && entries.len() == chunk.count
            && entries.first().is_some_and(|first| first.name == chunk.first)
            && let Some(last) = entries.last()
            && next.is_none_or(|next| last.name < next.first && ends(&last.name, chunk.count))
        {
            return Ok(entries);
        }
        Err(Error::corrupt(format!("chunk {} is not what its directory says", chunk.digest)))
    }

    /// Stores the directory with these names changed; gives its digest. `changes` are
    /// sorted by name, each name once, or it is a failure. Removing what is not there changes nothing.
    /// Reads and writes the touched chunks only.
    pub fn update(mut self, changes: Vec<Change>) -> Result<Digest> {
        if !changes.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Error::failure("a directory cannot be written: its names are out of order"));
        }
        if let (Some(tree), true) = (self.tree, changes.is_empty()) {
            return Ok(tree);
        }
        let flat = self.len() <= MAX_FLAT;
        let mut changes = changes.into_iter().peekable();
        let (mut pieces, mut open) = (Vec::new(), Vec::new());
        for at in 0..self.chunks.len() {
            let next = self.chunks.get(at + 1).map(|next| next.first.clone());
            let mine = |change: &Change| next.as_ref().is_none_or(|next| change.0 < *next);
            if open.is_empty() && !flat && !changes.peek().is_some_and(mine) {
                pieces.push(Piece::Kept(at));
                continue;
            }
            let mut old = self.take_chunk(at)?.into_iter().peekable();
            loop {
                let change = changes.peek().filter(|change| mine(change));
                let entry = match (old.peek(), change) {
                    (None, None) => break,
                    (Some(entry), Some(change)) if entry.name >= change.0 => {
                        old.next_if(|entry| entry.name == change.0);
                        changes.next().and_then(|change| change.1)
                    }
                    (None, Some(_)) => changes.next().and_then(|change| change.1),
                    (Some(_), _) => old.next(),
                };
                push(entry, &mut open, &mut pieces);
            }
        }
        for (_, entry) in changes {
            push(entry, &mut open, &mut pieces);
        }
        if !open.is_empty() {
            pieces.push(Piece::New(open));
        }
        self.write(pieces)
    }

    fn write(mut self, pieces: Vec<Piece>) -> Result<Digest> {
        let size = |piece: &Piece| match piece {
            Piece::Kept(at) => self.chunks[*at].count,
            Piece::New(entries) => entries.len(),
        };
        if pieces.iter().map(size).sum::<usize>() <= MAX_FLAT {
            let mut all = Vec::new();
            for piece in pieces {
                all.append(&mut match piece {
                    Piece::Kept(at) => self.take_chunk(at)?,
                    Piece::New(entries) => entries,
                });
            }
            return self.trees.put(&encode_list(&all)?);
        }
        let mut index = Vec::with_capacity(pieces.len());
        for piece in pieces {
            index.push(match piece {
                Piece::Kept(at) => self.chunks[at].clone(),
                Piece::New(entries) => Chunk {
                    first: entries.first().map(|entry| entry.name.clone()).unwrap_or_default(),
                    count: entries.len(),
                    digest: self.trees.put(&encode_list(&entries)?)?,
                },
            });
        }
        self.trees.put(&encode_index(&index)?)
    }
}

/// Adds an entry to the open chunk and closes it where it ends.
fn push(entry: Option<Entry>, open: &mut Vec<Entry>, pieces: &mut Vec<Piece>) {
    let Some(entry) = entry else { return };
    open.push(entry);
    if open.last().is_some_and(|last| ends(&last.name, open.len())) {
        pieces.push(Piece::New(std::mem::take(open)));
    }
}

/// A name that two directories do not agree on: at least one side is there, and the
/// sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub name: Vec<u8>,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

/// The names two directories do not agree on, sorted. Equal chunks are not read: a
/// chunk that both have holds the same names, and neither has others between them.
pub fn pairs(trees: &dyn Trees, before: Option<&Digest>, after: Option<&Digest>) -> Result<Vec<Pair>> {
    if before == after {
        return Ok(Vec::new());
    }
    let (before, after) = (Listing::open(trees, before)?, Listing::open(trees, after)?);
    let (olds, news) = (before.digests(), after.digests());
    let mut old = before.entries_unlike(&news)?.into_iter().peekable();
    let mut new = after.entries_unlike(&olds)?.into_iter().peekable();
    let mut pairs = Vec::new();
    loop {
        let name = match (old.peek(), new.peek()) {
            (None, None) => return Ok(pairs),
            (Some(entry), None) | (None, Some(entry)) => entry.name.clone(),
            (Some(old), Some(new)) => old.name.as_slice().min(&new.name).to_vec(),
        };
        let before = old.next_if(|entry| entry.name == name);
        let after = new.next_if(|entry| entry.name == name);
        if before != after {
            pairs.push(Pair { name, before, after });
        }
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
