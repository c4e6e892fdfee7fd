//! What a store holds: what is needed, by which project, and what sharing saves.
//!
//! Nothing is locked: what changes meanwhile is counted as it was or as it is. A project
//! whose manifest cannot be read is listed with the reason. Sizes are those of contents in
//! bytes; what the disk takes is said of the objects as a whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::project::{Project, registry};
use crate::cas::Digest;
use crate::cas::store::Store;
use crate::cas::sweep::Name;
use crate::error::{Context, Result};
use crate::manifest::Manifest;
use crate::manifest::db;
use crate::manifest::node::{Entry, Kind};
use crate::manifest::reach::{Part, Reach};
use crate::manifest::run::Run;
use crate::manifest::walk::Walk;
use crate::progress::Meter;

/// A store, and one project's part in it.
pub struct Stats {
    pub objects: Held,
    /// Bytes of disk that the objects take.
    pub on_disk: u64,
    /// Objects that no project names: what `vrift gc` may remove.
    pub unnamed: Held,
    pub projects: Vec<Share>,
    pub here: Option<Here>,
}

/// A number of contents, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub count: u64,
    pub bytes: u64,
}

impl Held {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// One project's part.
pub struct Share {
    pub id: String,
    pub root: Option<PathBuf>,
    /// Why it cannot be counted.
    pub broken: Option<String>,
    /// What its workspaces, snapshots and conflicts name.
    pub live: Held,
    /// What only its old states name besides.
    pub history: Held,
    /// Of both, what no other project names.
    pub alone: Held,
    /// Bytes of its manifest.
    pub manifest: u64,
}

/// More about one workspace and its project.
pub struct Here {
    pub workspace: String,
    pub workspaces: Vec<Branch>,
    /// What the workspaces' heads hold together, each content once.
    pub together: Held,
    /// The workspace's snapshots, oldest first.
    pub snapshots: Vec<Grown>,
    /// The largest files of its head, largest first.
    pub largest: Measured,
    /// Its head by directory.
    pub top: Folder,
    /// The project's last runs, newest first.
    pub runs: Vec<Run>,
}

/// What one workspace's head holds.
pub struct Branch {
    pub name: String,
    pub held: Held,
    /// What no other workspace's head holds.
    pub alone: Held,
}

/// A snapshot, and what it brought.
pub struct Grown {
    pub name: String,
    /// Seconds since the epoch.
    pub at: i64,
    /// Contents that no earlier snapshot of the line has.
    pub new: Held,
}

/// A directory with all that is below it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folder {
    pub held: Held,
    /// By name, as far down as four levels.
    pub inner: BTreeMap<Vec<u8>, Folder>,
}

/// How far down directories are told apart.
const DEPTH: usize = 4;
/// How many of the largest files are named.
const LARGEST: usize = 20;
/// How many runs are looked at.
const RUNS: u32 = 200;

/// Counts a store, and for the workspace of a project, when one is given, more of it.
pub fn stats(store: &Store, here: Option<(&Project, &str)>, meter: &Meter) -> Result<Stats> {
    let mut owners: HashMap<Name, Owner> = HashMap::new();
    let mut projects = Vec::new();
    for (number, known) in registry::list(store)?.into_iter().enumerate() {
        let dir = store.projects_path().join(&known.id);
        let manifest = std::fs::metadata(dir.join(db::NAME)).map_or(0, |stat| stat.len());
        let mut share = Share {
            id: known.id,
            root: known.root,
            broken: known.broken.map(|why| why.to_string()),
            live: Held::default(),
            history: Held::default(),
            alone: Held::default(),
            manifest,
        };
        if share.broken.is_none() {
            let counted = Manifest::open_in(store, &dir)
                .and_then(|manifest| count(&manifest, number, &mut share, &mut owners, meter));
            share.broken = counted.err().map(|why| why.to_string());
        }
        projects.push(share);
    }
    for owner in owners.values() {
        if let Some(share) = owner.number.and_then(|number| projects.get_mut(number)) {
            share.alone.add(owner.bytes);
        }
    }
    let (objects, on_disk, unnamed) = on_disk(store, &owners)?;
    let here = here.map(|(project, workspace)| look(project, workspace)).transpose()?;
    Ok(Stats { objects, on_disk, unnamed, projects, here })
}

/// Who names a content: one, by number, or several.
struct Owner {
    number: Option<usize>,
    bytes: u64,
}

/// Notes that `number` names a content.
fn own(owners: &mut HashMap<Name, Owner>, name: Name, bytes: u64, number: usize) {
    let owner = owners.entry(name).or_insert(Owner { number: Some(number), bytes });
    if owner.number != Some(number) {
        owner.number = None;
    }
}

fn count(
    manifest: &Manifest,
    number: usize,
    share: &mut Share,
    owners: &mut HashMap<Name, Owner>,
    meter: &Meter,
) -> Result<()> {
    let mut reach = Reach::default();
    let mut add = |root: &Digest, held: &mut Held| {
        reach.walk(manifest, root, &mut |part| {
            if let Part::File(content) = part {
                held.add(content.size);
                own(owners, content.digest.object_name(), content.size, number);
                meter.file(content.size);
            }
            Ok(())
        })
    };
    manifest.named_roots()?.iter().try_for_each(|root| add(root, &mut share.live))?;
    manifest.old_heads()?.iter().try_for_each(|head| add(&head.root, &mut share.history))
}

/// The objects there are, the disk they take, and those nobody owns.
fn on_disk(store: &Store, owners: &HashMap<Name, Owner>) -> Result<(Held, u64, Held)> {
    let (mut objects, mut disk, mut unnamed) = (Held::default(), 0, Held::default());
    for shard in store.shards()? {
        let path = store.objects_path().join(&shard);
        for entry in std::fs::read_dir(&path).context("read", &path)? {
            let entry = entry.context("read", &path)?;
            let name: Option<Name> =
                [shard.as_bytes(), entry.file_name().as_encoded_bytes()].concat().try_into().ok();
            // gone meanwhile, or no object
            let (Some(name), Ok(stat)) = (name, entry.metadata()) else { continue };
            objects.add(stat.len());
            disk += stat.blocks() * 512;
            if !owners.contains_key(&name) {
                unnamed.add(stat.len());
            }
        }
    }
    Ok((objects, disk, unnamed))
}

fn look(project: &Project, workspace: &str) -> Result<Here> {
    let manifest = &project.manifest;
    let wanted = manifest.known_workspace(workspace)?;
    let mut grown = Vec::new();
    let mut reach = Reach::default();
    for snapshot in manifest.line(wanted.snapshot)?.into_iter().rev() {
        let mut new = Held::default();
        reach.walk(manifest, &snapshot.root, &mut |part| {
            if let Part::File(content) = part {
                new.add(content.size);
            }
            Ok(())
        })?;
        grown.push(Grown { name: snapshot.name, at: snapshot.at, new });
    }
    let (top, largest) = match wanted.head {
        Some(head) => folders(Walk::new(manifest, &head)?)?,
        None => (Folder::default(), Vec::new()),
    };
    let (workspaces, together) = branches(manifest)?;
    Ok(Here {
        workspace: workspace.into(),
        workspaces,
        together,
        snapshots: grown,
        largest,
        top,
        runs: manifest.runs(RUNS)?.into_iter().map(|(_, run)| run).collect(),
    })
}

/// What each workspace's head holds, and holds alone; and what they hold together.
fn branches(manifest: &Manifest) -> Result<(Vec<Branch>, Held)> {
    let mut owners = HashMap::new();
    let mut branches = Vec::new();
    for workspace in manifest.workspaces()?.into_iter().filter(|workspace| !workspace.is_throw_away()) {
        let mut held = Held::default();
        if let Some(head) = workspace.head {
            Reach::default().walk(manifest, &head, &mut |part| {
                if let Part::File(content) = part {
                    held.add(content.size);
                    own(&mut owners, content.digest.object_name(), content.size, branches.len());
                }
                Ok(())
            })?;
        }
        branches.push(Branch { name: workspace.name, held, alone: Held::default() });
    }
    let mut together = Held::default();
    for owner in owners.values() {
        together.add(owner.bytes);
        if let Some(branch) = owner.number.and_then(|number| branches.get_mut(number)) {
            branch.alone.add(owner.bytes);
        }
    }
    Ok((branches, together))
}

/// Paths with their sizes in bytes.
type Measured = Vec<(Vec<u8>, u64)>;

/// A root's files by directory, and the largest of them.
fn folders(walk: impl Iterator<Item = Result<(Vec<u8>, Entry)>>) -> Result<(Folder, Measured)> {
    let mut top = Folder::default();
    let mut largest = BinaryHeap::new();
    for found in walk {
        let (path, entry) = found?;
        let Kind::File(content) = entry.kind else { continue };
        let mut folder = &mut top;
        folder.held.add(content.size);
        let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &path[..slash]);
        for name in parent.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).take(DEPTH) {
            folder = folder.inner.entry(name.to_vec()).or_default();
            folder.held.add(content.size);
        }
        largest.push(Reverse((content.size, Reverse(path))));
        if largest.len() > LARGEST {
            largest.pop();
        }
    }
    let largest = largest.into_sorted_vec().into_iter().map(|Reverse((size, Reverse(path)))| (path, size));
    Ok((top, largest.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::file;

    #[test]
    fn files_are_counted_in_every_directory_above_them() {
        let paths = ["a/b/c/d/e/f", "a/x", "top"];
        let found = paths.iter().zip(1u8..).map(|(path, n)| {
            let mut entry = file("", u64::from(n));
            if let Kind::File(content) = &mut entry.kind {
                content.size = u64::from(n) * 100;
            }
            Ok((path.as_bytes().to_vec(), entry))
        });
        let (top, largest) = folders(found).unwrap();
        assert_eq!(top.held, Held { count: 3, bytes: 600 });
        let a = &top.inner[b"a".as_slice()];
        assert_eq!(a.held, Held { count: 2, bytes: 300 });
        let deepest = &a.inner[b"b".as_slice()].inner[b"c".as_slice()].inner[b"d".as_slice()];
        assert_eq!((deepest.held, deepest.inner.len()), (Held { count: 1, bytes: 100 }, 0));
        let named: Vec<_> = largest.iter().map(|(path, size)| (path.as_slice(), *size)).collect();
        assert_eq!(named, [(&b"top"[..], 300), (b"a/x", 200), (b"a/b/c/d/e/f", 100)]);
    }

    #[test]
    fn only_so_many_of_the_largest_are_named() {
        let found = (0..100u64).map(|n| {
            let mut entry = file("", n);
            if let Kind::File(content) = &mut entry.kind {
                content.size = n;
            }
            Ok((n.to_string().into_bytes(), entry))
        });
        let (_, largest) = folders(found).unwrap();
        let sizes: Vec<u64> = largest.iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, (80..100).rev().collect::<Vec<u64>>());
    }
}
