//! Host stamps of what an apply wrote: the next sync does not read it again.
//!
//! A name is stamped as it is after all was done, if it still is what was put there and nobody
//! could change it any more without its times showing that (rule 19): either the filesystem
//! tells times apart that were asked for (Linux 6.13), or its clock has moved on since. Anything
//! else gets the stamp of what must be read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use super::journal::Journal;
use super::plan::{Act, Plan, Step};
use crate::error::Result;
use crate::manifest::Manifest;
use crate::manifest::dir::{lookup, write_root};
use crate::manifest::edit::Edit;
use crate::manifest::node::{Entry, Kind, Meta};
use crate::manifest::onto::apply_onto;
use crate::manifest::stamp::{Packer, Stamp};
use crate::os::beneath::Latest;
use crate::os::cursor::{c_name, split};
use crate::os::dir::{Dir, Stat, stat_fd};
use crate::session::sync::{clock_of, stamp_of};

/// How long to wait for a filesystem's clock, which moves at least every 10 ms.
const PATIENCE: u32 = 20;

/// What an apply wrote, as it is now.
#[derive(Default)]
pub struct Written {
    edits: Vec<(Vec<u8>, Edit)>,
    /// By directory and name; `None`: the name is gone.
    names: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Option<Stamp>>>,
    made: HashSet<Vec<u8>>,
    gone: Vec<Vec<u8>>,
}

impl Written {
    /// Looks at all that was written. `quick`: without waiting for a clock.
    pub fn look(top: &Dir, plan: &Plan, journal: &Journal, quick: bool) -> Result<Self> {
        let mut written = Self::default();
        let mut seen = Vec::new();
        let mut latest = Latest::default();
        let inodes: HashMap<&[u8], u64> =
            journal.swaps.iter().filter_map(|swap| Some((swap.path.as_slice(), swap.new?))).collect();
        let dressed =
            |step: &&Step| step.act != Act::Nothing || journal.dirs.iter().any(|dir| dir.path == step.path);
        for step in plan.steps.iter().filter(|step| !step.own).filter(dressed) {
            written.edits.extend(edit(step));
            let Some((above, name)) = split(&step.path) else { continue };
            let stat = match latest.dir(top, above) {
                Ok(dir) => dir.stat_if_there(&c_name(name)?)?,
                Err(_) => None,
            };
            let was_dir = step.theirs.as_ref().is_some_and(Entry::is_dir);
            let is_dir = step.result.as_ref().is_some_and(Entry::is_dir);
            if was_dir && !is_dir {
                written.gone.push(step.path.clone());
            }
            if is_dir && !was_dir {
                written.made.insert(step.path.clone());
            }
            let stamp = match (&step.result, &stat) {
                (None, None) => None,
                (Some(entry), Some(stat)) => {
                    let same = inodes.get(step.path.as_slice()).is_none_or(|ino| *ino == stat.ino);
                    if same && is(entry, stat) {
                        seen.push((above.to_vec(), name.to_vec(), *stat));
                    }
                    Some(Stamp::RACY)
                }
                _ => Some(Stamp::RACY),
            };
            written.names.entry(above.to_vec()).or_default().insert(name.to_vec(), stamp);
        }
        let settled = settled(top, &seen, quick);
        for (above, name, stat) in seen {
            if settled.is_none_or(|clock| stat.ctime < clock && stat.mtime < clock) {
                written.names.entry(above).or_default().insert(name, Some(stamp_of(&stat)));
            }
        }
        Ok(written)
    }

    /// Records it, where sync has stamped all the directories in question.
    pub fn record(self, manifest: &Manifest) -> Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        manifest.transaction(|manifest| {
            let Some(top) = manifest.stamps_of(b"")? else { return Ok(()) };
            let root = Entry { name: Vec::new(), meta: Meta::default(), group: 0, kind: Kind::Dir(top.tree) };
            let stamped = write_root(manifest, &root)?;
            for dir in self.names.keys().filter(|dir| !self.made.contains(*dir)) {
                if manifest.stamps_of(dir)?.is_none() && !self.gone.contains(dir) {
                    return Ok(());
                }
            }
            let now = apply_onto(manifest, &stamped, self.edits, &|_| Ok(None))?;
            // the trees above change with those below
            let mut dirs: HashSet<&[u8]> = HashSet::from([&b""[..]]);
            for dir in self.names.keys() {
                let ends = dir.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
                dirs.extend(ends.chain([dir.len()]).map(|end| &dir[..end]));
            }
            dirs.extend(self.made.iter().map(Vec::as_slice));
            self.gone.iter().try_for_each(|dir| manifest.remove_stamps(dir))?;
            for dir in dirs {
                let tree = match dir {
                    b"" => crate::manifest::dir::read_root(manifest, &now)?.tree(),
                    dir => lookup(manifest, &now, dir)?.and_then(|entry| entry.tree()),
                };
                let Some(tree) = tree else { continue };
                let empty = BTreeMap::new();
                let names = self.names.get(dir).unwrap_or(&empty);
                let mut packer = Packer::default();
                let before = match self.made.contains(dir) {
                    true => None,
                    false => manifest.stamps_of(dir)?,
                };
                let mut known = HashSet::new();
                for (name, stamp) in before.iter().flat_map(|before| before.iter()) {
                    known.insert(name.to_vec());
                    match names.get(name) {
                        None => packer.push(name, &stamp),
                        Some(Some(stamp)) => packer.push(name, stamp),
                        Some(None) => {}
                    }
                }
                for (name, stamp) in names.iter().filter(|(name, _)| !known.contains(*name)) {
                    stamp.iter().for_each(|stamp| packer.push(name, stamp));
                }
                manifest.put_stamps(dir, &tree, &packer.finish())?;
            }
            Ok(())
        })
    }
}

/// The filesystem's clock once it is later than all of these, or as it is; `None`: times that
/// were asked for are told from later ones.
fn settled(top: &Dir, seen: &[(Vec<u8>, Vec<u8>, Stat)], quick: bool) -> Option<(i64, u32)> {
    if tells_apart(top) {
        return None;
    }
    let latest = seen.iter().map(|(.., stat)| stat.ctime).max().unwrap_or_default();
    let mut clock = clock_of(top.path());
    for _ in 0..if quick { 0 } else { PATIENCE } {
        if clock > latest {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        clock = clock_of(top.path());
    }
    Some(clock)
}

/// Whether a change gets another time than one that was asked for: then the second stamp
/// is later than the kernel's coarse clock.
fn tells_apart(top: &Dir) -> bool {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let look = || {
        let file = rustix::fs::openat(top, c".", flags, Mode::RUSR)?;
        stat_fd(&file)?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        let stat = stat_fd(&file)?;
        let coarse = clock_gettime(ClockId::RealtimeCoarse);
        Ok::<_, rustix::io::Errno>((stat.ctime.0, i64::from(stat.ctime.1)) > (coarse.tv_sec, coarse.tv_nsec))
    };
    look().unwrap_or(false)
}

/// Whether a name is as it was to be; what an `ls` does not tell is not vouched for.
fn is(entry: &Entry, stat: &Stat) -> bool {
    let mtime = (entry.meta.mtime.secs, entry.meta.mtime.nanos);
    let kind = match &entry.kind {
        Kind::File(content) => stat.kind == rustix::fs::FileType::RegularFile && stat.size == content.size,
        Kind::Symlink(_) => stat.kind == rustix::fs::FileType::Symlink,
        Kind::Fifo => stat.kind == rustix::fs::FileType::Fifo,
        Kind::Dir(_) => stat.kind == rustix::fs::FileType::Directory,
    };
    let mode = matches!(entry.kind, Kind::Symlink(_)) || stat.mode == entry.meta.mode;
    kind && mode && stat.mtime == mtime && entry.meta.xattrs.is_empty()
}

fn edit(step: &Step) -> Option<(Vec<u8>, Edit)> {
    let edit = match &step.result {
        None if matches!(step.act, Act::Gone) => return None,
        None => Edit::Remove,
        Some(entry) if entry.is_dir() => {
            let was_dir = step.theirs.as_ref().is_some_and(Entry::is_dir);
            Edit::Dir { meta: entry.meta.clone(), opaque: !was_dir && !step.path.is_empty() }
        }
        Some(entry) => Edit::Put(entry.clone()),
    };
    Some((step.path.clone(), edit))
}
