//! Writing and checking tables (`layout` says what is in one).
//!
//! One walk in parallel, then one pass over what was found: linear in the names.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::layout::{self, Table, first_slot, hash, root_seed, slot_of};
use super::layout::{CHECKED, COARSE, COMPLETE, Entry, HEADER, MAGIC, PROBES, Shape};
use super::list::{Found, Listed, list};
use crate::cas::Digest;
use crate::error::{Context, Error, Result, quoted};
use crate::os::dir::Dir;
use crate::os::link::link_unnamed;

/// What a table is made of.
pub struct Wanted<'a> {
    /// The lower tree on disk. It must not change while the table is in use.
    pub base: &'a Path,
    /// Its number and generation.
    pub version: (i64, i64),
    /// Tier-1 directories, relative to it; none within another.
    pub roots: &'a [Vec<u8>],
    /// What of them something else is shown for, relative to the base as well.
    pub except: &'a [Vec<u8>],
    /// The store's objects, where files are stubs that show those.
    pub objects: Option<BorrowedFd<'a>>,
    /// Files may share their inode with others (rule 29).
    pub coarse: bool,
}

impl Wanted<'_> {
    /// Two that ask for the same have the same.
    pub fn digest(&self) -> Digest {
        let mut text = format!("{:?} {} {}", self.version, self.coarse, self.objects.is_some()).into_bytes();
        text.extend_from_slice(&rustix::process::geteuid().as_raw().to_ne_bytes());
        for list in [self.roots, self.except] {
            text.extend_from_slice(&list.len().to_ne_bytes());
            for path in list {
                text.extend_from_slice(&path.len().to_ne_bytes());
                text.extend_from_slice(path);
            }
        }
        Digest::of(&text)
    }
}

/// Makes a table, in memory.
pub fn build(wanted: &Wanted<'_>) -> Result<Vec<u8>> {
    let found = list(wanted)?;
    let bits = if wanted.coarse { COARSE } else { 0 };
    Draft::new(found, bits).and_then(|draft| draft.bytes(wanted)).ok_or_else(|| {
        Error::failure("the Tier-1 directories have more names than a table holds")
            .with_hint("declare fewer, or run with --no-psfs")
    })
}

/// Makes the table at a path, unless it is there and was made of the same. It gets its name
/// once it is whole.
pub fn publish(path: &Path, wanted: &Wanted<'_>) -> Result<()> {
    if is_made_of(path, wanted) {
        return Ok(());
    }
    let bytes = build(wanted)?;
    let dir = Dir::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    let write = || -> std::io::Result<()> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&dir, c".", flags, Mode::from_raw_mode(0o444))?);
        file.write_all(&bytes)?;
        file.sync_data()?;
        loop {
            match link_unnamed(&file, &dir, name) {
                Err(Errno::EXIST) if is_made_of(path, wanted) => return Ok(()),
                Err(Errno::EXIST) => match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno.into()),
                },
                linked => return Ok(linked?),
            }
        }
    };
    write().context("write", path)
}

/// Whether a table was made of this, by its header.
fn is_made_of(path: &Path, wanted: &Wanted<'_>) -> bool {
    let mut header = [0; HEADER];
    let read = File::open(path).and_then(|mut file| {
        file.read_exact(&mut header)?;
        file.metadata()
    });
    read.is_ok_and(|meta| layout::size(&header) == Some(meta.len()))
        && layout::wanted(&header) == Some(*wanted.digest().as_bytes())
}

/// Reads all of a table; an error says what is wrong with it.
pub fn check(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).context("read", path)?;
    let wrong = |what: &str| {
        let message = format!("the table {} {what}", quoted(path.as_os_str()));
        Error::corrupt(message).with_hint("remove it: the next run makes it anew")
    };
    let table = Table::open(&bytes).ok_or_else(|| wrong("has a header that is not right"))?;
    let (digest, body) = table.body().ok_or_else(|| wrong("is cut short"))?;
    if Digest::of(body).as_bytes() != &digest {
        return Err(wrong("is not what was written"));
    }
    Ok(())
}

/// A table that is being put together.
struct Draft {
    shape: Shape,
    roots: Vec<u32>,
    entries: Vec<Entry>,
    dirs: Vec<layout::Dir>,
    dir_slots: Vec<u64>,
    entry_slots: Vec<u64>,
    pool: Vec<u8>,
}

impl Draft {
    /// `None`: more than 32-bit numbers can count.
    fn new(found: Found, bits: u32) -> Option<Self> {
        let count = found.roots.len() + found.dirs.iter().map(|dir| dir.names.len()).sum::<usize>();
        let mut draft = Self {
            shape: Shape {
                roots: count_of(found.roots.len())?,
                dirs: count_of(found.dirs.len())?,
                entries: count_of(count)?,
                dir_slots: slots_for(found.dirs.len())?,
                entry_slots: slots_for(count)?,
                bits,
                block_size: found.block_size,
                pool: 0,
            },
            roots: Vec::new(),
            entries: Vec::with_capacity(count),
            dirs: Vec::with_capacity(found.dirs.len()),
            dir_slots: Vec::new(),
            entry_slots: Vec::new(),
            pool: Vec::new(),
        };
        draft.dir_slots = vec![0; draft.shape.dir_slots as usize];
        draft.entry_slots = vec![0; draft.shape.entry_slots as usize];
        for entry in found.roots {
            draft.roots.push(count_of(draft.entries.len())?);
            // no directory has this number: a root is found by its path alone
            draft.entries.push(Entry { dir: u32::MAX, ..entry });
        }
        for listed in found.dirs {
            draft.add(listed)?;
        }
        draft.shape.pool = count_of(draft.pool.len())?;
        Some(draft)
    }

    fn add(&mut self, listed: Listed) -> Option<()> {
        let number = count_of(self.dirs.len())?;
        let seed = root_seed(listed.root);
        place(&mut self.dir_slots, hash(&listed.path, seed), number);
        let bits = if listed.complete { COMPLETE } else { 0 };
        let length = u16::try_from(listed.path.len()).ok()?;
        let path = self.put(&listed.path)?;
        self.dirs.push(layout::Dir { path, length, bits, root: listed.root });
        let mut below = listed.path;
        if !below.is_empty() {
            below.push(b'/');
        }
        let before = below.len();
        for (name, entry) in listed.names {
            below.truncate(before);
            below.extend_from_slice(&name);
            place(&mut self.entry_slots, hash(&below, seed), count_of(self.entries.len())?);
            let length = u8::try_from(name.len()).ok()?;
            let name = self.put(&name)?;
            self.entries.push(Entry { dir: number, name, length, ..entry });
        }
        Some(())
    }

    fn put(&mut self, text: &[u8]) -> Option<u32> {
        let at = count_of(self.pool.len())?;
        self.pool.extend_from_slice(text);
        Some(at)
    }

    fn bytes(&self, wanted: &Wanted<'_>) -> Option<Vec<u8>> {
        let places = self.shape.places()?;
        let mut bytes = Vec::with_capacity(places.end);
        bytes.resize(HEADER, 0);
        self.roots.iter().for_each(|root| bytes.extend(root.to_ne_bytes()));
        bytes.resize(places.entries, 0);
        self.entries.iter().for_each(|entry| put_entry(&mut bytes, entry));
        bytes.resize(places.dirs, 0);
        self.dirs.iter().for_each(|dir| put_dir(&mut bytes, dir));
        for slots in [&self.dir_slots, &self.entry_slots] {
            slots.iter().for_each(|slot| bytes.extend(slot.to_ne_bytes()));
        }
        bytes.extend_from_slice(&self.pool);
        let body = Digest::of(bytes.get(HEADER..)?);
        let shape = &self.shape;
        let counts = [
            shape.roots,
            shape.dirs,
            shape.entries,
            shape.dir_slots,
            shape.entry_slots,
            shape.bits,
            shape.block_size,
            shape.pool,
        ];
        let mut header = MAGIC.to_vec();
        header.extend((bytes.len() as u64).to_ne_bytes());
        counts.iter().for_each(|count| header.extend(count.to_ne_bytes()));
        header.extend_from_slice(wanted.digest().as_bytes());
        header.extend_from_slice(body.as_bytes());
        debug_assert_eq!(header.len(), CHECKED);
        header.extend(hash(&header, 0).to_ne_bytes());
        bytes.get_mut(..HEADER)?.copy_from_slice(&header);
        Some(bytes)
    }
}

fn count_of(number: usize) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number < u32::MAX)
}

/// Half of them are taken: with two thirds one search in a thousand would not come to an
/// empty slot within `PROBES` (Knuth, The Art of Computer Programming, 6.4).
fn slots_for(count: usize) -> Option<u32> {
    count_of(count.saturating_mul(2).max(2))
}

/// Takes a slot; where none is free, nobody will ask further than these either.
fn place(slots: &mut [u64], hash: u64, number: u32) {
    let count = slots.len();
    let first = first_slot(hash, u32::try_from(count).unwrap_or(u32::MAX));
    for at in (first..first + PROBES.min(count)).map(|at| at % count) {
        if let Some(slot @ 0) = slots.get_mut(at) {
            *slot = slot_of(hash, number);
            return;
        }
    }
}

fn put_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    let times = [entry.atime.0, entry.mtime.0, entry.ctime.0, entry.btime.0];
    let long = [entry.ino, entry.size, entry.blocks].into_iter().chain(times);
    long.for_each(|number| bytes.extend(number.to_ne_bytes()));
    [entry.nlink, entry.dir, entry.name].iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
    bytes.extend(entry.mode.to_ne_bytes());
    bytes.extend([entry.length, entry.bits]);
}

fn put_dir(bytes: &mut Vec<u8>, dir: &layout::Dir) {
    bytes.extend(dir.path.to_ne_bytes());
    bytes.extend(dir.length.to_ne_bytes());
    bytes.extend(dir.bits.to_ne_bytes());
    bytes.extend(dir.root.to_ne_bytes());
    bytes.extend([0; 4]);
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
