//! What a user is told of the difference of two roots: one item a path, with renames
//! found by digest, directories left out that differ only by what is in them.

use std::collections::{HashMap, HashSet};

use super::diff::{Change, What, diff};
use super::node::{Entry, Kind, Meta};
use super::store::Trees;
use crate::cas::Digest;
use crate::error::Result;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Added,
    Deleted,
    /// Another content of a file, another target of a symbolic link.
    Modified,
    /// Another kind: file, directory, symbolic link, FIFO.
    Retyped,
    /// A file with another name and the same content.
    Renamed,
    /// Mode, mtime, xattrs or hard links only.
    Metadata,
}

/// What of the metadata differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differs {
    pub mode: bool,
    pub mtime: bool,
    pub xattrs: bool,
    pub links: bool,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub mark: Mark,
    pub path: Vec<u8>,
    /// For a rename: the name it had.
    pub from: Option<Vec<u8>>,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
    /// A whole directory stands for so many names below it, which are not listed.
    pub below: usize,
}

impl Mark {
    /// As `git diff --name-status` has it; `m` for metadata alone.
    pub fn letter(self) -> char {
        match self {
            Mark::Added => 'A',
            Mark::Deleted => 'D',
            Mark::Modified => 'M',
            Mark::Retyped => 'T',
            Mark::Renamed => 'R',
            Mark::Metadata => 'm',
        }
    }

    /// In JSON.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Added => "added",
            Mark::Deleted => "deleted",
            Mark::Modified => "modified",
            Mark::Retyped => "type-changed",
            Mark::Renamed => "renamed",
            Mark::Metadata => "metadata",
        }
    }
}

impl Item {
    /// What became of one path by itself.
    pub fn of(path: Vec<u8>, before: Option<Entry>, after: Option<Entry>) -> Self {
        let mark =
            match (&before, &after) {
                (None, _) => Mark::Added,
                (_, None) => Mark::Deleted,
                (Some(old), Some(new)) if old.kind == new.kind => Mark::Metadata,
                (Some(old), Some(new))
                    if std::mem::discriminant(&old.kind) == std::mem::discriminant(&new.kind) =>
                {
                    if old.is_dir() { Mark::Metadata } else { Mark::Modified }
                }
                _ => Mark::Retyped,
            };
        Self { mark, path, from: None, before, after, below: 0 }
    }

    /// Either side is a directory.
    pub fn is_dir(&self) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(Entry::is_dir)
    }

    pub fn differs(&self) -> Differs {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return Differs::default() };
        let (old, new): (&Meta, &Meta) = (&before.meta, &after.meta);
        Differs {
            mode: old.mode != new.mode,
            mtime: old.mtime != new.mtime,
            xattrs: old.xattrs != new.xattrs,
            links: before.group != after.group,
        }
    }
}

/// The items of two roots, in tree order. `skip`: paths that are not looked at, with what
/// is below. `whole`: an added or deleted directory for which it is true stands for all
/// that is in it.
pub fn compare(
    trees: &dyn Trees,
    before: Option<&Digest>,
    after: Option<&Digest>,
    skip: &dyn Fn(&[u8]) -> bool,
    whole: &dyn Fn(&[u8]) -> bool,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    diff(trees, before, after, &mut |change| {
        if change.path.is_empty() && change.before.is_none() || skip(&change.path) {
            return Ok(());
        }
        if let Some(above) = items.last_mut().filter(|above| is_whole(above, whole))
            && is_below(&change.path, &above.path)
        {
            above.below += 1;
            return Ok(());
        }
        items.extend(item(change, whole));
        Ok(())
    })?;
    Ok(with_renames(items))
}

fn is_whole(item: &Item, whole: &dyn Fn(&[u8]) -> bool) -> bool {
    matches!(item.mark, Mark::Added | Mark::Deleted) && item.is_dir() && whole(&item.path)
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn item(change: Change, whole: &dyn Fn(&[u8]) -> bool) -> Option<Item> {
    let mark = match change.what() {
        What::Added => Mark::Added,
        What::Removed => Mark::Deleted,
        What::Retyped => Mark::Retyped,
        What::Content => Mark::Modified,
        What::Below => return None,
        What::Meta => Mark::Metadata,
    };
    let Change { path, before, after } = change;
    let item = Item { mark, path, from: None, before, after, below: 0 };
    let (old, new) = (item.before.as_ref().and_then(Entry::tree), item.after.as_ref().and_then(Entry::tree));
    let Differs { mode, mtime, xattrs, .. } = item.differs();
    match (mark, old, new) {
        // names that came or went have moved its mtime: they say so themselves
        (Mark::Metadata, Some(old), Some(new)) if old != new && mtime && !mode && !xattrs => None,
        // the names in it say so, if there are any
        (Mark::Added, _, Some(tree)) | (Mark::Deleted, Some(tree), _) => {
            let is_empty = super::dir::empty_dir().is_ok_and(|empty| empty == tree);
            (is_empty || whole(&item.path)).then_some(item)
        }
        _ => Some(item),
    }
}

/// Files that went and files of the same content that came are renames, equal last names
/// first. Empty files are not: they are all alike.
fn with_renames(items: Vec<Item>) -> Vec<Item> {
    let content = |entry: &Option<Entry>| match entry.as_ref()?.kind {
        Kind::File(content) if content.size > 0 => Some(content.digest),
        _ => None,
    };
    let mut gone: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| item.mark == Mark::Deleted) {
        if let Some(digest) = content(&item.before) {
            gone.entry(digest).or_default().push(index);
        }
    }
    let mut pairs: HashMap<usize, usize> = HashMap::new();
    for same_name in [true, false] {
        for (index, item) in items.iter().enumerate().filter(|(_, item)| item.mark == Mark::Added) {
            let Some(candidates) = content(&item.after).and_then(|digest| gone.get_mut(&digest)) else {
                continue;
            };
            let fits = |from: &usize| !same_name || last_name(&items[*from].path) == last_name(&item.path);
            if !pairs.contains_key(&index)
                && let Some(at) = candidates.iter().position(fits)
            {
                pairs.insert(index, candidates.remove(at));
            }
        }
    }
    let taken: HashSet<usize> = pairs.values().copied().collect();
    let mut renamed = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match pairs.get(&index) {
            Some(&from) => renamed.push(Item {
                mark: Mark::Renamed,
                from: Some(items[from].path.clone()),
                before: items[from].before.clone(),
                ..item.clone()
            }),
            None if taken.contains(&index) => {}
            None => renamed.push(item.clone()),
        }
    }
    renamed
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::{Counting, build, file, key, link, model};

    fn told(items: &[Item]) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = |item: &Item| match &item.from {
            Some(from) => format!("R {} {}", text(from), text(&item.path)),
            None => format!("{} {} {}", item.mark.letter(), text(&item.path), item.below),
        };
        items.iter().map(line).collect()
    }

    #[test]
    fn every_sort_of_item_is_told_and_renames_are_paired_by_name_first() {
        let trees = Counting::default();
        let old = model(&[
            ("a/same", file("", 1)),
            ("a/moved", file("", 2)),
            ("a/other", file("", 2)),
            ("b", file("", 3)),
            ("c", file("", 4)),
            ("own/x/y", file("", 5)),
            ("skipped/x", file("", 6)),
        ]);
        let mut new = model(&[
            ("a/same", file("", 1)),
            ("b", file("", 30)),
            ("c/in", link("", "x")),
            ("z/moved", file("", 2)),
            ("z/new", file("", 2)),
            ("z/newer", file("", 2)),
        ]);
        new.get_mut(&key("a/same")).unwrap().meta.mode = 0o600;
        let (a, b) = (build(&trees, &old), build(&trees, &new));
        let skip = |path: &[u8]| path.starts_with(b"skipped");
        let whole = |path: &[u8]| path == b"own";
        let items = compare(&trees, Some(&a), Some(&b), &skip, &whole).unwrap();
        let want = [
            "m a/same 0",
            "M b 0",
            "T c 0",
            "A c/in 0",
            "D own 2",
            "R a/moved z/moved",
            "R a/other z/new",
            "A z/newer 0",
        ];
        assert_eq!(told(&items), want);
        assert!(items[0].differs().mode);
    }
}
