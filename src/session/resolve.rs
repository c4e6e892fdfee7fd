//! Deciding conflicts: which version of a path the workspace has from now on.
//!
//! The head moves as in a restore, and undo opens the conflicts again.

use super::project::Project;
use super::rewind::{Rewound, rewind};
use crate::cas::Digest;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::manifest::conflict::Open;
use crate::manifest::dir::{components, lookup};
use crate::manifest::edit::{Edit, apply};
use crate::manifest::history::Cause;
use crate::manifest::lines::{Merged, merge_contents};
use crate::manifest::node::{Content, Entry, Kind, Meta};
use crate::session::mounts::is_below;
use crate::session::sync::shown;

/// Lets somebody merge a text by hand: the path, and the text with conflict markers.
pub type Edited<'a> = dyn Fn(&[u8], &[u8]) -> Result<Vec<u8>> + 'a;

/// Which version is taken.
pub enum Choice<'a> {
    /// The host's, or the other workspace's.
    Host,
    Workspace,
    /// Both, merged by lines.
    Merge,
    /// Both, merged by hand.
    Edit(&'a Edited<'a>),
    /// What is in the view now.
    View,
}

/// What was decided.
pub struct Resolved {
    pub paths: Vec<Vec<u8>>,
    /// Those that had more than two versions, with how many were kept of them.
    pub several: Vec<(Vec<u8>, usize)>,
    /// Conflicts that are still open.
    pub open: u64,
    pub rewound: Rewound,
}

/// The open conflicts at or below these paths (none: all of them).
///
/// # Errors
/// A path that has none.
pub fn conflicts(manifest: &Manifest, workspace: i64, paths: &[Vec<u8>]) -> Result<Vec<Open>> {
    let mut open = manifest.conflicts(workspace)?;
    let at =
        |open: &Open, path: &Vec<u8>| path.is_empty() || open.path == *path || is_below(&open.path, path);
    if let Some(none) = paths.iter().find(|path| !open.iter().any(|open| at(open, path))) {
        return Err(Error::failure(format!("there is no open conflict at {}", shown(none)))
            .with_hint("vrift status lists them"));
    }
    open.retain(|open| paths.is_empty() || paths.iter().any(|path| at(open, path)));
    Ok(open)
}

/// Decides the open conflicts at or below these paths, all in one way.
pub fn resolve(
    project: Project,
    workspace: &str,
    paths: &[Vec<u8>],
    choice: &Choice<'_>,
) -> Result<(Project, Resolved)> {
    let now = project.manifest.known_workspace(workspace)?;
    let open = conflicts(&project.manifest, now.id, paths)?;
    // what is made of two contents is in the store before anything waits or moves
    let token = project.store.publishing()?;
    let publish = |bytes: &[u8]| {
        let stored = project.store.publish_bytes(&token, bytes)?;
        Ok(Content { digest: stored.digest, size: stored.size, sparse: false })
    };
    let mut edits = Vec::new();
    for open in &open {
        let version = match choice {
            Choice::View => continue,
            Choice::Host => open.host().cloned(),
            Choice::Workspace => open.workspace().cloned(),
            Choice::Merge | Choice::Edit(_) => Some(merged(&project, open, choice, &publish)?),
        };
        edits.push((open.path.clone(), version));
    }
    let several = open.iter().filter(|open| !open.earlier.is_empty());
    let several = several.map(|open| (open.path.clone(), open.earlier.len() + 1)).collect();
    let decided: Vec<Vec<u8>> = open.into_iter().map(|open| open.path).collect();
    let aim = |project: &Project, now: &crate::manifest::workspace::Workspace| {
        let head = now.head.ok_or_else(|| Error::corrupt("a workspace with conflicts has no head"))?;
        Ok((with_versions(&project.manifest, &head, &edits)?, Cause::Resolve, None))
    };
    let (project, rewound) = rewind(project, workspace, aim, |manifest, now, number| {
        manifest.close_conflicts(now.id, &decided, number)
    })?;
    drop(token);
    let left = project.manifest.conflict_count(now.id)?;
    Ok((project, Resolved { paths: decided, several, open: left, rewound }))
}

fn merged(
    project: &Project,
    open: &Open,
    choice: &Choice<'_>,
    publish: &dyn Fn(&[u8]) -> Result<Content>,
) -> Result<Entry> {
    let refused = |why: &str| {
        let hint =
            "take one of the versions: --host or --workspace; or change the file in a run, and then: --view";
        Err(Error::failure(format!("{} cannot be merged: {why}", shown(&open.path))).with_hint(hint))
    };
    let (Some(ours), Some(theirs)) = (open.workspace(), open.host()) else {
        return refused("one side deleted it");
    };
    let (Some(our), Some(their)) = (ours.content(), theirs.content()) else {
        return refused("it is not a file on both sides");
    };
    let base = open.base.as_ref().and_then(Entry::content);
    let text = match (merge_contents(&project.store, base, our, their)?, choice) {
        (None, _) => return refused("it is no text, or too large"),
        (Some(Merged::Clean(text)), _) => text,
        (Some(Merged::Marked(text)), Choice::Edit(edit)) => edit(&open.path, &text)?,
        (Some(Merged::Marked(_)), _) => return refused("both sides changed the same lines"),
    };
    let mtime = ours.meta.mtime.max(theirs.meta.mtime);
    let mode = if open.base.as_ref().is_some_and(|base| base.meta.mode == theirs.meta.mode) {
        ours.meta.mode
    } else {
        theirs.meta.mode
    };
    let meta = Meta { mtime, mode, xattrs: theirs.meta.xattrs.clone() };
    Ok(Entry { meta, group: 0, kind: Kind::File(publish(&text)?), ..theirs.clone() })
}

/// The head with these versions; directories above them are made where they are missing.
fn with_versions(
    manifest: &Manifest,
    head: &Digest,
    versions: &[(Vec<u8>, Option<Entry>)],
) -> Result<Digest> {
    let mut state = *head;
    for (path, version) in versions {
        let mut edits = Vec::new();
        if let Some(version) = version {
            let mut length = 0;
            for name in components(path) {
                length += name.len() + usize::from(length > 0);
                let above = &path[..length];
                if above.len() < path.len() && lookup(manifest, &state, above)?.is_none() {
                    let meta = Meta { mode: 0o755, mtime: version.meta.mtime, xattrs: Vec::new() };
                    edits.push((above.to_vec(), Edit::Dir { meta, opaque: true }));
                }
            }
        } else if lookup(manifest, &state, path)?.is_none() {
            continue;
        }
        edits.push((path.clone(), version.clone().map_or(Edit::Remove, Edit::Put)));
        state = apply(manifest, &state, edits)?;
    }
    Ok(state)
}
