//! Edits of one state put onto another, which may lack directories that they lie in.

use std::collections::{HashMap, HashSet};

use super::dir::{lookup, tree_order};
use super::edit::{Edit, apply};
use super::node::{Entry, Meta};
use super::store::Trees;
use crate::cas::Digest;
use crate::error::Result;

/// What a directory of the state that the edits are of is like; `None`: it is none.
pub type DirAt<'a> = dyn Fn(&[u8]) -> Result<Option<Meta>> + 'a;

/// As [`apply`]. A directory that an edit lies in and that `root` does not have comes along,
/// as `dir_at` has it; what is to go from one is gone already.
pub fn apply_onto(
    trees: &dyn Trees,
    root: &Digest,
    mut edits: Vec<(Vec<u8>, Edit)>,
    dir_at: &DirAt<'_>,
) -> Result<Digest> {
    edits.sort_unstable_by(|a, b| tree_order(&a.0, &b.0));
    let mut is_dir: HashMap<Vec<u8>, bool> = HashMap::new();
    let given: HashSet<Vec<u8>> = edits.iter().map(|(path, _)| path.clone()).collect();
    let mut all = Vec::with_capacity(edits.len());
    for (path, edit) in edits {
        let mut stands = true;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for above in ends.map(|end| &path[..end]) {
            let known = match is_dir.get(above) {
                Some(known) => *known,
                None => lookup(trees, root, above)?.as_ref().is_some_and(Entry::is_dir),
            };
            is_dir.insert(above.to_vec(), known);
            if known {
                continue;
            }
            if edit == Edit::Remove || given.contains(above) {
                stands = edit != Edit::Remove;
                break;
            }
            let meta = dir_at(above)?.unwrap_or(Meta { mode: 0o755, ..Meta::default() });
            all.push((above.to_vec(), Edit::Dir { meta, opaque: false }));
            is_dir.insert(above.to_vec(), true);
        }
        is_dir.insert(path.clone(), matches!(edit, Edit::Dir { .. }));
        if stands {
            all.push((path, edit));
        }
    }
    apply(trees, root, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::diff::diff;
    use crate::manifest::dir::write_empty_root;
    use crate::manifest::model::{Counting, file};

    #[test]
    fn directories_come_along_and_what_is_not_there_need_not_go() {
        let trees = Counting::default();
        let root = write_empty_root(&trees, Meta::default()).unwrap();
        let put =
            |path: &str| (path.as_bytes().to_vec(), Edit::Put(file(path.rsplit('/').next().unwrap(), 1)));
        let dir_at = |path: &[u8]| Ok((path == b"a").then(|| Meta { mode: 0o700, ..Meta::default() }));
        let gone = |path: &str| (path.as_bytes().to_vec(), Edit::Remove);
        let edits = vec![put("a/b/c"), gone("q/r"), put("leaf"), gone("leaf/below"), gone("none")];
        let to = apply_onto(&trees, &root, edits, &dir_at).unwrap();
        let mut found = Vec::new();
        diff(&trees, Some(&root), Some(&to), &mut |change| {
            let mode = change.after.as_ref().unwrap().meta.mode;
            found.push((String::from_utf8(change.path).unwrap(), mode));
            Ok(())
        })
        .unwrap();
        found.retain(|(path, _)| !path.is_empty());
        let names: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "leaf"]);
        assert_eq!((found[0].1, found[1].1), (0o700, 0o755));
    }
}
