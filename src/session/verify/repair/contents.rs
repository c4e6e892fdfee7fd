//! Objects and trees: what is damaged goes to quarantine, what is missing comes back from
//! where a copy is that has the digest.

use std::collections::HashSet;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, chmodat};

use super::{Repaired, readable};
use crate::cas::finding::{Finding, Subject, What};
use crate::cas::verify::Wanted;
use crate::cas::{Digest, Store};
use crate::error::{Context, Result, quoted};
use crate::manifest::Manifest;
use crate::manifest::encode::{Body, decode};
use crate::manifest::store::Trees;
use crate::os::failpoint;
use crate::session::project::identity;
use crate::session::roll_back::lost;
use crate::session::verify::copies::Copies;

/// Trees: the damaged ones are put aside, the missing ones taken from other projects.
pub fn trees(store: &Store, found: &[Finding], repaired: &mut Repaired) -> Result<()> {
    let of_trees = |finding: &&Finding| {
        matches!(finding.what, What::TreeMissing | What::TreeDigest | What::TreeBroken | What::RootMissing)
    };
    let found: Vec<&Finding> = found.iter().filter(of_trees).collect();
    if found.is_empty() {
        return Ok(());
    }
    let all = readable(store)?;
    for finding in found {
        let Some((_, manifest, _)) = all.iter().find(|(id, ..)| *id == finding.project) else { continue };
        let (Subject::Tree(text) | Subject::Root(text)) = &finding.subject else { continue };
        let Some(digest) = text.get(..64).and_then(Digest::from_hex) else { continue };
        if matches!(finding.what, What::TreeDigest | What::TreeBroken) {
            let aside = manifest.stored(&digest).and_then(|body| {
                let to = store.set_bytes_aside(&format!("tree-{digest}"), &body.unwrap_or_default())?;
                manifest.drop_trees(&[digest])?;
                failpoint::at("repair.tree").context("drop a tree of", manifest.path())?;
                Ok(format!("{}: moved to {}", finding.place, to.display()))
            });
            repaired.note(&finding.place, aside);
        }
        let others = all.iter().filter(|(id, ..)| *id != finding.project);
        for (_, other, _) in others {
            if take_tree(manifest, other, &digest)? {
                repaired.done.push(format!("{}: taken from another project", finding.place));
                break;
            }
        }
    }
    for (id, manifest, _) in &all {
        // only a cache: what it names is looked at again
        if manifest.drop_stamps_of_missing_trees()? > 0 {
            repaired.done.push(format!("projects/{id}: the directory on the host is read again in part"));
        }
    }
    Ok(())
}

/// Takes a tree, with all below it that is missing; true when it is there now and was not.
fn take_tree(to: &Manifest, from: &Manifest, tree: &Digest) -> Result<bool> {
    if to.get(tree).is_ok() {
        return Ok(false);
    }
    let mut ahead = vec![*tree];
    let mut taken = false;
    while let Some(digest) = ahead.pop() {
        if to.get(&digest).is_ok() {
            continue;
        }
        let Ok(bytes) = from.get(&digest) else { continue };
        let Ok(body) = decode(&bytes) else { continue };
        if Digest::of(&bytes) != digest {
            continue;
        }
        to.put(&bytes)?;
        taken |= digest == *tree;
        match body {
            Body::Root(entry) => ahead.extend(entry.tree()),
            Body::Index(chunks) => ahead.extend(chunks.iter().map(|chunk| chunk.digest)),
            Body::List(entries) => {
                ahead.extend(entries.iter().filter_map(crate::manifest::node::Entry::tree))
            }
        }
    }
    Ok(taken)
}

/// Objects.
pub fn objects(store: &Store, found: &[Finding], repaired: &mut Repaired) -> Result<()> {
    for finding in found.iter().filter(|finding| finding.what == What::ObjectMode) {
        let path = store.root().join(&finding.place);
        let set = chmodat(CWD, &path, Mode::from_raw_mode(0o444), AtFlags::empty())
            .and_then(|()| failpoint::at("repair.mode"))
            .context("chmod", &path);
        repaired.note(&finding.place, set.map(|()| format!("{}: it has mode 0444 again", finding.place)));
    }
    for finding in
        found.iter().filter(|finding| matches!(finding.what, What::ObjectSize | What::ObjectDigest))
    {
        let path = store.root().join(&finding.place);
        let moved = store.sweeping().and_then(|_nobody_publishes| store.set_aside(&path));
        repaired.note(
            &finding.place,
            moved.map(|to| format!("{}: moved to {}", finding.place, to.unwrap_or_default().display())),
        );
    }
    let all = readable(store)?;
    let (mut copies, mut wanted, mut missing) = (Copies::default(), Wanted::new(), HashSet::new());
    for (id, manifest, forest) in &all {
        let mut needed = Wanted::new();
        forest.wanted(&mut needed);
        let here = lost(store, needed);
        if here.is_empty() {
            continue;
        }
        forest.wanted(&mut wanted);
        let dir = store.projects_path().join(id);
        let mut tops: Vec<_> = identity::path_of(manifest)?.into_iter().collect();
        tops.extend(manifest.lowers()?.1.iter().map(|layer| dir.join("layers").join(layer.id.to_string())));
        for hit in forest.all_hits(manifest, &here) {
            tops.iter().for_each(|top| copies.add(hit.lost, (top.clone(), hit.path.clone())));
        }
        missing.extend(here);
    }
    let token = store.publishing()?;
    let mut missing: Vec<_> = missing.iter().filter_map(|digest| wanted.get(&digest.object_name())).collect();
    missing.sort_by_key(|needed| needed.digest);
    for needed in missing {
        let place = format!("objects/{}", needed.digest.object_path());
        match copies.take_back(store, &token, needed) {
            Some(from) => repaired.done.push(format!("{place}: taken back from {}", shown(&from))),
            None => repaired.left.push(format!("{place}: it is lost, for nowhere is a copy of it")),
        }
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    quoted(path.as_os_str())
}
