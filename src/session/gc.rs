//! Removing what nothing needs any more: mark over every project, then sweep.
//!
//! One collection at a time (`STORE/gc.lock`). It refuses when a manifest cannot be read:
//! what that one names is not known. The mark holds no lock. Each step of the sweep takes
//! the store's lock alone, for some milliseconds, marks what has changed since, and removes
//! what is still not needed (rule 15). Killed anywhere it has removed only garbage.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::project::{identity, registry};
use super::record::Record;
use crate::cas::Digest;
use crate::cas::store::Store;
use crate::cas::sweep::{Garbage, Name, Sweeping};
use crate::config::{Config, amount, keys};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::reach::{Part, Reach};
use crate::os::lock::{Hold, Lock};
use crate::progress::Meter;

/// What a collection is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nothing is removed.
    pub dry_run: bool,
    /// Objects that changed within this time are left alone.
    pub grace: Duration,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub objects: u64,
    /// Bytes of disk that the objects took.
    pub bytes: u64,
    pub trees: u64,
    /// Old states forgotten.
    pub heads: u64,
    /// Objects that are needed.
    pub kept: u64,
}

/// The longest time for which nobody can store anything.
const HELD: Duration = Duration::from_millis(20);
/// Tree bodies removed in one transaction.
const BATCH: usize = 500;
/// What old heads alone may hold when nothing is configured: as much as is live, at least this.
const LEAST_HISTORY: u64 = 2 << 30;

/// Collects.
pub fn gc(store: &Store, options: Options, meter: &Meter) -> Result<Swept> {
    let alone = Lock::attempt(&store.root().join("gc.lock"), Hold::Exclusive)?;
    let _alone = alone.ok_or_else(|| {
        Error::new(Kind::Busy, "another vrift gc is at work on this store").with_hint("let it finish")
    })?;
    let manifests = manifests(store)?;
    let mut swept = Swept::default();
    let mut marks = Vec::new();
    let mut kept = HashSet::new();
    for (dir, manifest) in &manifests {
        if !options.dry_run {
            manifest.drop_deleted_workspaces()?;
        }
        let mut mark = Mark::new(manifest, dir)?;
        mark.live(&mut kept)?;
        let expired = mark.history(limit_of(manifest)?, &mut kept)?;
        swept.heads += expired.len() as u64;
        if !options.dry_run && !expired.is_empty() {
            manifest.drop_heads(&expired)?;
        }
        marks.push(mark);
    }
    if options.dry_run {
        for mark in &marks {
            swept.trees += mark.unneeded()?.len() as u64;
        }
        for shard in store.shards()? {
            count(&mut swept, &store.garbage(&shard, &kept, options.grace)?);
        }
    } else {
        sweep_trees(store, &mut marks, &mut kept, &mut swept)?;
        sweep_objects(store, &mut marks, &mut kept, options.grace, (&mut swept, meter))?;
    }
    swept.kept = kept.len() as u64;
    Ok(swept)
}

/// Every project's manifest, with the project's directory in the store.
fn manifests(store: &Store) -> Result<Vec<(std::path::PathBuf, Manifest)>> {
    let mut opened = Vec::new();
    for known in registry::list(store)? {
        if let Some(why) = known.broken {
            return Err(Error::failure(format!("nothing is removed: {why}")).with_hint(format!(
                "what that project needs is not known; if it is not wanted any more: vrift project forget {}",
                known.id
            )));
        }
        let dir = store.projects_path().join(&known.id);
        opened.push((dir.clone(), Manifest::open(&dir)?));
    }
    Ok(opened)
}

/// `history.bytes` as it is set for the project, where it is.
fn limit_of(manifest: &Manifest) -> Result<Option<u64>> {
    let Some(root) = identity::path_of(manifest)? else { return Ok(None) };
    Config::load(&root, &[], None)?.text(keys::HISTORY_BYTES).map(amount::bytes).transpose()
}

/// What one project needs, as far as it has been walked.
struct Mark<'a> {
    manifest: &'a Manifest,
    dir: &'a Path,
    reach: Reach<'a>,
    version: i64,
    /// Bytes of contents that have been shown.
    bytes: u64,
}

impl<'a> Mark<'a> {
    fn new(manifest: &'a Manifest, dir: &'a Path) -> Result<Self> {
        let version = manifest.data_version()?;
        Ok(Self { manifest, dir, reach: Reach::new(manifest), version, bytes: 0 })
    }

    /// Marks what rows name, and what sessions started from.
    fn live(&mut self, kept: &mut HashSet<Name>) -> Result<()> {
        for root in self.manifest.named_roots()?.into_iter().chain(started_from(self.dir)?) {
            self.root(&root, kept)?;
        }
        Ok(())
    }

    fn root(&mut self, root: &Digest, kept: &mut HashSet<Name>) -> Result<()> {
        let bytes = &mut self.bytes;
        self.reach.walk(root, &mut |part| {
            if let Part::File(content) = part {
                *bytes += content.size;
                kept.insert(content.digest.object_name());
            }
            Ok(())
        })
    }

    /// Marks old heads, newest first, as long as they are to be kept. Returns the numbers of
    /// those that are not.
    fn history(&mut self, limit: Option<u64>, kept: &mut HashSet<Name>) -> Result<Vec<i64>> {
        let live = self.bytes;
        let limit = limit.unwrap_or(live.max(LEAST_HISTORY));
        let mut expired = Vec::new();
        for head in self.manifest.old_heads()? {
            let full = self.bytes - live > limit;
            if !head.always && (head.expired || full) {
                expired.push(head.number);
                continue;
            }
            self.root(&head.root, kept)?;
        }
        Ok(expired)
    }

    /// Marks what has been committed since. True when there was anything.
    fn again(&mut self, kept: &mut HashSet<Name>) -> Result<bool> {
        let version = self.manifest.data_version()?;
        if version == self.version {
            return Ok(false);
        }
        self.version = version;
        self.live(kept)?;
        // heads that are left are kept by now, and so is what has become one since
        let heads = self.manifest.old_heads()?;
        heads.iter().try_for_each(|head| self.root(&head.root, kept))?;
        Ok(true)
    }

    fn unneeded(&self) -> Result<Vec<Digest>> {
        let trees = self.manifest.trees()?;
        Ok(trees.into_iter().filter(|tree| !self.reach.has_shown(tree)).collect())
    }
}

/// The roots that sessions started from, live and orphaned ones.
fn started_from(dir: &Path) -> Result<Vec<Digest>> {
    let staging = dir.join("staging");
    let mut roots = Vec::new();
    let entries = match std::fs::read_dir(&staging) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(roots),
        entries => entries.context("read", &staging)?,
    };
    for entry in entries {
        let path = entry.context("read", &staging)?.path();
        // a spare's record names a root that nobody needs, and may be gone
        let is_session = path.extension().is_none() && path.is_dir();
        if let Some(record) = is_session.then(|| Record::read(&path)).transpose()?.flatten() {
            roots.push(record.start_root()?);
        }
    }
    Ok(roots)
}

/// Marks what any project has committed since the last look.
fn catch_up(marks: &mut [Mark<'_>], kept: &mut HashSet<Name>) -> Result<()> {
    marks.iter_mut().try_for_each(|mark| mark.again(kept).map(drop))
}

fn sweep_trees(
    store: &Store,
    marks: &mut [Mark<'_>],
    kept: &mut HashSet<Name>,
    swept: &mut Swept,
) -> Result<()> {
    for mark in marks {
        let unneeded = mark.unneeded()?;
        for batch in unneeded.chunks(BATCH) {
            let _alone = store.sweeping()?;
            mark.again(kept)?;
            let still: Vec<Digest> =
                batch.iter().filter(|tree| !mark.reach.has_shown(tree)).copied().collect();
            mark.manifest.drop_trees(&still)?;
            swept.trees += still.len() as u64;
        }
        mark.manifest.checkpoint_if_large(true)?;
    }
    Ok(())
}

fn sweep_objects(
    store: &Store,
    marks: &mut [Mark<'_>],
    kept: &mut HashSet<Name>,
    grace: Duration,
    (swept, meter): (&mut Swept, &Meter),
) -> Result<()> {
    for shard in store.shards()? {
        let garbage = store.garbage(&shard, kept, grace)?;
        let mut rest = garbage.as_slice();
        while !rest.is_empty() {
            catch_up(marks, kept)?; // most of it before the lock
            let alone = store.sweeping()?;
            let began = Instant::now();
            catch_up(marks, kept)?;
            let done = remove(store, &alone, rest, kept, began, (swept, meter))?;
            rest = &rest[done..];
        }
    }
    Ok(())
}

/// Removes from the front until its time is over; returns how many it has dealt with.
fn remove(
    store: &Store,
    alone: &Sweeping,
    garbage: &[Garbage],
    kept: &HashSet<Name>,
    began: Instant,
    (swept, meter): (&mut Swept, &Meter),
) -> Result<usize> {
    let mut done = 0;
    for object in garbage {
        if done > 0 && began.elapsed() > HELD {
            break;
        }
        done += 1;
        if !kept.contains(&object.name) {
            store.remove_object(alone, &object.name)?;
            count(swept, std::slice::from_ref(object));
            meter.file(object.bytes);
        }
    }
    Ok(done)
}

fn count(swept: &mut Swept, garbage: &[Garbage]) {
    swept.objects += garbage.len() as u64;
    swept.bytes += garbage.iter().map(|object| object.bytes).sum::<u64>();
}
