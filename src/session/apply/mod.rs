//! Apply: what a workspace has otherwise than the host is written to the host.
//!
//! | module | holds |
//! |---|---|
//! | `select` | which paths: by class, by name, never below `.git` |
//! | `host` | what a path of the host is at this moment |
//! | `plan` | three ways, path by path; clashes; nothing is written |
//! | `journal` | the plan on the disk, and how far it got |
//! | `write`, `names` | making, swapping, taking back |
//! | `risk`, `hooks` | what programs of the host run by themselves |
//! | `stamps` | what the next sync need not read |
//! | `own` | what one run wrote |
//! | `mirror` | a directory of the workspace's own, for the host to look at |
//!
//! While an apply writes it holds `host.lock` exclusively, so that no sync reads half of it;
//! the next command finishes or takes back one that was killed (rule 19). Files are made
//! by `overlay::projection::Copy`.

mod hooks;
pub(super) mod host;
pub mod journal;
pub mod mirror;
pub(super) mod names;
pub mod own;
pub(super) mod plan;
pub mod risk;
pub mod select;
mod stamps;
mod write;

use std::collections::HashMap;

use self::host::Host;
use self::journal::{After, Journal};
pub use self::plan::{Act, Clash, OnConflict, Plan, Step};
use self::plan::{Sides, plan};
use self::select::Select;
use self::stamps::Written;
use self::write::{Desk, journal_of};
use crate::cas::Digest;
use crate::cas::store::Publishing;
use crate::error::{Context, Error, Result};
use crate::manifest::Manifest;
use crate::manifest::edit;
use crate::manifest::history::Cause;
use crate::manifest::lines::Lines;
use crate::manifest::merge::{How, Side, merge};
use crate::manifest::store::Trees;
use crate::os::dir::Dir;
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::progress::Meter;
use crate::session::project::{Place, Project};

/// What is to be written, and how.
#[derive(Default)]
pub struct Wanted<'a> {
    pub workspace: &'a str,
    /// Only at or below these; empty: everything.
    pub paths: &'a [Vec<u8>],
    /// Not these.
    pub left: &'a [Vec<u8>],
    pub on_conflict: OnConflict,
    /// For some paths otherwise.
    pub choices: HashMap<Vec<u8>, OnConflict>,
    /// Only what differs between these two roots, which are the workspace's own, instead of
    /// between the host and the head.
    pub between: Option<(Digest, Digest)>,
    /// Nothing is synced.
    pub quick: bool,
    /// Of what is written.
    pub meter: Option<&'a Meter>,
}

/// What an apply would do. The host is looked at, and not touched.
pub fn look(project: &Project, wanted: &Wanted<'_>) -> Result<Plan> {
    let _host = host_at_rest(project)?;
    let token = project.store.publishing()?;
    let top = open_top(project)?;
    Ok(make_plan(project, wanted, &token, &top)?.0)
}

/// Writes to the host what `wanted` says, or nothing at all: when there are clashes, which are
/// then in the plan, and when something fails.
pub fn apply(project: &Project, wanted: &Wanted<'_>) -> Result<Plan> {
    let _host = exclusively(project)?;
    let token = project.store.publishing()?;
    write_plan(project, wanted, &token)
}

/// The host's lock is held exclusively.
fn write_plan(project: &Project, wanted: &Wanted<'_>, token: &Publishing) -> Result<Plan> {
    let top = open_top(project)?;
    let (plan, ours) = make_plan(project, wanted, token, &top)?;
    if !plan.clashes.is_empty() {
        return Ok(plan);
    }
    let after = after(project, wanted.workspace, &plan, &ours)?;
    let mut written = Written::default();
    if !plan.is_empty() {
        let desk = Desk { meter: wanted.meter, ..Desk::new(&top, project) };
        let mut journal = journal_of(&plan, &nonce(), after.clone(), wanted.quick);
        journal.write(&project.dir)?;
        failpoint::at("apply.planned").context("write", &project.dir)?;
        desk.run(&plan, &mut journal)?;
        written = Written::look(&top, &plan, &journal, wanted.quick)?;
    }
    record(project, token, &after)?;
    written.record(&project.manifest)?;
    if !plan.is_empty() {
        failpoint::at("apply.recorded").context("write", &project.dir)?;
        Journal::remove(&project.dir, wanted.quick)?;
    }
    Ok(plan)
}

/// Finishes an apply that was killed, unless one is at work. `Some(false)`: what it had begun
/// was taken back.
pub fn finish_left(project: &Project) -> Result<Option<bool>> {
    if !Journal::is_there(&project.dir) {
        return Ok(None);
    }
    match Lock::attempt(&project.host_lock(), Hold::Exclusive)? {
        Some(_lock) => finish(project),
        None => Ok(None),
    }
}

/// The lock under which nobody writes to the host, and no apply is half done.
pub fn host_at_rest(project: &Project) -> Result<Lock> {
    loop {
        let lock = Lock::wait(&project.host_lock(), Hold::Shared)?;
        if !Journal::is_there(&project.dir) {
            return Ok(lock);
        }
        drop(lock);
        drop(exclusively(project)?);
    }
}

fn exclusively(project: &Project) -> Result<Lock> {
    let lock = Lock::wait(&project.host_lock(), Hold::Exclusive)?;
    finish(project)?;
    Ok(lock)
}

/// The host's lock is held exclusively.
fn finish(project: &Project) -> Result<Option<bool>> {
    let Some(mut journal) = Journal::read(&project.dir)? else { return Ok(None) };
    let top = open_top(project)?;
    let desk = Desk::new(&top, project);
    let done = desk.resume(&mut journal).map_err(|error| match error.hint() {
        Some(_) => error,
        None => error.with_hint("an apply was killed; this was to finish it"),
    })?;
    if done {
        let token = project.store.publishing()?;
        record(project, &token, &journal.after)?;
    } else {
        META.iter().try_for_each(|key| project.manifest.remove_meta(key))?;
    }
    Journal::remove(&project.dir, journal.quick)?;
    Ok(Some(done))
}

/// The directory that was registered, and not what has its path now.
fn open_top(place: &Place) -> Result<Dir> {
    let top = Dir::open(&place.root).map_err(|error| error.with_hint("nothing was changed"))?;
    if !place.is_where_it_was() {
        let message = format!("`{}` is no longer the directory it was", place.root.display());
        return Err(Error::failure(message).with_hint("nothing was changed"));
    }
    Ok(top)
}

fn make_plan(
    project: &Project,
    wanted: &Wanted<'_>,
    token: &Publishing,
    top: &Dir,
) -> Result<(Plan, Digest)> {
    let manifest = &project.manifest;
    let now = manifest.known_workspace(wanted.workspace)?;
    let (base, ours) = match (wanted.between, now.head) {
        (Some((before, after)), _) => {
            let (from, to) = own::on_host_base(project, &now, (&before, &after))?;
            (Some(from), to)
        }
        (None, Some(head)) => (now.host_base, head),
        (None, None) => {
            return Err(Error::failure(format!("workspace `{}` has no state yet", now.name))
                .with_hint("vrift exec COMMAND runs something in it"));
        }
    };
    let host = Host::new(top, &project.store, token, manifest);
    let sides = Sides {
        trees: manifest,
        base,
        ours,
        host: &host,
        select: &Select::new(project, ours, wanted.paths, wanted.left)?,
        text: &Lines { store: &project.store, token },
        on_conflict: &|path| wanted.choices.get(path).copied().unwrap_or(wanted.on_conflict),
        workspace: wanted.workspace,
        own_mtimes: project.config.our_mtimes,
    };
    let mut plan = plan(&sides)?;
    if !plan.is_empty() {
        plan.hooks = hooks::path_in(&project.root);
    }
    Ok((plan, ours))
}

/// Where the manifest names the roots that an open apply is to record.
const META: [&str; 2] = ["apply/base", "apply/head"];

/// How many names applies have deleted since the last sync.
const GONE: &str = "gone-by-apply";

/// Names that are gone from the host because applies deleted them, and not because it was
/// emptied (rule 18). The next sync that takes something over forgets them.
pub fn gone_by_us(manifest: &Manifest) -> Result<u64> {
    let count = manifest.meta(GONE)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&count).parse().unwrap_or(0))
}

/// Inside a transaction.
pub fn forget_gone(manifest: &Manifest) -> Result<()> {
    manifest.remove_meta(GONE)
}

/// What the manifest is to record when all is done.
fn after(project: &Project, workspace: &str, plan: &Plan, ours: &Digest) -> Result<After> {
    project.manifest.transaction(|manifest| {
        let now = manifest.known_workspace(workspace)?;
        let moved = |from: &Digest, edits: &Vec<_>| {
            let to = edit::apply(manifest, from, edits.clone())?;
            Ok::<_, Error>((to != *from).then_some((*from.as_bytes(), *to.as_bytes())))
        };
        let base = now.host_base.as_ref().map(|base| moved(base, &plan.base_edits)).transpose()?.flatten();
        let head = moved(ours, &plan.head_edits)?;
        for (key, moved) in META.iter().zip([base, head]) {
            moved.map_or(Ok(()), |(_, to)| manifest.set_meta(key, &to))?;
        }
        let gone = |step: &&Step| matches!(step.act, Act::Remove | Act::Gone) && step.base.is_some();
        let gone = plan.steps.iter().filter(gone).count() as u64;
        Ok(After { workspace: workspace.into(), base, head, gone })
    })
}

/// May be repeated. After a power cut the trees may be missing that the journal names; then the
/// next sync finds the same on both sides.
fn record(project: &Project, token: &Publishing, after: &After) -> Result<()> {
    if after.base.is_none() && after.head.is_none() {
        return Ok(());
    }
    project.manifest.transaction(|manifest| {
        let now = manifest.known_workspace(&after.workspace)?;
        META.iter().try_for_each(|key| manifest.remove_meta(key))?;
        if let Some((from, to)) = after.base
            && manifest.get(&Digest::from_bytes(to)).is_ok()
            && now.host_base == Some(Digest::from_bytes(from))
        {
            manifest.set_host_base(now.id, &Digest::from_bytes(to))?;
            manifest.set_meta(GONE, (gone_by_us(manifest)? + after.gone).to_string().as_bytes())?;
        }
        let (Some((from, to)), Some(head)) = (after.head, now.head) else { return Ok(()) };
        let (from, to) = (Digest::from_bytes(from), Digest::from_bytes(to));
        if manifest.get(&to).is_err() {
            return Ok(());
        }
        let text = Lines { store: &project.store, token };
        // no repository is written, so none has changed
        let how = How { winner: Side::Ours, text: &text, git: None, our_mtimes: false };
        let merged = merge(manifest, Some(&from), &head, &to, &how)?;
        manifest.move_head(now.id, Some(&head), &merged.root, Cause::Apply).map(drop)
    })
}

/// What tells the temporary names of one apply from all others.
pub(super) fn nonce() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", since.as_micros(), std::process::id())
}
