//! Contents that are lost are looked for where a copy may be: in the projects' directories
//! on the host, and in layers, whose files are real. Whatever is found is hashed; only
//! what has the digest is taken.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::cas::store::Publishing;
use crate::cas::verify::Needed;
use crate::cas::{Digest, Store, sparse};
use crate::error::{Context, Result};
use crate::os::beneath;
use crate::os::cursor::{c_name, split};
use crate::os::dir::{Dir, stat_fd};

/// Where a content may be: a directory, and a path below it.
pub type Place = (PathBuf, Vec<u8>);

/// Contents, and where they may be.
#[derive(Default)]
pub struct Copies(HashMap<Digest, Vec<Place>>);

/// Places that are tried for one content.
const MOST: usize = 100;

impl Copies {
    pub fn add(&mut self, digest: Digest, place: Place) {
        let places = self.0.entry(digest).or_default();
        if places.len() < MOST && !places.contains(&place) {
            places.push(place);
        }
    }

    /// Puts a content back into the store from the first place that has it; returns which
    /// one that was. The object must not be there.
    pub fn take_back(&self, store: &Store, token: &Publishing, needed: &Needed) -> Option<PathBuf> {
        let places = self.0.get(&needed.digest)?;
        let has_it = |(top, path): &&Place| {
            // unreadable, gone, changed meanwhile: it is not there
            take(store, token, (top.as_path(), path.as_slice()), needed).unwrap_or(false)
        };
        let (top, path) = places.iter().find(has_it)?;
        Some(top.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path)))
    }
}

fn take(store: &Store, token: &Publishing, (top, path): (&Path, &[u8]), needed: &Needed) -> Result<bool> {
    let Some((parent, name)) = split(path) else { return Ok(false) };
    let dir = beneath::open_dir(&Dir::open(top)?, parent)?;
    let name = c_name(name)?;
    if dir.stat(&name)?.kind != FileType::RegularFile {
        return Ok(false);
    }
    let file = dir.open_file(&name)?;
    let stat = stat_fd(&file).context("stat", dir.join(&name))?;
    if stat.kind != FileType::RegularFile || stat.size != needed.size {
        return Ok(false);
    }
    let incoming = store.receive()?;
    let mut buffer = vec![0u8; 1 << 20];
    for (start, end) in sparse::extents(file.as_fd(), stat.size).context("read", dir.join(&name))? {
        let mut at = start;
        while at < end {
            let want = buffer.len().min(usize::try_from(end - at).unwrap_or(buffer.len()));
            let got =
                sparse::read_full(file.as_fd(), &mut buffer[..want], at).context("read", dir.join(&name))?;
            if got == 0 {
                return Ok(false); // it became shorter
            }
            incoming.write(&buffer[..got], at)?;
            at += got as u64;
        }
    }
    incoming.publish(token, &needed.digest, needed.size, needed.sparse)
}
