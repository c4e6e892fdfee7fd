//! The bytes of a tree body: canonical (one value, one encoding), versioned, strict.
//!
//! | bytes | field |
//! |---|---|
//! | 3 | `vrt` |
//! | 1 | version: 1 |
//! | 1 | what follows: `L` list, `I` index, `R` root record |
//!
//! | list | |
//! |---|---|
//! | varint | entries, at most 4,096 |
//! | … | that many entries, by name ascending, each name once |
//!
//! | index | |
//! |---|---|
//! | varint | chunks, at least 1 |
//! | … | per chunk: name of its first entry (varint length, bytes), entries (varint: 256 to 4,096, the last from 1), digest of its list (32); names ascending; more than 1,024 entries in all |
//!
//! A root record is exactly one entry with an empty name, a directory.
//!
//! | entry | |
//! |---|---|
//! | 1 | kind: 1 file, 2 file with a sparse digest, 3 symbolic link, 4 fifo, 5 directory |
//! | varint, … | name: length 1 to 255, bytes; not `.` or `..`, no `/`, no NUL |
//! | 2 | mode, little endian, at most 0o7777; of a link 0o777 |
//! | varint | mtime: seconds, zigzag (0, -1, 1, -2, …) |
//! | varint | mtime: nanoseconds, below 1,000,000,000 |
//! | varint | group; 0 for a directory |
//! | varint, … | xattrs: how many; per xattr name (varint length 1 to 255, bytes without NUL) and value (varint length to 65,536, bytes); by name ascending, each once |
//! | … | file: digest (32), size (varint, at most 2^63-1); link: target (varint length 1 to 4,095, bytes without NUL); directory: digest (32) |
//!
//! A varint is LEB128 of an unsigned 64-bit number in the fewest bytes. [`decode`]
//! accepts nothing that [`encode`] would not have written.

use crate::cas::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::decode;
use crate::manifest::node::{Entry, Kind};

const MAGIC: &[u8; 3] = b"vrt";
const VERSION: u8 = 1;

/// A directory of more entries than this is an index of chunks (rule 7).
pub const MAX_FLAT: usize = 1024;
/// Entries of a chunk, unless it is the last one.
pub const MIN_CHUNK: usize = 256;
/// Entries of a chunk, and so of any list.
pub const MAX_CHUNK: usize = 4096;

pub(super) const NAME_MAX: usize = 255;
pub(super) const TARGET_MAX: usize = 4095;
pub(super) const XATTR_VALUE_MAX: usize = 65_536;

/// A decoded body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A directory of at most [`MAX_FLAT`] entries, or a chunk of a bigger one.
    List(Vec<Entry>),
    /// A directory of more than [`MAX_FLAT`] entries.
    Index(Vec<Chunk>),
    /// A root record: a directory entry with an empty name.
    Root(Entry),
}

/// A chunk's line in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The name of its first entry.
    pub first: Vec<u8>,
    /// Its number of entries.
    pub count: usize,
    /// The digest of its list.
    pub digest: Digest,
}

/// The bytes of a body. A value that breaks the table above is a failure.
pub fn encode(body: &Body) -> Result<Vec<u8>> {
    match body {
        Body::List(entries) => encode_list(entries),
        Body::Index(chunks) => encode_index(chunks),
        Body::Root(entry) => encode_root(entry),
    }
}

/// [`encode`] of a list, from a slice.
pub fn encode_list(entries: &[Entry]) -> Result<Vec<u8>> {
    check_list(entries).map_err(refused)?;
    let mut out = start(b'L', entries.len() * 80);
    put_varint(&mut out, entries.len() as u64);
    for entry in entries {
        check_name(&entry.name).and_then(|()| check_entry(entry)).map_err(refused)?;
        put_entry(&mut out, entry);
    }
    Ok(out)
}

/// [`encode`] of an index, from a slice.
pub fn encode_index(chunks: &[Chunk]) -> Result<Vec<u8>> {
    check_index(chunks).map_err(refused)?;
    let mut out = start(b'I', chunks.len() * 64);
    put_varint(&mut out, chunks.len() as u64);
    for chunk in chunks {
        put_bytes(&mut out, &chunk.first);
        put_varint(&mut out, chunk.count as u64);
        out.extend_from_slice(chunk.digest.as_bytes());
    }
    Ok(out)
}

/// [`encode`] of a root record.
pub fn encode_root(entry: &Entry) -> Result<Vec<u8>> {
    check_root(entry).and_then(|()| check_entry(entry)).map_err(refused)?;
    let mut out = start(b'R', 64);
    put_entry(&mut out, entry);
    Ok(out)
}

/// Reads a body back. Bytes that [`encode`] does not write are `Corrupt`; a body of
/// a newer version is a `Failure` that says so.
pub fn decode(bytes: &[u8]) -> Result<Body> {
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| broken("it does not begin as one"))?;
    let (version, body) = body.split_first().ok_or_else(|| broken(SHORT))?;
    match *version {
        VERSION => decode::body(body).map_err(broken),
        0 => Err(broken("it has version 0")),
        newer => Err(Error::failure(format!(
            "a tree was written by a newer vrift: its format is {newer}, this vrift reads {VERSION}"
        ))
        .with_hint("use the newer vrift for this store")),
    }
}

/// Why a value has no encoding, or bytes no value.
pub(super) type Flaw = &'static str;
pub(super) const SHORT: Flaw = "it ends too early";

fn refused(flaw: Flaw) -> Error {
    Error::failure(format!("a tree cannot be written: {flaw}"))
}

fn broken(flaw: Flaw) -> Error {
    Error::corrupt(format!("a tree is corrupt: {flaw}"))
}

// What both directions hold to.

/// True for the bytes that may be a name in a directory.
pub fn is_name(name: &[u8]) -> bool {
    check_name(name).is_ok()
}

pub(super) fn check_name(name: &[u8]) -> Result<(), Flaw> {
    match name {
        b"" => Err("a name is empty"),
        b"." | b".." => Err("a name is `.` or `..`"),
        _ if name.len() > NAME_MAX => Err("a name is longer than 255 bytes"),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err("a name has a slash or a NUL"),
        _ => Ok(()),
    }
}

pub(super) fn check_entry(entry: &Entry) -> Result<(), Flaw> {
    let meta = &entry.meta;
    if meta.mode > 0o7777 {
        return Err("a mode has more than permission bits");
    }
    if meta.mtime.nanos >= 1_000_000_000 {
        return Err("a time has more than 999,999,999 nanoseconds");
    }
    for (name, value) in &meta.xattrs {
        if name.is_empty() || name.len() > NAME_MAX || name.contains(&0) {
            return Err("an xattr has an impossible name");
        }
        if value.len() > XATTR_VALUE_MAX {
            return Err("an xattr's value is longer than 64 KiB");
        }
    }
    if !meta.xattrs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err("xattrs are out of order");
    }
    match &entry.kind {
        Kind::File(content) if content.size > i64::MAX as u64 => Err("a size is impossible"),
        Kind::Symlink(_) if meta.mode != 0o777 => Err("the mode of a symbolic link is not 0777"),
        Kind::Symlink(to) if to.is_empty() || to.len() > TARGET_MAX || to.contains(&0) => {
            Err("a symbolic link has an impossible target")
        }
        Kind::Dir(_) if entry.group != 0 => Err("a directory has a group number"),
        _ => Ok(()),
    }
}

pub(super) fn check_root(entry: &Entry) -> Result<(), Flaw> {
    if !entry.name.is_empty() {
        return Err("a root has a name");
    }
    if entry.is_dir() { Ok(()) } else { Err("a root is not a directory") }
}

pub(super) fn check_list(entries: &[Entry]) -> Result<(), Flaw> {
    if entries.len() > MAX_CHUNK {
        return Err("a list has more than 4,096 entries");
    }
    if entries.is_sorted_by(|a, b| a.name < b.name) { Ok(()) } else { Err("names are out of order") }
}

pub(super) fn check_index(chunks: &[Chunk]) -> Result<(), Flaw> {
    let Some((last, others)) = chunks.split_last() else { return Err("an index is empty") };
    for chunk in chunks {
        check_name(&chunk.first)?;
    }
    if !chunks.is_sorted_by(|a, b| a.first < b.first) {
        return Err("chunks are out of order");
    }
    let sizes = MIN_CHUNK..=MAX_CHUNK;
    if !(1..=MAX_CHUNK).contains(&last.count) || others.iter().any(|chunk| !sizes.contains(&chunk.count)) {
        return Err("a chunk has an impossible number of entries");
    }
    if chunks.iter().map(|chunk| chunk.count).sum::<usize>() <= MAX_FLAT {
        return Err("an index has too few entries");
    }
    Ok(())
}

// Writing.

fn start(what: u8, about: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + about);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, what]);
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(match &entry.kind {
        Kind::File(content) => 1 + u8::from(content.sparse),
        Kind::Symlink(_) => 3,
        Kind::Fifo => 4,
        Kind::Dir(_) => 5,
    });
    put_bytes(out, &entry.name);
    out.extend_from_slice(&entry.meta.mode.to_le_bytes());
    let secs = entry.meta.mtime.secs;
    put_varint(out, ((secs << 1) ^ (secs >> 63)) as u64);
    put_varint(out, entry.meta.mtime.nanos.into());
    put_varint(out, entry.group);
    put_varint(out, entry.meta.xattrs.len() as u64);
    for (name, value) in &entry.meta.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
    match &entry.kind {
        Kind::File(content) => {
            out.extend_from_slice(content.digest.as_bytes());
            put_varint(out, content.size);
        }
        Kind::Symlink(target) => put_bytes(out, target),
        Kind::Fifo => {}
        Kind::Dir(tree) => out.extend_from_slice(tree.as_bytes()),
    }
}
