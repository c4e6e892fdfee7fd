//! Where two workspaces were last the same: the base of their merge.
//!
//! A fork and its parent had the fork's first root in common; a merge of one into the other
//! makes the root that was brought in their common one, until that merge is undone.
//! Workspaces that meet further up have the older of the roots that they left it with.

use super::db::{Manifest, digest_at};
use super::history::Head;
use super::workspace::Workspace;
use crate::cas::Digest;
use crate::error::Result;

impl Manifest {
    /// Records that the head `number` of a workspace has a root of another one in it.
    /// Inside a transaction.
    pub fn add_merged(&self, workspace: i64, other: i64, root: &Digest, number: i64) -> Result<()> {
        let done = self.connection().execute(
            "INSERT INTO merged(workspace, other, root, head) VALUES(?1, ?2, ?3, ?4)",
            (workspace, other, root.as_bytes(), number),
        );
        self.doing("record a merge in", done).map(drop)
    }

    /// The root that two workspaces have in common; `None`: none is known.
    pub fn merge_base(&self, one: &Workspace, other: &Workspace) -> Result<Option<Digest>> {
        let newest = [self.last_merged(one.id, other.id)?, self.last_merged(other.id, one.id)?];
        if let Some((_, root)) = newest.into_iter().flatten().max_by_key(|(number, _)| *number) {
            return Ok(Some(root));
        }
        let (ours, theirs) = (self.ancestors(one)?, self.ancestors(other)?);
        for (id, our) in &ours {
            let Some((_, their)) = theirs.iter().find(|(theirs, _)| theirs == id) else { continue };
            return Ok(match (our, their) {
                (Some(our), Some(their)) => Some(self.older(*id, *our, *their)?),
                (root, None) | (None, root) => *root,
            });
        }
        Ok(None)
    }

    /// The newest root of `other` that was merged into a workspace, and was not undone.
    fn last_merged(&self, workspace: i64, other: i64) -> Result<Option<(i64, Digest)>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT head, root FROM merged WHERE workspace = ?1 AND other = ?2 ORDER BY head DESC",
            ),
        )?;
        let rows = query
            .query_map([workspace, other], |row| Ok((row.get(0)?, digest_at(row, 1)?)))
            .and_then(Iterator::collect);
        let rows: Vec<(i64, Digest)> = self.doing("read merges from", rows)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let heads = self.heads(workspace)?;
        Ok(rows.into_iter().find(|(number, _)| !is_undone(&heads, *number)))
    }

    /// A workspace and those it comes from, each with the root that the line to it left
    /// it with (none for the workspace itself).
    fn ancestors(&self, workspace: &Workspace) -> Result<Vec<(i64, Option<Digest>)>> {
        let mut found = vec![(workspace.id, None)];
        let mut here = workspace.clone();
        while let Some(parent) = here.parent.filter(|parent| *parent < here.id) {
            found.push((parent, here.forked));
            match self.workspace_by_id(parent) {
                Ok(parent) => here = parent,
                Err(_) => break, // it is not kept any more
            }
        }
        Ok(found)
    }

    /// The one of two roots that a workspace had first.
    fn older(&self, workspace: i64, one: Digest, other: Digest) -> Result<Digest> {
        let heads = self.heads(workspace)?;
        let first = |root: &Digest| heads.iter().rev().position(|head| head.root == *root);
        Ok(match (first(&one), first(&other)) {
            (Some(a), Some(b)) if b < a => other,
            (None, Some(_)) => other,
            _ => one,
        })
    }
}

/// Whether a head was left by an undo that itself still counts. `heads`: newest first.
fn is_undone(heads: &[Head], number: i64) -> bool {
    let mut limit = i64::MAX;
    for head in heads {
        if head.number > limit {
            continue;
        }
        if head.number <= number {
            return head.number < number && limit < number;
        }
        if let Some(back) = head.back {
            if back < number {
                return true;
            }
            limit = back;
        }
    }
    limit < number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::history::Cause;
    use crate::manifest::workspace::MAIN;

    fn root(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn moved(manifest: &Manifest, name: &str, to: &str, cause: Cause, back: Option<i64>) -> i64 {
        let now = manifest.known_workspace(name).unwrap();
        let number = manifest.move_head_back(now.id, now.head.as_ref(), &root(to), cause, back).unwrap();
        number.unwrap()
    }

    fn fork(manifest: &Manifest, name: &str, from: &str) -> Workspace {
        let parent = manifest.known_workspace(from).unwrap();
        manifest.add_fork(Some(name), &parent, &parent.head.unwrap(), None).unwrap()
    }

    #[test]
    fn a_merge_moves_the_base_and_its_undo_moves_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        manifest.create_workspace(MAIN).unwrap();
        moved(&manifest, MAIN, "m1", Cause::Sync, None);
        let a = fork(&manifest, "a", MAIN);
        let base = |one: &str, other: &str| {
            let of = |name: &str| manifest.known_workspace(name).unwrap();
            let (there, back) =
                (manifest.merge_base(&of(one), &of(other)), manifest.merge_base(&of(other), &of(one)));
            assert_eq!(there.as_ref().unwrap(), back.as_ref().unwrap());
            there.unwrap()
        };
        assert_eq!(base(MAIN, "a"), Some(root("m1")));
        let before = moved(&manifest, MAIN, "m2", Cause::Run, None);
        let b = fork(&manifest, "b", MAIN);
        assert_eq!(base("a", "b"), Some(root("m1")));
        moved(&manifest, "a", "a1", Cause::Run, None);
        let merge = moved(&manifest, MAIN, "m3", Cause::Merge, None);
        let main = manifest.known_workspace(MAIN).unwrap();
        manifest.add_merged(main.id, a.id, &root("a1"), merge).unwrap();
        assert_eq!(base(MAIN, "a"), Some(root("a1")));
        assert_eq!(base(MAIN, "b"), Some(root("m2")));
        let undo = moved(&manifest, MAIN, "m2", Cause::Undo, Some(before));
        assert_eq!(base(MAIN, "a"), Some(root("m1")));
        // the undo is undone
        moved(&manifest, MAIN, "m4", Cause::Run, None);
        assert_eq!(base(MAIN, "a"), Some(root("m1")));
        let into = moved(&manifest, "b", "b1", Cause::Merge, None);
        manifest.add_merged(b.id, main.id, &root("m4"), into).unwrap();
        assert_eq!(base(MAIN, "b"), Some(root("m4")));
        let _ = undo;
    }

    #[test]
    fn an_undo_that_went_back_to_a_merge_keeps_it() {
        let head = |number, back| Head { number, root: root("r"), cause: String::new(), back, at: 0 };
        // 5 merge, 6 run, 7 undo back to 5
        let heads = vec![head(7, Some(5)), head(6, None), head(5, None), head(4, None)];
        assert!(!is_undone(&heads, 5) && is_undone(&heads, 6) && !is_undone(&heads, 4));
        let mut heads = heads;
        heads.insert(0, head(8, Some(4)));
        assert!(is_undone(&heads, 5) && is_undone(&heads, 6) && !is_undone(&heads, 4));
        heads.insert(0, head(9, None));
        assert!(is_undone(&heads, 5) && !is_undone(&heads, 9));
        // older heads are not kept any more
        assert!(!is_undone(&heads[..1], 5));
    }
}
