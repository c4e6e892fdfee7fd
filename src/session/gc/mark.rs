//! What every project needs: its manifest's roots, and those that sessions started from.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::{Opened, Swept, tidy};
use crate::cas::Digest;
use crate::cas::store::Store;
use crate::cas::sweep::Name;
use crate::config::{Config, amount, keys};
use crate::error::{Context, Error, Result};
use crate::manifest::Manifest;
use crate::manifest::keep::OldHead;
use crate::manifest::reach::{Part, Reach};
use crate::os::failpoint;
use crate::session::plain;
use crate::session::project::{identity, registry};
use crate::session::record::Record;

/// What old heads alone may hold when nothing is configured: as much as is live, at least this.
const LEAST_HISTORY: u64 = 256 << 20;
/// Old heads forgotten in one transaction.
const BATCH: usize = 500;

/// All projects, and the objects that they need as far as they have been walked.
pub struct Marks<'a> {
    pub store: &'a Store,
    pub projects: Vec<Mark>,
    pub kept: HashSet<Name>,
    known: HashSet<OsString>,
}

/// One project.
pub struct Mark {
    pub manifest: Manifest,
    walked: Walked,
}

/// What has been shown of it.
struct Walked {
    dir: PathBuf,
    reach: Reach,
    version: i64,
    /// Bytes of contents.
    bytes: u64,
}

impl<'a> Marks<'a> {
    /// Opens every project's manifest.
    ///
    /// # Errors
    /// When one cannot be read, is of a newer vrift, or is gone where it is known to have been.
    pub fn open(store: &'a Store) -> Result<Self> {
        let mut marks = Self { store, projects: Vec::new(), kept: HashSet::new(), known: HashSet::new() };
        marks.open_new()?;
        Ok(marks)
    }

    /// Opens the projects that have come to be since; returns where they begin.
    fn open_new(&mut self) -> Result<usize> {
        let before = self.projects.len();
        for id in registry::directories(self.store)? {
            if self.known.contains(&id) {
                continue;
            }
            let dir = self.store.projects_path().join(&id);
            if let Some(manifest) = registry::manifest_of(&dir).map_err(|why| refused(&why, &id))? {
                self.projects.push(Mark::new((dir, manifest))?);
                self.known.insert(id);
            }
        }
        Ok(before)
    }

    /// Marks all that is to stay. Returns the old heads that are not, of each project.
    pub fn mark(&mut self) -> Result<Vec<Vec<i64>>> {
        let mut expired = Vec::new();
        for mark in &mut self.projects {
            let (roots, heads) = (mark.manifest.named_roots()?, mark.manifest.old_heads()?);
            expired.push(mark.all(roots, heads, &mut self.kept)?);
        }
        Ok(expired)
    }

    /// The same as if everything that is due had been put away; counts that.
    pub fn rehearse(&mut self, swept: &mut Swept) -> Result<()> {
        swept.projects = registry::forgotten(self.store)?.len() as u64;
        for mark in &mut self.projects {
            let dir = &mark.walked.dir;
            let (roots, heads) = mark.manifest.rehearse(|manifest| {
                manifest.drop_deleted_workspaces()?;
                manifest.drop_old_outputs()?;
                tidy::rehearse(self.store, manifest, dir, swept)?;
                Ok((manifest.named_roots()?, manifest.old_heads()?))
            })?;
            swept.heads += mark.all(roots, heads, &mut self.kept)?.len() as u64;
        }
        Ok(())
    }

    /// Forgets old heads; returns how many.
    pub fn forget(&mut self, expired: &[Vec<i64>]) -> Result<u64> {
        let mut count = 0;
        for (mark, expired) in self.projects.iter().zip(expired) {
            for batch in expired.chunks(BATCH) {
                mark.manifest.drop_heads(batch)?;
                failpoint::at("gc.heads").context("forget heads in", mark.manifest.path())?;
            }
            count += expired.len() as u64;
        }
        Ok(count)
    }

    /// Whether anything was committed, or a project made, since the last look.
    pub fn have_moved(&self) -> Result<bool> {
        for mark in &self.projects {
            if mark.manifest.data_version()? != mark.walked.version {
                return Ok(true);
            }
        }
        Ok(registry::directories(self.store)?.iter().any(|id| !self.known.contains(id)))
    }

    /// Marks what has been committed since the last look, by projects made since, too.
    pub fn catch_up(&mut self) -> Result<()> {
        let new = self.open_new()?;
        for (at, mark) in self.projects.iter_mut().enumerate() {
            mark.walked.again(&mark.manifest, at >= new, &mut self.kept)?;
        }
        Ok(())
    }

    /// Removes those of the trees of a project that are still not needed: nobody commits
    /// between the last look and the removal. Returns how many.
    pub fn drop_trees(&mut self, project: usize, trees: &[Digest]) -> Result<u64> {
        let kept = &mut self.kept;
        let Mark { manifest, walked } = &mut self.projects[project];
        manifest.transaction(|manifest| {
            walked.again(manifest, false, kept)?;
            let still: Vec<Digest> =
                trees.iter().filter(|tree| !walked.reach.has_shown(tree)).copied().collect();
            manifest.drop_trees(&still)?;
            Ok(still.len() as u64)
        })
    }

    /// Bytes of all contents that are needed.
    pub fn bytes(&self) -> u64 {
        self.projects.iter().map(|mark| mark.walked.bytes).sum()
    }
}

fn refused(why: &Error, id: &OsString) -> Error {
    let id = id.to_string_lossy();
    Error::failure(format!("nothing is removed: {why}")).with_hint(format!(
        "what that project needs is not known; if it is not wanted any more: vrift project forget {id}"
    ))
}

impl Mark {
    fn new((dir, manifest): Opened) -> Result<Self> {
        let version = manifest.data_version()?;
        Ok(Self { manifest, walked: Walked { dir, reach: Reach::default(), version, bytes: 0 } })
    }

    /// Marks roots, and old heads, newest first, as long as they are to be kept. Returns the
    /// numbers of those that are not.
    fn all(
        &mut self,
        roots: HashSet<Digest>,
        heads: Vec<OldHead>,
        kept: &mut HashSet<Name>,
    ) -> Result<Vec<i64>> {
        let walked = &mut self.walked;
        for root in roots.into_iter().chain(walked.started_from()?) {
            walked.root(&self.manifest, &root, kept)?;
        }
        walked.outputs(&self.manifest, kept)?;
        let live = walked.bytes;
        let limit = limit_of(&self.manifest)?.unwrap_or(live.max(LEAST_HISTORY));
        let mut expired = Vec::new();
        for head in heads {
            let full = walked.bytes - live > limit;
            if !head.always && (head.expired || full) {
                expired.push(head.number);
                continue;
            }
            walked.root(&self.manifest, &head.root, kept)?;
        }
        Ok(expired)
    }

    /// The trees that nothing has been found to need.
    pub fn unneeded(&mut self) -> Result<Vec<Digest>> {
        let trees = self.manifest.trees()?;
        Ok(trees.into_iter().filter(|tree| !self.walked.reach.has_shown(tree)).collect())
    }
}

impl Walked {
    fn root(&mut self, manifest: &Manifest, root: &Digest, kept: &mut HashSet<Name>) -> Result<()> {
        let bytes = &mut self.bytes;
        self.reach.walk(manifest, root, &mut |part| {
            if let Part::File(content) = part {
                *bytes += content.size;
                kept.insert(content.digest.object_name());
            }
            Ok(())
        })
    }

    /// Marks what runs printed.
    fn outputs(&mut self, manifest: &Manifest, kept: &mut HashSet<Name>) -> Result<()> {
        for (_, output) in manifest.outputs()? {
            if kept.insert(output.digest.object_name()) {
                self.bytes += output.size;
            }
        }
        Ok(())
    }

    /// Marks all that is named now, if anything was committed since, or `anyway`.
    fn again(&mut self, manifest: &Manifest, anyway: bool, kept: &mut HashSet<Name>) -> Result<()> {
        let version = manifest.data_version()?;
        if version == self.version && !anyway {
            return Ok(());
        }
        self.version = version;
        // heads that are left are kept by now, and so is what has become one since
        let heads = manifest.old_heads()?.into_iter().map(|head| head.root);
        for root in manifest.named_roots()?.into_iter().chain(self.started_from()?).chain(heads) {
            self.root(manifest, &root, kept)?;
        }
        self.outputs(manifest, kept)
    }

    /// The roots that sessions started from, live and orphaned ones.
    fn started_from(&self) -> Result<Vec<Digest>> {
        let mut roots = Vec::new();
        for top in [self.dir.join("staging"), self.dir.join(plain::DIR)] {
            let entries = match std::fs::read_dir(&top) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.context("read", &top)?,
            };
            for entry in entries {
                let path = entry.context("read", &top)?.path();
                // a spare's record names a root that nobody needs, and may be gone
                let is_session = path.extension().is_none() && path.is_dir();
                if let Some(record) = is_session.then(|| Record::read(&path)).transpose()?.flatten() {
                    roots.push(record.start_root()?);
                }
            }
        }
        Ok(roots)
    }
}

/// `history.bytes` as it is set for the project, where it is. Where what is set cannot be
/// read, all of it is kept: other commands say so.
fn limit_of(manifest: &Manifest) -> Result<Option<u64>> {
    let Some(root) = identity::path_of(manifest)? else { return Ok(None) };
    let limit = || Config::load(&root, &[], None)?.text(keys::HISTORY_BYTES).map(amount::bytes).transpose();
    Ok(limit().unwrap_or(Some(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::Store;
    use crate::manifest::dir::{write_dir, write_root};
    use crate::manifest::model::file;
    use crate::manifest::node::{Entry, Kind, Meta};

    /// A project that is registered while a collection goes on may name what that one has
    /// found to be garbage.
    #[test]
    fn projects_that_come_meanwhile_are_marked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let mut marks = Marks::open(&store).unwrap();
        marks.mark().unwrap();
        assert!(!marks.have_moved().unwrap());
        let project = store.projects_path().join("p");
        std::fs::create_dir(&project).unwrap();
        let entry = file("f", 7);
        let Kind::File(content) = &entry.kind else { panic!("not a file") };
        let name = content.digest.object_name();
        let manifest = Manifest::open(&project).unwrap();
        let tree = write_dir(&manifest, std::slice::from_ref(&entry)).unwrap();
        let meta = Meta {
            mode: 0o755,
            mtime: crate::manifest::node::Time { secs: 0, nanos: 0 },
            xattrs: Vec::new(),
        };
        let root = Entry { name: Vec::new(), meta, group: 0, kind: Kind::Dir(tree) };
        let root = write_root(&manifest, &root).unwrap();
        assert!(marks.have_moved().unwrap());
        marks.catch_up().unwrap();
        assert!(!marks.kept.contains(&name), "no row names it yet");
        manifest.set_meta("apply/x", root.as_bytes()).unwrap();
        assert!(marks.have_moved().unwrap());
        marks.catch_up().unwrap();
        assert!(marks.kept.contains(&name) && !marks.have_moved().unwrap());
        // what was made meanwhile is not among the trees that go
        let trees = manifest.trees().unwrap();
        assert_eq!(marks.drop_trees(0, &trees).unwrap(), 0);
        manifest.remove_meta("apply/x").unwrap();
    }
}
