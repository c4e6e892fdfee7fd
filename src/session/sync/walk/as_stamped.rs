//! Directories as a whole: those that are as they were, in which nothing is looked at but
//! directories, and those that are repositories.

use std::sync::{Arc, Mutex};

use rustix::fs::FileType;

use super::{At, Gathered, Item, Walk, WalkedDir, join, lock};
use crate::error::Result;
use crate::os::crew::Jobs;
use crate::os::dir::{Dir, Name};
use crate::os::held::{Held, Holder};
use crate::session::sync::known::{Known, stamp_of};
use crate::session::sync::repository::Part;

impl Walk<'_> {
    /// Goes on below a directory that is as stamped, if those in it are too; no file is
    /// looked at. False: it is to be read.
    pub(super) fn directories(
        &self,
        jobs: &Jobs<Item>,
        gathered: &Mutex<Gathered>,
        (dir, holder): (&Arc<Held>, &Holder),
        path: &[u8],
        names: &[Name],
    ) -> Result<bool> {
        let Some(stamps) = self.stamps.get(path) else { return Ok(false) };
        let mut known = Known::new(Some(stamps));
        let (mut children, mut opened) = (Vec::new(), Vec::new());
        for name in names {
            match name.kind {
                FileType::Unknown => return Ok(false),
                FileType::Directory => {}
                _ => continue,
            }
            let inner = join(path, name.name.to_bytes());
            if self.classes.in_tier1(&inner, true) {
                opened.push(inner);
                continue;
            }
            match dir.stat_if_there(&name.name)? {
                Some(stat) if known.vouches(name.name.to_bytes(), &stamp_of(&stat)) => {
                    children.push((name, inner))
                }
                _ => return Ok(false),
            }
        }
        let subdirs = children.iter().map(|(name, _)| name.name.to_bytes().to_vec()).collect();
        let held = (!holder.is_full()).then(|| dir.clone());
        for (name, path) in children {
            let at = At { path, own: false, tier1: true, as_stamped: true, rules: None, part: Part::Any };
            jobs.give(Item::Child { parent: held.clone(), name: name.name.clone(), at });
        }
        let mut gathered = lock(gathered);
        gathered.walked.still_there += stamps.iter().count();
        gathered.walked.own.extend(opened.iter().cloned());
        gathered.walked.open.extend(opened);
        gathered.walked.dirs.push(WalkedDir { path: path.to_vec(), own: false, subdirs, listing: None });
        Ok(true)
    }

    /// Whether a repository's refs and objects are directories of its own.
    pub(super) fn has_refs(&self, dir: &Dir, path: &[u8], dev: (u32, u32)) -> Result<bool> {
        for name in [c"refs", c"objects"] {
            let Some(stat) = dir.stat_if_there(name)? else { return Ok(false) };
            let class = self.classes.of_path(None, &join(path, name.to_bytes()), true, false);
            if stat.kind != FileType::Directory || stat.dev != dev || class.is_mounted() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
