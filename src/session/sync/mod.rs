//! Taking over the host directory: walk it, make it a root, merge that root into the
//! workspace's head on the base of the root it took over last.
//!
//! Everything that is written goes into one transaction after all objects are there;
//! a sync that is killed leaves objects nobody names and nothing else. An unchanged
//! tree writes nothing at all.

mod assemble;
pub mod class;
pub mod explain;
mod known;
mod left_out;
pub mod look;
pub mod outside;
mod read;
mod repository;
mod tracked;
mod turn;
pub mod walk;

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) use known::stamp_of;
pub use walk::LeftOut;

use self::assemble::{Assembled, assemble, newly_own};
use self::class::Classes;
use self::turn::Turn;
use self::walk::{Walk, Walked, walk};
use crate::cas::Digest;
use crate::cas::store::Publishing;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::dir::{lookup, read_root};
use crate::manifest::edit::{Edit, apply};
use crate::manifest::history::Cause;
use crate::manifest::lines::Lines;
use crate::manifest::merge::{Git, How, Side, merge};
use crate::manifest::stamp::Stamps;
use crate::manifest::workspace::{MAIN, Workspace};
pub(super) use crate::os::filesystem::clock_of;
use crate::os::{failpoint, log};
use crate::progress::Meter;
use crate::session::apply;
use crate::session::git;
use crate::session::mounts::Recorded;
use crate::session::project::Project;

/// Below this many names nobody asks when most of them are gone (rule 18).
const MANY: usize = 100;

/// Walks of a repository that keeps changing before it is taken as it is.
const FEW: usize = 3;
/// Walks of one that keeps losing packs before that is an error.
const ROUNDS: usize = 50;

/// What a sync did.
#[derive(Default)]
pub struct Report {
    /// The workspace's first take-in of the host.
    pub first: bool,
    /// The head moved.
    pub changed: bool,
    /// Files whose content was read.
    pub read: usize,
    /// Bytes that the store did not have.
    pub new_bytes: u64,
    /// Paths in conflict that were found now.
    pub conflicts: Vec<Conflicted>,
    pub left_out: Vec<LeftOut>,
}

/// A path that both sides changed.
pub struct Conflicted {
    pub path: Vec<u8>,
    /// The host's change is its deletion.
    pub host_deleted: bool,
}

impl std::fmt::Display for Conflicted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = shown(&self.path);
        let (what, view) = match self.host_deleted {
            true => ("deleted on the host and changed in the workspace", "it is not"),
            false => ("changed on the host and in the workspace", "the host's version is"),
        };
        write!(f, "{path} was {what}: {view} in the view, the workspace's version is kept")
    }
}

/// How to sync.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Take over the deletion of most of a project.
    pub accept_deletions: bool,
    /// Look at each file of `tier1`, not at its directories only.
    pub thorough: bool,
}

/// Takes the host directory's state over into a workspace.
pub fn sync(project: &Project, workspace: &str, options: Options, meter: &Meter) -> Result<Report> {
    let _host = apply::host_at_rest(project)?;
    // Of two walks at once the older one could be recorded last, with the newer one's stamps.
    let walking = match Turn::take(project, workspace, options)? {
        Turn::Ours(walking) => walking,
        Turn::Theirs => {
            log::line("sync", "another walk began after this one was asked for");
            return Ok(Report::default());
        }
    };
    let token = project.store.publishing()?;
    let mut report = Report::default();
    let root = sync_alone(project, workspace, options, (&token, meter), &mut report)?;
    walking.done(project, root)?;
    Ok(report)
}

/// Nobody else walks meanwhile. Returns the host's root, which the workspace has taken over.
fn sync_alone(
    project: &Project,
    workspace: &str,
    options: Options,
    (token, meter): (&Publishing, &Meter),
    report: &mut Report,
) -> Result<Digest> {
    let manifest = &project.manifest;
    let now = manifest.known_workspace(workspace)?;
    let first = now.head.is_none();
    let stamps = manifest.stamps()?;
    let classes = Classes::of_project(&project.root, &project.config);
    let recorded = Recorded::read(project)?;
    let unreadable = recorded.unreadable.iter().map(|known| known.path.clone()).collect();
    if first && meter.is_watched() {
        meter.expect(walk::count_files(&project.root), 0);
    }
    let walked = settled(&project.root, || Walk {
        store: &project.store,
        token: Some(token),
        stamps: &stamps,
        classes: &classes,
        unreadable: &unreadable,
        take_own: first,
        cold: &project.config.cold,
        by_directories: !options.thorough,
        is_tier1: false,
        began: clock_of(&project.root),
        meter,
    })?;
    log::line("sync", format_args!("walked {} directories, read {} files", walked.dirs.len(), walked.read));
    *report = Report { first, read: walked.read, new_bytes: walked.new_bytes, ..Report::default() };
    if !first && !options.accept_deletions && !is_as_stamped(&walked, &stamps) {
        let by_us = usize::try_from(apply::gone_by_us(manifest)?).unwrap_or(usize::MAX);
        refuse_mass_deletion(&walked, counted(&stamps, &walked).saturating_sub(by_us), project)?;
    }
    // A fork may have taken over what `main` has had as its own since.
    let newly_own: Vec<Vec<u8>> = match workspace == MAIN {
        true => newly_own(&walked.left_alone(), &stamps),
        false => in_base(project, workspace, walked.left_alone())?,
    };
    let mounts = recorded.after(project, &walked);
    let same_mounts = recorded == mounts;
    let mut git_files = walked.git_files.clone();
    git_files.sort_unstable();
    let same_git_files = git::recorded(project)? == git_files;
    if !first
        && same_mounts
        && same_git_files
        && let Some(root) = nothing_to_do(project, workspace, &walked, &stamps)?
    {
        report.left_out = news(walked.left_out, &unreadable);
        return Ok(root);
    }
    failpoint::at("sync.walked").context("take in", &project.root)?;
    let mut walked = walked;
    let left_out = std::mem::take(&mut walked.left_out);
    let root = manifest.transaction(|manifest| {
        let unreadable = left_out.iter().filter(|left| left.unreadable);
        walked.left_out =
            unreadable.map(|left| LeftOut { path: left.path.clone(), why: String::new(), ..*left }).collect();
        let assembled = assemble(manifest, walked, &stamps)?;
        let now = manifest.known_workspace(workspace)?;
        let mounted: HashSet<Vec<u8>> = mounts.found.iter().map(|found| found.path.clone()).collect();
        let text = Lines { store: &project.store, token };
        let head = take_over(project, &now, &assembled, (newly_own, &mounted), &text, report)?;
        if !same_mounts {
            mounts.write(project)?;
        }
        if !same_git_files {
            git::record(project, &git_files)?;
        }
        manifest.set_host_base(now.id, &assembled.root)?;
        apply::forget_gone(manifest)?;
        if now.head != Some(head) {
            report.changed = true;
            manifest.move_head(now.id, now.head.as_ref(), &head, Cause::Sync)?;
        }
        for (dir, tree, body) in &assembled.stamps {
            manifest.put_stamps(dir, tree, body)?;
        }
        assembled.gone.iter().try_for_each(|dir| manifest.remove_stamps(dir))?;
        Ok(assembled.root)
    })?;
    project.store.add_debt(report.new_bytes);
    report.left_out = news(left_out, &unreadable);
    if unreadable.len() != mounts.unreadable.len()
        && let Some(why) = mounts.not_shown()
    {
        report.left_out.insert(0, LeftOut { path: b".".to_vec(), why, unreadable: false, is_dir: true });
    }
    Ok(root)
}

/// Walks until no repository changes meanwhile: a few times only, for the order in which
/// they are read keeps them whole. One that lost packs is not whole.
fn settled<'w>(root: &Path, how: impl Fn() -> Walk<'w>) -> Result<Walked> {
    for round in 0..ROUNDS {
        let walked = walk(root, &how())?;
        if !walked.packs_moved && (!walked.moved || round >= FEW) {
            return Ok(walked);
        }
    }
    Err(Error::new(Kind::Busy, format!("git keeps repacking a repository in `{}`", root.display()))
        .with_hint("run the command again when it is done"))
}

/// What cannot be read is said once.
fn news(mut left_out: Vec<LeftOut>, known: &HashSet<Vec<u8>>) -> Vec<LeftOut> {
    left_out.retain(|left| !left.unreadable || !known.contains(&left.path));
    left_out
}

/// The workspace's head with the host's changes in it.
fn take_over(
    project: &Project,
    workspace: &Workspace,
    assembled: &Assembled,
    (newly_own, mounted): (Vec<Vec<u8>>, &HashSet<Vec<u8>>),
    text: &Lines<'_>,
    report: &mut Report,
) -> Result<Digest> {
    let manifest = &project.manifest;
    let Some(head) = workspace.head else {
        let own = assembled.own.iter().map(|(path, entry)| (path.clone(), Edit::Put(entry.clone())));
        return apply(manifest, &assembled.root, own.collect());
    };
    let head = without_mounted(project, workspace, &head, &newly_own, mounted)?;
    let base = match workspace.host_base {
        Some(base) if !newly_own.is_empty() => {
            let freed = newly_own.into_iter().map(|path| (path, Edit::Remove)).collect();
            Some(apply(manifest, &base, freed)?)
        }
        base => base,
    };
    let git = Git { store: &project.store, keeps: Side::Ours };
    let how = How { winner: Side::Theirs, text, git: Some(git), our_mtimes: project.config.our_mtimes };
    let merged = merge(manifest, base.as_ref(), &head, &assembled.root, &how)?;
    for conflict in &merged.conflicts {
        manifest.add_conflict(workspace.id, "host", conflict)?;
        let (path, host_deleted) = (conflict.path.clone(), conflict.theirs.is_none());
        report.conflicts.push(Conflicted { path, host_deleted });
    }
    Ok(merged.root)
}

/// Those of the paths that the host had when a workspace took it over.
fn in_base(project: &Project, workspace: &str, paths: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    let manifest = &project.manifest;
    let Some(base) = manifest.known_workspace(workspace)?.host_base else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for path in paths {
        if lookup(manifest, &base, &path)?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The head without what it had from the host and what is mounted now. What the workspace
/// itself made of such a path stays, covered: the rule may go again.
fn without_mounted(
    project: &Project,
    workspace: &Workspace,
    head: &Digest,
    newly: &[Vec<u8>],
    mounted: &HashSet<Vec<u8>>,
) -> Result<Digest> {
    let manifest = &project.manifest;
    let Some(base) = workspace.host_base else { return Ok(*head) };
    let mut edits = Vec::new();
    for path in newly.iter().filter(|path| mounted.contains(*path)) {
        let ours = lookup(manifest, head, path)?;
        if ours.is_some() && ours == lookup(manifest, &base, path)? {
            edits.push((path.clone(), Edit::Remove));
        }
    }
    if edits.is_empty() { Ok(*head) } else { apply(manifest, head, edits) }
}

/// True when every directory is as stamped, and none is gone.
fn is_as_stamped(walked: &Walked, stamps: &HashMap<Vec<u8>, Stamps>) -> bool {
    stamps.len() == walked.dirs.len() && walked.dirs.iter().all(|dir| dir.listing.is_none())
}

/// The root that the workspace took over, when every directory is as stamped, none is gone, and
/// that root is what is stamped: that tree, and the root's own metadata.
fn nothing_to_do(
    project: &Project,
    workspace: &str,
    walked: &Walked,
    stamps: &HashMap<Vec<u8>, Stamps>,
) -> Result<Option<Digest>> {
    let manifest = &project.manifest;
    if !is_as_stamped(walked, stamps) {
        return Ok(None);
    }
    let Some(digest) = manifest.known_workspace(workspace)?.host_base else { return Ok(None) };
    let base = read_root(manifest, &digest)?;
    let stamped = stamps.get(&b""[..]).map(|stamps| stamps.tree);
    Ok((base.meta == walked.root && base.tree() == stamped).then_some(digest))
}

/// How many names were stamped that are still to be looked for.
fn counted(stamps: &HashMap<Vec<u8>, Stamps>, walked: &Walked) -> usize {
    let alone = walked.left_alone();
    let alone: HashSet<&[u8]> = alone.iter().map(Vec::as_slice).collect();
    let left = |path: &[u8]| {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        !alone.is_empty() && ends.chain([path.len()]).any(|end| alone.contains(&path[..end]))
    };
    let names = |dir: &[u8], stamps: &Stamps| {
        stamps.iter().filter(|(name, _)| !alone.contains(walk::join(dir, name).as_slice())).count()
    };
    stamps.iter().filter(|(dir, _)| !left(dir)).map(|(dir, stamps)| names(dir, stamps)).sum()
}

/// An unmounted or emptied directory must not empty the workspace (rule 18).
fn refuse_mass_deletion(walked: &Walked, stamped: usize, project: &Project) -> Result<()> {
    let there = walked.still_there;
    if stamped < MANY || stamped.saturating_sub(there) <= stamped / 2 {
        return Ok(());
    }
    let gone = stamped - there;
    Err(Error::failure(format!(
        "{gone} of {stamped} names that `{}` had are gone; they were not deleted from the workspace",
        project.root.display()
    ))
    .with_hint("is a filesystem not mounted? If they were really deleted: vrift sync --accept-deletions; to run without looking at the host: vrift exec --no-sync"))
}

/// A relative path for a message.
pub fn shown(path: &[u8]) -> String {
    crate::error::quoted(std::ffi::OsStr::from_bytes(path))
}
