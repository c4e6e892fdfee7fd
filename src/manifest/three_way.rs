//! One name, three ways: the table in `merge`, without a look below directories.

use crate::cas::digest::Digest;
use crate::error::Result;
use crate::manifest::node::{Content, Entry, Kind, Meta, Xattrs};

/// Whose version stands where only one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

/// Merges two changed contents of one file.
pub trait TextMerge {
    /// The merged content, stored; `None` when these are not for merging or do not
    /// merge. `base` is `None` when both sides added the file.
    fn merge(&self, base: Option<&Content>, ours: &Content, theirs: &Content) -> Result<Option<Content>>;
}

/// Merges no contents.
pub struct NoText;

impl TextMerge for NoText {
    fn merge(&self, _: Option<&Content>, _: &Content, _: &Content) -> Result<Option<Content>> {
        Ok(None)
    }
}

/// One name on all sides; `merge` says what comes of it.
#[derive(Clone, Default)]
pub struct Three {
    pub name: Vec<u8>,
    pub base: Option<Entry>,
    pub ours: Option<Entry>,
    pub theirs: Option<Entry>,
}

impl Three {
    pub fn trees(&self) -> [Option<Digest>; 3] {
        [&self.base, &self.ours, &self.theirs].map(|entry| entry.as_ref().and_then(Entry::tree))
    }

    /// Any side has a directory.
    pub fn has_dir(&self) -> bool {
        self.trees().iter().any(Option::is_some)
    }
}

/// What is to be done with a name.
pub enum Step {
    Take(Option<Entry>),
    Conflict(Option<Entry>),
    /// A directory with this metadata; what is in it is still to be merged. One that
    /// was deleted stays only if something in it does.
    Descend {
        meta: Meta,
        deleted: bool,
    },
}

/// The table at the top of `merge`.
pub struct Rules<'a> {
    pub winner: Side,
    pub text: &'a dyn TextMerge,
    /// A file that both sides have with one content keeps our mtime.
    pub our_mtimes: bool,
}

impl Rules<'_> {
    /// Decides one name, without looking into directories.
    pub fn step(&self, three: &Three) -> Result<Step> {
        let Three { base, ours, theirs, .. } = three;
        if ours == theirs || base == theirs {
            return Ok(Step::Take(ours.clone()));
        }
        if base == ours && !(self.our_mtimes && ours.is_some() && theirs.is_some()) {
            return Ok(Step::Take(theirs.clone()));
        }
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.both(base.as_ref(), ours, theirs),
            (Some(left), None) | (None, Some(left)) => Ok(match base {
                Some(base) if base.kind == left.kind => Step::Take(None),
                Some(base) if base.is_dir() && left.is_dir() => {
                    Step::Descend { meta: left.meta.clone(), deleted: true }
                }
                _ => Step::Conflict(self.winning(ours, theirs).clone()),
            }),
            (None, None) => Ok(Step::Take(None)),
        }
    }

    /// Both are there, and differ from each other and from the base.
    fn both(&self, base: Option<&Entry>, ours: &Entry, theirs: &Entry) -> Result<Step> {
        let base_kind = base.map(|base| &base.kind);
        let alike = base.filter(|base| same_sort(&base.kind, &ours.kind));
        let base_meta = alike.map(|base| &base.meta);
        if ours.is_dir() && theirs.is_dir() {
            return Ok(Step::Descend {
                meta: self.meta(base_meta, &ours.meta, &theirs.meta),
                deleted: false,
            });
        }
        if ours.kind == theirs.kind {
            let mut merged = ours.clone();
            merged.meta = self.meta(base_meta, &ours.meta, &theirs.meta);
            if self.our_mtimes && ours.content().is_some() {
                merged.meta.mtime = ours.meta.mtime;
            }
            merged.group = self.field(alike.map(|base| &base.group), &ours.group, &theirs.group);
            return Ok(Step::Take(Some(merged)));
        }
        let (changed, other) = match base_kind {
            Some(kind) if *kind == ours.kind => (theirs, ours),
            Some(kind) if *kind == theirs.kind => (ours, theirs),
            _ => return self.contents(base, ours, theirs),
        };
        let mut merged = changed.clone();
        if same_sort(&changed.kind, &other.kind) {
            merged.meta.xattrs = self.xattrs(base_meta, &ours.meta.xattrs, &theirs.meta.xattrs);
        }
        Ok(Step::Take(Some(merged)))
    }

    /// Both changed the content.
    fn contents(&self, base: Option<&Entry>, ours: &Entry, theirs: &Entry) -> Result<Step> {
        if let (Some(our), Some(their)) = (ours.content(), theirs.content()) {
            let base = base.filter(|base| base.content().is_some());
            if let Some(content) = self.text.merge(base.and_then(Entry::content), our, their)? {
                let mut merged = ours.clone();
                merged.meta = self.meta(base.map(|base| &base.meta), &ours.meta, &theirs.meta);
                merged.meta.mtime = ours.meta.mtime.max(theirs.meta.mtime);
                // Neither side's entry: linked only if both sides agree on the names.
                merged.group = if ours.group == theirs.group { ours.group } else { 0 };
                merged.kind = Kind::File(content);
                return Ok(Step::Take(Some(merged)));
            }
        }
        Ok(Step::Conflict(Some(self.winning(ours, theirs).clone())))
    }

    fn winning<'e, T: ?Sized>(&self, ours: &'e T, theirs: &'e T) -> &'e T {
        match self.winner {
            Side::Ours => ours,
            Side::Theirs => theirs,
        }
    }

    fn field<T: PartialEq + Clone>(&self, base: Option<&T>, ours: &T, theirs: &T) -> T {
        if base == Some(ours) {
            theirs.clone()
        } else if base == Some(theirs) {
            ours.clone()
        } else {
            self.winning(ours, theirs).clone()
        }
    }

    fn meta(&self, base: Option<&Meta>, ours: &Meta, theirs: &Meta) -> Meta {
        let mode = self.field(base.map(|base| &base.mode), &ours.mode, &theirs.mode);
        let mtime = match base.map(|base| base.mtime) {
            Some(time) if time == ours.mtime => theirs.mtime,
            Some(time) if time == theirs.mtime => ours.mtime,
            _ => ours.mtime.max(theirs.mtime),
        };
        Meta { mode, mtime, xattrs: self.xattrs(base, &ours.xattrs, &theirs.xattrs) }
    }

    /// Each name by itself; not being there is a value like others.
    fn xattrs(&self, base: Option<&Meta>, ours: &Xattrs, theirs: &Xattrs) -> Xattrs {
        fn value<'x>(xattrs: &'x [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'x Vec<u8>> {
            let at = xattrs.binary_search_by(|xattr| xattr.0.as_slice().cmp(name)).ok()?;
            Some(&xattrs[at].1)
        }
        let base = base.map_or(&[][..], |base| &base.xattrs);
        let mut names: Vec<&Vec<u8>> = ours.iter().chain(theirs).map(|xattr| &xattr.0).collect();
        names.sort_unstable();
        names.dedup();
        let merged = |name: &Vec<u8>| {
            let kept = self.field(Some(&value(base, name)), &value(ours, name), &value(theirs, name));
            kept.map(|value| (name.clone(), value.clone()))
        };
        names.into_iter().filter_map(merged).collect()
    }
}

/// The same of file, symbolic link, fifo, directory.
fn same_sort(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
