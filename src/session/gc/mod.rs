//! Removing what nothing needs any more: put away, mark over every project, then sweep.
//!
//! One collection at a time (`STORE/gc.lock`). It refuses when a manifest cannot be read:
//! what that one names is not known. The mark holds no lock. Each step of the sweep takes
//! the store's lock alone, for some milliseconds, marks what has changed since, and removes
//! what is still not needed (rule 15). Killed anywhere it has removed only garbage.
//!
//! A quiet collection, which nobody asked for, runs at idle priority, but for the moments in
//! which it holds a lock that somebody may wait for: on a busy machine an idle thread is not
//! run for seconds.

mod background;
mod mark;
mod sweep;
mod tidy;

use std::time::Duration;

pub use background::start_if_due;

use self::mark::Marks;
use super::project::registry;
use super::protect;
use super::record::now_ms;
use crate::cas::store::Store;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::run::Run;
use crate::os::failpoint;
use crate::os::idle::be_idle;
use crate::os::lock::{Hold, Lock};
use crate::progress::Meter;

/// What a collection is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nothing is removed.
    pub dry_run: bool,
    /// Objects that changed within this time are left alone.
    pub grace: Duration,
    /// At idle priority, and only if it is due.
    pub quiet: bool,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub objects: u64,
    /// Bytes of disk that the objects took.
    pub bytes: u64,
    pub trees: u64,
    /// Old states forgotten.
    pub heads: u64,
    /// Lower trees that no workspace is shown by any more: bases, and layers over them.
    pub lowers: u64,
    /// Staging directories of sessions that have ended, their writes taken in or not wanted.
    pub staging: u64,
    /// Projects that were forgotten, and not wholly removed.
    pub projects: u64,
    /// Objects that are needed.
    pub kept: u64,
    /// Objects that nobody can change from now on, and by what.
    pub protected: Option<(u64, &'static str)>,
    /// What could not be put away, and why; all else went on.
    pub left: Vec<String>,
}

/// Collects. `None`: it was to be quiet, and is not due, or another one is at work.
pub fn gc(store: &Store, options: Options, meter: &Meter) -> Result<Option<Swept>> {
    if !options.dry_run {
        store.give_reserve();
    }
    let alone = Lock::attempt(&store.root().join("gc.lock"), Hold::Exclusive)?;
    let Some(_alone) = alone else {
        if options.quiet {
            return Ok(None);
        }
        let error = Error::new(Kind::Busy, "another vrift gc is at work on this store");
        return Err(error.with_hint("let it finish"));
    };
    if options.quiet && !store.debt().is_due() {
        return Ok(None);
    }
    let mut swept = Swept::default();
    if options.dry_run {
        let mut marks = Marks::open(store)?;
        marks.rehearse(&mut swept)?;
        sweep::count_all(store, &mut marks, options.grace, &mut swept)?;
    } else {
        drop(Marks::open(store)?); // nothing at all is done where one cannot be read
        tidy::all(store, options.quiet, &mut swept)?;
        let mut marks = Marks::open(store)?;
        let expired = quietly(options.quiet, || marks.mark())?;
        failpoint::at("gc.marked").context("collect in", store.root())?;
        swept.heads = marks.forget(&expired)?;
        sweep::all(&mut marks, options, (&mut swept, meter))?;
        store.clear_debt(marks.bytes());
        store.keep_reserve();
        swept.kept = marks.kept.len() as u64;
        match quietly(options.quiet, || protect::all(store)) {
            Ok(protected) => swept.protected = protected,
            Err(error) => swept.left.push(format!("contents are not protected: {error}")),
        }
    }
    Ok(Some(swept))
}

/// Leaves a line in the runs of every project of the store; `words` are shown as its command.
pub fn record(store: &Store, words: &[&str], started: i64, status: i32) -> Result<()> {
    let run = Run {
        workspace: "-".into(),
        session: "gc".into(),
        argv: words.iter().flat_map(|word| word.bytes().chain([0])).collect(),
        cwd: store.root().as_os_str().as_encoded_bytes().to_vec(),
        started,
        ended: now_ms(),
        status,
        output: None,
    };
    for (_, manifest) in registry::manifests(store)? {
        manifest.add_run(&run, None)?;
    }
    Ok(())
}

/// Runs it at idle priority where that is wanted: in a thread of its own, for who is idle
/// once may not become as the others are again (sched(7)).
fn quietly<T: Send>(quiet: bool, mut work: impl FnMut() -> T + Send) -> T {
    let idle = || {
        be_idle();
        work()
    };
    let done = std::thread::scope(|scope| {
        let thread = quiet.then(|| std::thread::Builder::new().spawn_scoped(scope, idle).ok()).flatten()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    done.unwrap_or_else(work) // also where no more threads may be made
}

/// What a project's directory holds, with its manifest.
type Opened = (std::path::PathBuf, Manifest);
