//! What of an upper changed since a moment: one of several runs that write to it may have
//! written that.
//!
//! A moment is the clock of the upper's filesystem, and the names that were there: a file
//! tells by its ctime that it changed, but a whiteout does not (one inode stands for many), and
//! what is gone tells nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxFlags};
use serde::{Deserialize, Serialize};

use super::escape;
use super::upper::{below, is_ours};
use crate::error::{Context, Result};
use crate::manifest::dir::tree_order;
use crate::manifest::node::Xattrs;
use crate::os::beneath;
use crate::os::dir::{Dir, Stat};

/// A moment in the life of an upper.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Since {
    clock: (i64, u32),
    /// Path and inode, as the directories had them.
    names: Vec<(Vec<u8>, u64)>,
    #[serde(skip)]
    by_path: HashMap<Vec<u8>, u64>,
}

impl Since {
    /// Now. `clock`: what the filesystem's clock says; the names are read after it.
    pub fn now(upper: &Path, clock: (i64, u32)) -> Result<Self> {
        let top = Dir::open(upper)?;
        let (mut names, mut dirs) = (Vec::new(), vec![Vec::new()]);
        while let Some(path) = dirs.pop() {
            let listed = match beneath::open_dir(&top, &path).and_then(|dir| dir.names()) {
                Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) => continue, // gone
                other => other?,
            };
            for name in listed.iter().filter(|name| !is_ours(&name.name)) {
                let inner = below(&path, &name.name);
                if matches!(name.kind, FileType::Directory | FileType::Unknown) {
                    dirs.push(inner.clone());
                }
                names.push((inner, name.ino));
            }
        }
        Ok(Self { clock, names, by_path: HashMap::new() })
    }

    /// Ready to be asked.
    pub fn indexed(mut self) -> Self {
        self.by_path = self.names.iter().cloned().collect();
        self
    }

    /// Whether a name came, or what it names was written to, or dressed otherwise.
    pub(super) fn is_changed(&self, path: &[u8], stat: &Stat) -> bool {
        let is_whiteout = stat.kind == FileType::CharacterDevice && stat.rdev == (0, 0);
        match self.by_path.get(path) {
            None if path.is_empty() => stat.ctime >= self.clock,
            Some(ino) if *ino == stat.ino => !is_whiteout && stat.ctime >= self.clock,
            _ => true,
        }
    }

    /// Whether a directory is not the one that was there; where its birth is not told, one
    /// that changed counts as new.
    pub(super) fn is_new(&self, path: &[u8], dir: &Dir, stat: &Stat) -> bool {
        let born = || {
            let found = rustix::fs::statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
            let told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
            told.then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
        };
        match self.by_path.get(path) {
            None => !path.is_empty(),
            Some(ino) if *ino == stat.ino => born().unwrap_or(stat.ctime) >= self.clock,
            Some(_) => true,
        }
    }

    /// Names that are not there any more, but for what lies in another of them.
    pub(super) fn gone(&self, there: &HashSet<&[u8]>) -> Vec<Vec<u8>> {
        let mut gone: Vec<&Vec<u8>> =
            self.names.iter().map(|(path, _)| path).filter(|path| !there.contains(path.as_slice())).collect();
        gone.sort_unstable_by(|a, b| tree_order(a, b));
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for path in gone {
            let within = kept.last().is_some_and(|above| {
                path.strip_prefix(above.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
            });
            if !within {
                kept.push(path.clone());
            }
        }
        kept
    }
}

/// How many names an upper holds and a digest of them all with their inodes and times: two are
/// equal as long as nothing was written. Beyond `most` names it is another one than any.
pub fn print(upper: &Path, most: usize) -> Result<String> {
    let top = Dir::open(upper)?;
    let mut hasher = blake3::Hasher::new();
    let mut add = |path: &[u8], stat: &Stat, xattrs: &Xattrs| {
        hasher.update(path);
        let is_dir = stat.kind == FileType::Directory;
        // overlayfs marks directories, which moves their ctime, and entries come in any order
        let times = [stat.mtime, if is_dir { (0, 0) } else { stat.ctime }];
        for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        for number in [stat.ino, u64::from(stat.mode), if is_dir { 0 } else { stat.size }] {
            hasher.update(&number.to_le_bytes());
        }
        for (secs, nanos) in times {
            hasher.update(&secs.to_le_bytes());
            hasher.update(&nanos.to_le_bytes());
        }
    };
    let (mut count, mut dirs) = (0, vec![Vec::new()]);
    while let Some(path) = dirs.pop() {
        let dir = beneath::open_dir(&top, &path)?;
        let xattrs =
            escape::read_xattrs(&dir, escape::From::Upper).context("read attributes of", dir.path())?;
        add(&path, &dir.stat_self()?, &xattrs);
        let mut names = dir.names()?;
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        count += names.len();
        if count > most {
            return Ok("more".into());
        }
        for name in names {
            let (inner, stat) = (below(&path, &name.name), dir.stat(&name.name)?);
            match stat.kind {
                FileType::Directory => dirs.push(inner),
                _ => add(&inner, &stat, &Xattrs::new()),
            }
        }
    }
    Ok(format!("{count} {}", hasher.finalize().to_hex()))
}
