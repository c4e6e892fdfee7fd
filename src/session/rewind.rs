//! Bringing an earlier state back into a workspace: restore and undo.
//!
//! The head moves, and the lower follows by the difference alone. The head before stays
//! in the history, so each of these can be taken back in its turn.

use super::fork::revive;
use super::open::leftovers;
use super::project::Project;
use super::stack::ready;
use crate::cas::Digest;
use crate::error::{Error, Kind, Result, quoted};
use crate::manifest::Manifest;
use crate::manifest::diff::diff;
use crate::manifest::dir::{components, lookup};
use crate::manifest::edit::{Edit, apply};
use crate::manifest::history::{Cause, Head};
use crate::manifest::roots::resolve;
use crate::manifest::workspace::Workspace;
use crate::os::lock::{Hold, Lock};

/// What became of the head.
pub struct Rewound {
    /// The number of the head that was left: `restore @N` brings it back.
    pub from: Option<i64>,
    pub root: Digest,
    /// Names that differ between the two, directories that differ only below not counted.
    pub changed: usize,
    /// For an undo: the head it went back to.
    pub back: Option<Head>,
    /// The workspace had been deleted.
    pub revived: bool,
}

/// Brings a root's state of some paths, or of all, back into a workspace.
pub fn restore(
    project: Project,
    workspace: &str,
    root: &str,
    paths: &[Vec<u8>],
) -> Result<(Project, Rewound)> {
    rewind(
        project,
        workspace,
        |project, now| {
            let root = resolve(&project.manifest, now, root)?;
            let head = now.head.unwrap_or(root);
            let to = if paths.is_empty() { root } else { with_paths(project, &head, &root, paths)? };
            Ok((to, Cause::Restore, None))
        },
        |_, _, _| Ok(()),
    )
}

/// Brings back the head before the present one; repeated, the one before that.
///
/// A workspace that was deleted is there again.
pub fn undo(project: Project, workspace: &str) -> Result<(Project, Rewound)> {
    if project.manifest.workspace(workspace)?.is_none()
        && let Some(deleted) = project.manifest.deleted_workspace(workspace)?
    {
        let root = deleted.head.ok_or_else(|| Error::corrupt("a deleted workspace has no head"))?;
        let project = revive(project, &deleted, workspace)?;
        return Ok((project, Rewound { from: None, root, changed: 0, back: None, revived: true }));
    }
    rewind(
        project,
        workspace,
        |project, now| {
            let heads = project.manifest.heads(now.id)?;
            let back = before(&heads).ok_or_else(|| {
                Error::failure(format!("workspace `{}` has no earlier state", now.name))
                    .with_hint(format!("vrift log --heads -w {} shows those that are kept", now.name))
            })?;
            Ok((back.root, Cause::Undo, Some(back.clone())))
        },
        |_, _, _| Ok(()),
    )
}

/// The head that an undo goes back to: an undo itself stands where it went back to.
fn before(heads: &[Head]) -> Option<&Head> {
    let newest = heads.first()?;
    heads.iter().find(|head| head.number < newest.place() && head.root != newest.root)
}

/// Moves the head of a workspace without a live run to where `aim` says, which may be asked more
/// than once. `also` is done in the same transaction, with the number of the newest head.
pub(super) fn rewind(
    project: Project,
    workspace: &str,
    aim: impl Fn(&Project, &Workspace) -> Result<(Digest, Cause, Option<Head>)>,
    also: impl FnOnce(&Manifest, &Workspace, i64) -> Result<()>,
) -> Result<(Project, Rewound)> {
    let now = project.manifest.known_workspace(workspace)?;
    aim(&project, &now)?; // a mistake is said before anything is waited for or taken in
    let _lock = Lock::attempt(&project.session_lock(now.id), Hold::Exclusive)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("workspace `{workspace}` has a live run"))
            .with_hint(format!("wait for it to end, or end it: vrift stop -w {workspace}"))
    })?;
    let (project, ..) = leftovers(project, now.id)?;
    let rewound = project.manifest.transaction(|manifest| {
        let now = manifest.known_workspace(workspace)?;
        let (to, cause, back) = aim(&project, &now)?;
        let from = manifest.heads(now.id)?.first().map(|head| head.number);
        let mut changed = 0;
        diff(manifest, now.head.as_ref(), Some(&to), &mut |change| {
            changed += usize::from(!change.is_below_only());
            Ok(())
        })?;
        let number = back.as_ref().map(Head::place);
        manifest.move_head_back(now.id, now.head.as_ref(), &to, cause, number)?;
        if let Some(place) = number {
            manifest.open_conflicts(now.id, place)?; // what was resolved since
        }
        let newest = manifest.heads(now.id)?.first().map_or(0, |head| head.number);
        also(manifest, &now, newest)?;
        Ok(Rewound { from, root: to, changed, back, revived: false })
    })?;
    let (project, _) = ready(project, workspace)?;
    Ok((project, rewound))
}

/// `head` with what `root` has at these paths.
fn with_paths(project: &Project, head: &Digest, root: &Digest, paths: &[Vec<u8>]) -> Result<Digest> {
    let manifest = &project.manifest;
    let mut state = *head;
    for path in paths {
        let wanted = lookup(manifest, root, path)?;
        if wanted.is_none() && lookup(manifest, &state, path)?.is_none() {
            let path = quoted(std::os::unix::ffi::OsStrExt::from_bytes(path.as_slice()));
            return Err(Error::failure(format!("{path} is neither in that root nor in the workspace"))
                .with_hint("paths are relative to the current directory; vrift diff --name-status ROOT lists what differs"));
        }
        if path.is_empty() {
            state = *root;
            continue;
        }
        let mut edits = parents(project, &state, root, path)?;
        edits.push((path.clone(), wanted.map_or(Edit::Remove, Edit::Put)));
        state = apply(manifest, &state, edits)?;
    }
    Ok(state)
}

/// The directories above a path that `state` does not have, as `root` has them.
fn parents(project: &Project, state: &Digest, root: &Digest, path: &[u8]) -> Result<Vec<(Vec<u8>, Edit)>> {
    let manifest = &project.manifest;
    let mut edits = Vec::new();
    let mut length = 0;
    for name in components(path) {
        length += name.len() + usize::from(length > 0);
        let above = &path[..length];
        if above.len() == path.len() || lookup(manifest, state, above)?.is_some_and(|entry| entry.is_dir()) {
            continue;
        }
        if let Some(entry) = lookup(manifest, root, above)?.filter(|entry| entry.is_dir()) {
            edits.push((above.to_vec(), Edit::Dir { meta: entry.meta, opaque: true }));
        }
    }
    Ok(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undo_of_an_undo_goes_further_back() {
        let head = |number, root: &[u8], back| Head {
            number,
            root: Digest::of(root),
            cause: String::new(),
            back,
            at: 0,
        };
        let mut heads = vec![head(3, b"c", None), head(2, b"b", None), head(1, b"a", None)];
        assert_eq!(before(&heads).unwrap().number, 2);
        heads.insert(0, head(4, b"b", Some(2)));
        assert_eq!(before(&heads).unwrap().number, 1);
        heads.insert(0, head(5, b"a", Some(1)));
        assert!(before(&heads).is_none());
        // what was done after an undo is taken back first
        heads.insert(0, head(6, b"d", None));
        assert_eq!(before(&heads).map(|head| (head.number, head.place())), Some((5, 1)));
    }
}
