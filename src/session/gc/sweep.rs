//! The sweep: short moments alone, between which others go on.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::mark::Marks;
use super::{Options, Swept, quietly};
use crate::cas::store::Store;
use crate::cas::sweep::{Garbage, Name, Sweeping};
use crate::error::{Context, Result};
use crate::os::failpoint;
use crate::progress::Meter;

/// The longest time for which nobody can store anything. A start may meet it up to four
/// times, and is to wait no longer than 50 ms.
const HELD: Duration = Duration::from_millis(8);
/// Others wake up and go on before the lock is taken again.
const PAUSE: Duration = Duration::from_millis(1);
/// Tree bodies removed in one transaction: some milliseconds.
const BATCH: usize = 200;
/// How often the lock is given back because there is something to mark, which is done
/// better without it.
const TRIES: usize = 5;

/// What a dry run counts.
pub fn count_all(store: &Store, marks: &mut Marks<'_>, grace: Duration, swept: &mut Swept) -> Result<()> {
    for mark in &mut marks.projects {
        swept.trees += mark.unneeded()?.len() as u64;
    }
    for shard in store.shards()? {
        count(swept, &store.garbage(&shard, &marks.kept, grace)?);
    }
    swept.kept = marks.kept.len() as u64;
    Ok(())
}

/// Removes objects, then trees: only the latter takes space before it gives any.
pub fn all(marks: &mut Marks<'_>, options: Options, (swept, meter): (&mut Swept, &Meter)) -> Result<()> {
    let quiet = options.quiet;
    let store = marks.store;
    if meter.is_watched() {
        expect(store, marks, options.grace, meter)?;
    }
    for shard in store.shards()? {
        let kept = &marks.kept;
        let garbage = quietly(quiet, || store.garbage(&shard, kept, options.grace))?;
        let mut rest = garbage.as_slice();
        while !rest.is_empty() {
            let alone = alone(marks, quiet)?;
            let began = Instant::now();
            let (done, large) = remove(store, &alone, rest, &marks.kept, (swept, meter))?;
            release(alone, began);
            drop(large); // now the disk gets their blocks back
            rest = &rest[done..];
        }
    }
    for project in 0..marks.projects.len() {
        let unneeded = quietly(quiet, || marks.projects[project].unneeded())?;
        for batch in unneeded.chunks(BATCH) {
            let alone = alone(marks, quiet)?;
            let began = Instant::now();
            swept.trees += marks.drop_trees(project, batch)?;
            failpoint::at("gc.trees").context("remove trees of", marks.projects[project].manifest.path())?;
            release(alone, began);
        }
        marks.projects[project].manifest.checkpoint_if_large(true)?;
    }
    Ok(())
}

/// How much there will be to remove.
fn expect(store: &Store, marks: &Marks<'_>, grace: Duration, meter: &Meter) -> Result<()> {
    for shard in store.shards()? {
        let garbage = store.garbage(&shard, &marks.kept, grace)?;
        meter.expect(garbage.len() as u64, garbage.iter().map(|object| object.bytes).sum());
    }
    Ok(())
}

/// The store's lock, with everything marked that was committed before.
fn alone(marks: &mut Marks<'_>, quiet: bool) -> Result<Sweeping> {
    for _ in 0..TRIES {
        quietly(quiet && marks.have_moved()?, || marks.catch_up())?;
        let alone = marks.store.sweeping()?;
        if !marks.have_moved()? {
            return Ok(alone);
        }
    }
    let alone = marks.store.sweeping()?;
    marks.catch_up()?;
    Ok(alone)
}

/// Gives the lock back for at least as long as it was held.
fn release(alone: Sweeping, began: Instant) {
    let held = began.elapsed();
    drop(alone);
    std::thread::sleep(held.max(PAUSE));
}

/// Removes from the front until its time is over. Returns how many it has dealt with, and
/// descriptors of large ones: their blocks are given back when those are closed.
fn remove(
    store: &Store,
    alone: &Sweeping,
    garbage: &[Garbage],
    kept: &HashSet<Name>,
    (swept, meter): (&mut Swept, &Meter),
) -> Result<(usize, Vec<OwnedFd>)> {
    let (mut done, mut large) = (0, Vec::new());
    let began = Instant::now();
    for object in garbage {
        if done > 0 && began.elapsed() > HELD {
            break;
        }
        done += 1;
        if !kept.contains(&object.name) {
            large.extend(store.remove_object(alone, object)?);
            failpoint::at("gc.object").context("remove objects of", store.objects_path())?;
            count(swept, std::slice::from_ref(object));
            meter.file(object.bytes);
        }
    }
    Ok((done, large))
}

fn count(swept: &mut Swept, garbage: &[Garbage]) {
    swept.objects += garbage.len() as u64;
    swept.bytes += garbage.iter().map(|object| object.bytes).sum::<u64>();
}
