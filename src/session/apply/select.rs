//! Which paths apply writes: class `follow`, and `own` where it is named; never what lies
//! in a `.git`, and nothing that is mounted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::cas::Digest;
use crate::error::Result;
use crate::manifest::chunk::Listing;
use crate::manifest::dir::read_root;
use crate::manifest::lines::text_of;
use crate::manifest::node::Entry;
use crate::os::cursor::split;
use crate::os::dir::Dir;
use crate::session::mounts::{self, is_below};
use crate::session::project::Project;
use crate::session::sync::class::{Class, Classes, Rules};
use crate::session::sync::walk::read_rules;

/// What is to become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Write,
    /// It is on the way to something that was named: only to be there.
    OnTheWay,
    /// Not, nor what is below it.
    Leave,
}

/// Decides path by path.
pub struct Select<'a> {
    project: &'a Project,
    classes: Classes<'a>,
    covered: Vec<Vec<u8>>,
    /// Empty: everything.
    named: &'a [Vec<u8>],
    /// Paths that were answered with no.
    left: &'a [Vec<u8>],
    /// The state that is applied: its ignore rules count, too.
    root: Digest,
    known: RefCell<HashMap<Vec<u8>, Inside>>,
}

/// What holds in a directory.
#[derive(Clone)]
struct Inside {
    rules: Option<Arc<Rules>>,
    own: bool,
    /// What the applied state has there.
    tree: Option<Digest>,
}

impl<'a> Select<'a> {
    pub fn new(
        project: &'a Project,
        root: Digest,
        named: &'a [Vec<u8>],
        left: &'a [Vec<u8>],
    ) -> Result<Self> {
        Ok(Self {
            project,
            classes: Classes::of_project(&project.root, &project.config),
            covered: mounts::covered(project)?,
            named,
            left,
            root,
            known: RefCell::default(),
        })
    }

    pub fn want(&self, path: &[u8], is_dir: bool) -> Result<Want> {
        let at = |dir: &Vec<u8>| path == dir.as_slice() || dir.is_empty() || is_below(path, dir);
        if path.split(|&byte| byte == b'/').any(|part| part == b".git")
            || self.covered.iter().any(at)
            || self.left.iter().any(at)
        {
            return Ok(Want::Leave);
        }
        let class = self.class(path, is_dir)?;
        if class.is_mounted() {
            return Ok(Want::Leave);
        }
        // A directory that holds an `own` one does not name it.
        let names = |named: &Vec<u8>| {
            Ok::<_, crate::error::Error>(
                at(named) && (class != Class::Own || self.class(named, true)? == Class::Own),
            )
        };
        for named in self.named {
            if names(named)? {
                return Ok(Want::Write);
            }
        }
        if self.named.iter().any(|named| path.is_empty() || is_below(named, path)) {
            return Ok(Want::OnTheWay);
        }
        Ok(if self.named.is_empty() && class == Class::Follow { Want::Write } else { Want::Leave })
    }

    /// Whether a path is the workspace's own.
    pub fn is_own(&self, path: &[u8], is_dir: bool) -> Result<bool> {
        Ok(self.class(path, is_dir)? == Class::Own)
    }

    fn class(&self, path: &[u8], is_dir: bool) -> Result<Class> {
        let Some((above, _)) = split(path) else { return Ok(Class::Follow) };
        let inside = self.inside(above)?;
        Ok(self.classes.of_path(inside.rules.as_ref(), path, is_dir, inside.own))
    }

    /// From the nearest directory above that is known, so that nothing recurses on the depth of
    /// a tree, and a walk down one asks for each directory once.
    fn inside(&self, dir: &[u8]) -> Result<Inside> {
        let mut unknown = Vec::new();
        let mut at = dir;
        let mut inside = loop {
            if let Some(known) = self.known.borrow().get(at) {
                break known.clone();
            }
            let Some((above, name)) = split(at) else { break self.top()? };
            unknown.push((at, name));
            at = above;
        };
        for (at, name) in unknown.into_iter().rev() {
            let own = self.classes.of_path(inside.rules.as_ref(), at, true, inside.own) == Class::Own;
            let entry = self.entry(inside.tree.as_ref(), name)?;
            let tree = entry.and_then(|entry| entry.tree());
            let rules = self.with_file(at, tree.as_ref(), inside.rules)?;
            inside = Inside { rules, own, tree };
            self.known.borrow_mut().insert(at.to_vec(), inside.clone());
        }
        Ok(inside)
    }

    /// What holds in the project's root directory.
    fn top(&self) -> Result<Inside> {
        let tree = read_root(&self.project.manifest, &self.root)?.tree();
        let top = Inside { rules: self.with_file(b"", tree.as_ref(), self.classes.top())?, own: false, tree };
        self.known.borrow_mut().insert(Vec::new(), top.clone());
        Ok(top)
    }

    fn entry(&self, tree: Option<&Digest>, name: &[u8]) -> Result<Option<Entry>> {
        Ok(Listing::open(&self.project.manifest, tree)?.get(name)?.cloned())
    }

    /// The workspace's `.gitignore`, else the host's.
    fn with_file(
        &self,
        dir: &[u8],
        tree: Option<&Digest>,
        outer: Option<Arc<Rules>>,
    ) -> Result<Option<Arc<Rules>>> {
        let Some(outer) = outer else { return Ok(None) };
        let ours = self.entry(tree, b".gitignore")?;
        let text = match ours.as_ref().and_then(|entry| entry.content()) {
            Some(content) => text_of(&self.project.store, content)?,
            None => {
                let dir = Dir::open(&self.project.root.join(OsStr::from_bytes(dir))).ok();
                dir.and_then(|dir| read_rules(&dir))
            }
        };
        Ok(Some(match text {
            Some(text) => self.classes.with_file(&outer, dir, &text),
            None => outer,
        }))
    }
}
