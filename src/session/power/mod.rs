//! The first command after the machine was started anew, once per store (rule 16).
//!
//! A power cut takes any part of what was written since the last durable point
//! (cas/durable.rs): bytes of objects whose names are there, entries of lower trees, staged
//! files, the end of a manifest's log. So, before anything else:
//!
//! | what | |
//! |---|---|
//! | objects that changed since | read; what is not what its name says is moved to `quarantine/` |
//! | heads, of which something is missing | go back to the newest head that is whole; said |
//! | lower trees and layers that changed since, or that no row knows | are removed, and made anew when they are needed |
//! | sessions that were to be taken in by themselves | are orphans: somebody looks at what is left of them |
//!
//! Then all of it is written out and the new boot's id recorded, synced. Cut short, it is
//! done again. Whoever comes meanwhile waits; so nothing is published before.

mod heads;
mod lowers;
mod sessions;

use std::path::Path;

use crate::cas::durable::{self, Durable, Point};
use crate::cas::{Store, quarantine};
use crate::error::{Context, Error, Kind, Result, quoted};
use crate::os::filesystem::clock_of;
use crate::os::lock::{Hold, Lock};
use crate::os::{boot, failpoint};
use crate::session::project::{Project, registry};

/// Deals with what a power cut took from the store at `root`, if the machine was started
/// anew since somebody did. What was lost is said.
pub fn look_after(root: &Path, say: &dyn Fn(&str)) -> Result<()> {
    match Point::look(root) {
        Ok(point) if point.is_of_this_boot() => return Ok(()),
        Err(error) if error.is_of_process() => return Err(error),
        _ => {}
    }
    let Some(store) = Store::open_to_read(root)?.filter(|store| !store.reads_only()) else { return Ok(()) };
    let _alone = Lock::wait(&root.join(durable::LOCK), Hold::Exclusive)?;
    let point = Point::look(root);
    if point.as_ref().is_ok_and(Point::is_of_this_boot) {
        return Ok(()); // somebody else has done it
    }
    let why = match &point {
        Ok(_) => "the machine was started anew".to_string(),
        Err(error) => format!("{error}: the machine may have been started anew"),
    };
    check(&store, point.unwrap_or_default(), &why, say).map_err(|error| match error.hint() {
        Some(_) => error,
        None => error
            .with_hint(format!("{why}, and the store is looked after first; vrift verify shows its state")),
    })
}

fn check(store: &Store, point: Point, why: &str, say: &dyn Fn(&str)) -> Result<()> {
    let mut opened = Vec::new();
    for known in registry::list(store)? {
        if known.live && sessions::is_of_this_boot(&store.projects_path().join(&known.id))? {
            // it opened after somebody had looked: what says so was lost since
            let since = Point { boot: boot::id(), since: (0, 0), generation: point.generation + 1 };
            return since.write(store.root(), true);
        }
        if known.live {
            let message = format!("{why}, and a run lives in the store {}", quoted(store.root().as_os_str()));
            return Err(Error::new(Kind::Busy, message).with_hint(
                "this start of the machine did not begin it: another machine uses the store; wait for its end",
            ));
        }
        // one that is broken is told by every command on it; the others go on
        if known.broken.is_none() {
            opened.push(known.id);
        }
    }
    let durable = Durable::begin(store)?;
    let began = clock_of(store.root());
    // a clock that was set back tells nothing
    let since = if point.since > began { (0, 0) } else { point.since };
    let young = store.young_objects(since)?;
    for name in &young.damaged {
        store.set_aside(&store.object_path_of(name))?;
    }
    if !young.damaged.is_empty() {
        let count = young.damaged.len();
        say(&format!(
            "the power was cut: {count} stored {} not whole on the disk (moved to {})",
            if count == 1 { "file was" } else { "files were" },
            quoted(store.root().join(quarantine::NAME).as_os_str())
        ));
    }
    failpoint::at("power.objects").context("look after", store.root())?;
    let mut lost = !young.damaged.is_empty();
    for id in &opened {
        let Some(project) = Project::of_store(store, id)? else { continue };
        lost |= heads::go_back(&project, &|text| say(&format!("project {}: {text}", shown(&project))))?;
        failpoint::at("power.heads").context("look after", &project.dir)?;
    }
    for id in &opened {
        let Some(project) = Project::of_store(store, id)? else { continue };
        if lost {
            // what they say is stored may be what was lost
            project.manifest.forget_stamps()?;
        }
        sessions::keep_as_orphans(&project, &|text| say(&format!("project {}: {text}", shown(&project))))?;
        lowers::remove_doubtful(project, since)?;
        failpoint::at("power.lowers").context("look after", store.root())?;
    }
    // what shared its inode with a layer that no row knew has the mode of that file
    store.young_objects(since)?;
    durable.flush()?;
    failpoint::at("power.synced").context("look after", store.root())?;
    Point { boot: boot::id(), since: began, generation: point.generation + 1 }.write(store.root(), true)
}

fn shown(project: &Project) -> String {
    quoted(project.root.as_os_str())
}
