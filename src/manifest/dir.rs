//! Directories and root records, by digest; and the paths that lead through them.
//!
//! A *tree* digest names a directory's listing (a list, or an index of chunks; callers
//! never see which). A *root* digest names a root record: the project directory's own
//! metadata and its tree. The same entries always give the same digest.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::cas::digest::Digest;
use crate::error::{Error, Result, quoted};
use crate::manifest::chunk::Listing;
use crate::manifest::encode::{Body, decode, encode_list, encode_root, is_name};
use crate::manifest::node::{Entry, Kind, Meta};
use crate::manifest::store::Trees;

/// The tree of a directory with nothing in it.
pub fn empty_dir() -> Result<Digest> {
    Ok(Digest::of(&encode_list(&[])?))
}

/// All entries of a directory, by name. `Corrupt` when the tree is missing or broken.
pub fn read_dir(trees: &dyn Trees, tree: &Digest) -> Result<Vec<Entry>> {
    Listing::open(trees, Some(tree))?.into_entries()
}

/// Stores a directory. Entries that are not sorted by name, each name once, or that
/// have no encoding are a failure.
pub fn write_dir(trees: &dyn Trees, entries: &[Entry]) -> Result<Digest> {
    let changes = entries.iter().map(|entry| (entry.name.clone(), Some(entry.clone()))).collect();
    Listing::open(trees, None)?.update(changes)
}

/// Stores a root record: a directory with an empty name.
pub fn write_root(trees: &dyn Trees, root: &Entry) -> Result<Digest> {
    trees.put(&encode_root(root)?)
}

/// Stores the root of a project with nothing in it.
pub fn write_empty_root(trees: &dyn Trees, meta: Meta) -> Result<Digest> {
    let tree = write_dir(trees, &[])?;
    write_root(trees, &Entry { name: Vec::new(), meta, group: 0, kind: Kind::Dir(tree) })
}

/// Reads a root record. `Corrupt` when it is missing or something else.
pub fn read_root(trees: &dyn Trees, root: &Digest) -> Result<Entry> {
    match decode(&trees.get(root)?)? {
        Body::Root(entry) => Ok(entry),
        _ => Err(Error::corrupt(format!("tree {root} is not a root record"))),
    }
}

/// A root record and its tree.
pub(super) fn open_root(trees: &dyn Trees, root: &Digest) -> Result<(Entry, Digest)> {
    let entry = read_root(trees, root)?;
    match entry.kind {
        Kind::Dir(tree) => Ok((entry, tree)),
        _ => Err(Error::corrupt(format!("root {root} is not a directory"))),
    }
}

/// What a path stands for below a root, `None` when there is nothing, also below
/// something that is not a directory. Reads one body for each component, two where
/// the directory is cut into chunks.
pub fn lookup(trees: &dyn Trees, root: &Digest, path: &[u8]) -> Result<Option<Entry>> {
    check_path(path)?;
    let mut here = read_root(trees, root)?;
    for name in components(path) {
        let Some(tree) = here.tree() else { return Ok(None) };
        match Listing::open(trees, Some(&tree))?.get(name)? {
            Some(entry) => here = entry.clone(),
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

/// A path's names from the top; none for the empty path.
pub fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|_| !path.is_empty())
}

/// Refuses what is no path below a root: an empty component, `.`, `..`, a NUL, a
/// component of more than 255 bytes.
pub fn check_path(path: &[u8]) -> Result<()> {
    if components(path).all(is_name) {
        return Ok(());
    }
    Err(Error::failure(format!("{} is not a path in a tree", quoted(OsStr::from_bytes(path)))))
}

/// Compares two paths component by component: `a`, `a/b`, `a.c`.
pub fn tree_order(a: &[u8], b: &[u8]) -> Ordering {
    components(a).cmp(components(b))
}

/// Appends a name to a path.
pub(super) fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::{Counting, build, dir, fifo, file, link, meta, model};
    use crate::manifest::node::{Content, Time};

    #[test]
    fn unsorted_entries_are_refused() {
        let trees = Counting::default();
        assert!(write_dir(&trees, &[fifo("b"), fifo("a")]).is_err());
        assert!(write_dir(&trees, &[fifo("a"), fifo("a")]).is_err());
        assert_eq!(write_dir(&trees, &[]).unwrap(), empty_dir().unwrap());
    }

    #[test]
    fn lookup_follows_directories_only() {
        let trees = Counting::default();
        let root = build(&trees, &model(&[("a/b/c", file("", 1)), ("a/l", link("", "b"))]));
        let find = |path: &str| lookup(&trees, &root, path.as_bytes()).unwrap().map(|entry| entry.name);
        assert_eq!(find(""), Some(b"".to_vec()));
        assert_eq!(find("a/b"), Some(b"b".to_vec()));
        assert_eq!(find("a/b/c"), Some(b"c".to_vec()));
        for none in ["b", "a/b/c/d", "a/l/c", "a/x/y"] {
            assert_eq!(find(none), None, "{none}");
        }
        for bad in ["/a", "a/", "a//b", "./a", "a/../b", "/", "a\0"] {
            assert!(lookup(&trees, &root, bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_root_and_a_directory_are_not_each_other() {
        let trees = Counting::default();
        let tree = write_dir(&trees, &[]).unwrap();
        let root = write_root(&trees, &dir("", tree)).unwrap();
        assert!(read_root(&trees, &tree).is_err());
        assert!(read_dir(&trees, &root).is_err());
        assert!(read_dir(&trees, &Digest::of(b"missing")).is_err());
    }

    #[test]
    fn tree_order_is_by_component() {
        let sorted = ["", "a", "a/b", "a/b/c", "a/c", "a-", "a.c", "a0", "b"];
        let mut paths: Vec<&str> = sorted.iter().rev().copied().collect();
        paths.sort_by(|a, b| tree_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, sorted);
    }

    /// A change of any of these digests is a break of the format: stores that exist
    /// would no longer be read, or the same tree would get another name.
    #[test]
    fn digests_are_pinned() {
        let trees = Counting::default();
        let mut sparse = file("sparse", 0);
        sparse.kind = Kind::File(Content { digest: Digest::of(b"holes"), size: 1 << 40, sparse: true });
        sparse.meta.mtime = Time { secs: -1, nanos: 999_999_999 };
        let mut tagged = file("tagged", 7);
        tagged.group = u64::MAX;
        tagged.meta.xattrs = vec![(b"user.a".to_vec(), b"1".to_vec()), (b"user.b".to_vec(), vec![])];
        let every = [dir("dir", empty_dir().unwrap()), fifo("fifo"), link("link", "../to"), sparse, tagged];
        let mut many: Vec<Entry> = (0..5_000).map(|n| file(&format!("f{n}"), n)).collect();
        many.sort_by(|a, b| a.name.cmp(&b.name));
        let root_meta = meta(0o755, 1_700_000_000);
        let trees = [
            write_dir(&trees, &[]),
            write_dir(&trees, &every),
            write_dir(&trees, &many),
            write_empty_root(&trees, root_meta),
        ];
        let pinned = [
            "103ec861340d3bcda077a940afac0e4c28ded7d08aa1af36a86e4e9816b81d25",
            "867b549d40e04ca63e4a0c63ca2bea1b1adc0821ef574b6c6b98b687e07f4af8",
            "1947f70f29c837da01c7b8968e32130ef39b0fd5f0c5791ad1b401afd0f2c649",
            "531cdde19a0a96a0f579416d6db9d7f49f428fca24b6186e2a2d5be8ac824cfe",
        ];
        assert_eq!(trees.map(|tree| tree.unwrap().hex()), pinned);
    }
}
