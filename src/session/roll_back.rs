//! A workspace whose state is not whole goes back to the newest of its states that is: after
//! a power cut (power/heads.rs), and where `verify --repair` finds that a content is nowhere
//! any more (verify/repair/heads.rs).
//!
//! With the head goes the host base to what it was then: host edits that came in later come
//! in again. With the newer base they would be undone inside, and `apply` would undo them
//! on the host.

use std::collections::HashSet;

use crate::cas::verify::Wanted;
use crate::cas::{Digest, Store};
use crate::error::{Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::history::Cause;
use crate::manifest::roll_back::Past;
use crate::manifest::verify::Forest;
use crate::manifest::workspace::Workspace;

/// What of a manifest's states is there.
pub struct Judge {
    forest: Forest,
    /// Contents that some tree has and the store has not.
    lost: HashSet<Digest>,
}

/// Where a workspace went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// It is where it was.
    Stays,
    /// To a head it had.
    To(Past),
    /// A fork that has nothing left: to where its parent is.
    Parent(Past),
    /// Nothing is left of it.
    Nowhere,
}

/// Those of some contents that the store has not.
pub fn lost(store: &Store, contents: Wanted) -> HashSet<Digest> {
    let mut contents: Vec<_> = contents.into_values().collect();
    contents.retain(|content| {
        let path = store.objects_path().join(content.digest.object_path());
        !path.symlink_metadata().is_ok_and(|file| file.len() == content.size)
    });
    contents.into_iter().map(|content| content.digest).collect()
}

impl Judge {
    pub fn new(store: &Store, forest: Forest) -> Self {
        let mut known = Wanted::new();
        forest.known(&mut known);
        Self { lost: lost(store, known), forest }
    }

    /// Whether a root has all its trees and contents.
    pub fn is_whole(&self, root: &Digest) -> bool {
        self.forest.is_whole(root, &self.lost)
    }

    /// Whether it has its trees at least.
    pub fn has_trees(&self, root: &Digest) -> bool {
        self.forest.is_whole(root, &HashSet::new())
    }

    /// Where a workspace is to go: to the newest head that is whole; a fork that has none, to
    /// its parent's.
    pub fn newest(&self, manifest: &Manifest, workspace: &Workspace) -> Result<Back> {
        if workspace.head.is_none_or(|head| self.is_whole(&head)) {
            return Ok(Back::Stays);
        }
        let past = manifest.past(workspace.id)?;
        match past.into_iter().find(|past| self.is_whole(&past.root)) {
            Some(newest) => Ok(Back::To(newest)),
            None => Ok(self.origin(manifest, workspace)?.map_or(Back::Nowhere, Back::Parent)),
        }
    }

    /// Lets it go there, and makes all else whole that its row names. Inside a transaction.
    pub fn go_back(&self, manifest: &Manifest, workspace: &Workspace, cause: Cause) -> Result<Back> {
        let back = self.newest(manifest, workspace)?;
        if workspace.forked.is_some_and(|root| !self.is_whole(&root)) {
            let parent = self.origin(manifest, workspace)?.map(|past| past.root);
            manifest.set_forked(workspace.id, parent.as_ref())?;
        }
        match back {
            Back::To(past) | Back::Parent(past) => {
                let host_base = past.host_base.filter(|base| self.is_whole(base));
                manifest.go_back(workspace.id, Some(&past), host_base.as_ref(), cause)?;
            }
            Back::Nowhere => manifest.go_back(workspace.id, None, None, cause)?,
            Back::Stays if workspace.host_base.is_some_and(|base| !self.is_whole(&base)) => {
                let past = manifest.past(workspace.id)?;
                let bases = past.iter().filter_map(|past| past.host_base);
                let base = bases.into_iter().find(|base| self.is_whole(base));
                manifest.put_host_base_back(workspace.id, base.as_ref())?;
            }
            Back::Stays => {}
        }
        Ok(back)
    }

    /// Where a fork is that has nothing left: its parent's head.
    fn origin(&self, manifest: &Manifest, workspace: &Workspace) -> Result<Option<Past>> {
        let Some(parent) = workspace.parent else { return Ok(None) };
        let parent = match manifest.workspace_by_id(parent) {
            Ok(parent) => parent,
            Err(error) if error.kind() == Kind::Failure => return Ok(None), // gone for good
            Err(error) => return Err(error),
        };
        let root = parent.head.filter(|head| self.is_whole(head));
        Ok(root.map(|root| Past { number: 0, root, host_base: parent.host_base, at: 0 }))
    }
}
