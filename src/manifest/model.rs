//! What the tests of this module share: short constructors, random values, trees
//! that count, and the model: a sorted map from path to entry.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use crate::cas::digest::Digest;
use crate::error::Result;
use crate::manifest::dir::{read_dir, read_root, write_dir, write_root};
use crate::manifest::node::{Content, Entry, Kind, Meta, Time};
use crate::manifest::store::{MemoryTrees, Trees};

pub fn meta(mode: u16, secs: i64) -> Meta {
    Meta { mode, mtime: Time { secs, nanos: 0 }, xattrs: Vec::new() }
}

pub fn entry(name: &str, mode: u16, kind: Kind) -> Entry {
    Entry { name: name.into(), meta: meta(mode, 0), group: 0, kind }
}

pub fn content(seed: u64) -> Content {
    Content { digest: Digest::of(&seed.to_le_bytes()), size: seed, sparse: false }
}

pub fn file(name: &str, seed: u64) -> Entry {
    entry(name, 0o644, Kind::File(content(seed)))
}

pub fn link(name: &str, to: &str) -> Entry {
    entry(name, 0o777, Kind::Symlink(to.into()))
}

pub fn fifo(name: &str) -> Entry {
    entry(name, 0o644, Kind::Fifo)
}

pub fn dir(name: &str, tree: Digest) -> Entry {
    entry(name, 0o755, Kind::Dir(tree))
}

/// Trees in memory that count what is asked of them.
#[derive(Default)]
pub struct Counting {
    trees: MemoryTrees,
    pub gets: Cell<usize>,
    /// Bodies put that were not there before.
    pub news: Cell<usize>,
    known: RefCell<HashSet<Digest>>,
}

impl Counting {
    pub fn reset(&self) {
        self.gets.set(0);
        self.news.set(0);
    }
}

impl Trees for Counting {
    fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.gets.set(self.gets.get() + 1);
        self.trees.get(digest)
    }

    fn put(&self, body: &[u8]) -> Result<Digest> {
        let digest = self.trees.put(body)?;
        if self.known.borrow_mut().insert(digest) {
            self.news.set(self.news.get() + 1);
        }
        Ok(digest)
    }
}

/// Every path of a root in tree order (by components; the root is the empty list).
/// A directory's digest is left at zero.
pub type Model = BTreeMap<Vec<Vec<u8>>, Entry>;

pub fn key(path: &str) -> Vec<Vec<u8>> {
    path.split('/').filter(|part| !part.is_empty()).map(|part| part.into()).collect()
}

pub fn joined(key: &[Vec<u8>]) -> Vec<u8> {
    key.join(&b'/')
}

pub const UNKNOWN: Digest = Digest::from_bytes([0; 32]);

/// A model from leaves by path; the directories above them come by themselves.
pub fn model(leaves: &[(&str, Entry)]) -> Model {
    let mut model = Model::from([(vec![], dir("", UNKNOWN))]);
    for (path, leaf) in leaves {
        let key = key(path);
        for depth in 1..key.len() {
            let name = String::from_utf8(key[depth - 1].clone()).unwrap();
            model.entry(key[..depth].to_vec()).or_insert_with(|| dir(&name, UNKNOWN));
        }
        let leaf = Entry { name: key.last().unwrap().clone(), ..leaf.clone() };
        model.insert(key, leaf);
    }
    model
}

/// Builds a root from nothing, deepest directories first.
pub fn build(trees: &dyn Trees, model: &Model) -> Digest {
    let mut lists: BTreeMap<Vec<Vec<u8>>, Vec<Entry>> = BTreeMap::new();
    for (key, entry) in model.iter().rev() {
        let mut entry = entry.clone();
        if entry.is_dir() {
            let mut list = lists.remove(key).unwrap_or_default();
            list.reverse();
            entry.kind = Kind::Dir(write_dir(trees, &list).unwrap());
        }
        match key.split_last() {
            Some((_, above)) => lists.entry(above.to_vec()).or_default().push(entry),
            None => return write_root(trees, &entry).unwrap(),
        }
    }
    panic!("a model without a root");
}

/// Reads a root whole.
pub fn unfold(trees: &dyn Trees, root: &Digest) -> Model {
    let mut model = Model::new();
    let mut stack = vec![(vec![], read_root(trees, root).unwrap())];
    while let Some((key, mut entry)) = stack.pop() {
        if let Kind::Dir(tree) = &mut entry.kind {
            for below in read_dir(trees, tree).unwrap() {
                let mut key: Vec<Vec<u8>> = key.clone();
                key.push(below.name.clone());
                stack.push((key, below));
            }
            *tree = UNKNOWN;
        }
        model.insert(key, entry);
    }
    model
}

/// Small roots over few names, so that two of them meet often.
pub fn any_model() -> impl Strategy<Value = Model> {
    let part = prop::sample::select(vec!["a", "b", "b-", "b.c", "c"]);
    let path = prop::collection::vec(part, 1..4);
    let paths = prop::collection::vec((path, any_small()), 0..10);
    (paths, 0u16..3, 0i64..3).prop_map(|(paths, mode, secs)| {
        let mut model = Model::from([(vec![], dir("", UNKNOWN))]);
        if let Some(root) = model.get_mut(&vec![]) {
            root.meta = meta(0o750 + mode, secs);
        }
        for (path, leaf) in paths {
            let key: Vec<Vec<u8>> = path.iter().map(|part| part.as_bytes().to_vec()).collect();
            let free = (1..key.len()).all(|depth| model.get(&key[..depth]).is_none_or(Entry::is_dir));
            if !free || model.contains_key(&key) {
                continue;
            }
            for depth in 1..key.len() {
                let mut above = dir(path[depth - 1], UNKNOWN);
                above.meta = meta(0o755, leaf.meta.mtime.secs);
                model.entry(key[..depth].to_vec()).or_insert(above);
            }
            let name = path[path.len() - 1].into();
            model.insert(key, Entry { name, ..leaf });
        }
        model
    })
}

/// An entry of few possible values: file, link, fifo or empty directory.
pub fn any_small() -> impl Strategy<Value = Entry> {
    let xattrs = prop::sample::subsequence(vec!["user.a", "user.b"], 0..=2);
    (0u8..8, 0u64..3, 0u16..2, 0i64..3, 0u64..2, xattrs).prop_map(
        |(kind, seed, mode, secs, group, xattrs)| {
            let mut small = match kind {
                0..=4 => file("", seed),
                5 => link("", if seed == 0 { "to" } else { "there" }),
                6 => fifo(""),
                _ => dir("", UNKNOWN),
            };
            small.group = if small.is_dir() { 0 } else { group };
            small.meta.mode |= mode;
            small.meta.mtime.secs = secs;
            small.meta.xattrs =
                xattrs.iter().map(|name| (name.as_bytes().to_vec(), vec![seed as u8])).collect();
            small
        },
    )
}

pub fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..12)
        .prop_filter("a name", |name| crate::manifest::encode::is_name(name))
}

/// Any entry there may be.
pub fn any_entry() -> impl Strategy<Value = Entry> {
    let time = (any::<i64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Time { secs, nanos });
    let value = prop::collection::vec(any::<u8>(), 0..20);
    let xattrs = prop::collection::btree_map(any_name(), value, 0..3);
    let meta = (0u16..=0o7777, time, xattrs).prop_map(|(mode, mtime, xattrs)| Meta {
        mode,
        mtime,
        xattrs: xattrs.into_iter().collect(),
    });
    let digest = any::<[u8; 32]>().prop_map(Digest::from_bytes);
    let size = prop_oneof![0u64..300, Just(i64::MAX as u64)];
    let kind = prop_oneof![
        (digest.clone(), size, any::<bool>()).prop_map(|(digest, size, sparse)| Kind::File(Content {
            digest,
            size,
            sparse
        })),
        any_name().prop_map(Kind::Symlink),
        Just(Kind::Fifo),
        digest.prop_map(Kind::Dir),
    ];
    let group = prop_oneof![Just(0), any::<u64>()];
    (any_name(), meta, group, kind).prop_map(|(name, mut meta, mut group, kind)| {
        match kind {
            Kind::Symlink(_) => meta.mode = 0o777,
            Kind::Dir(_) => group = 0,
            _ => {}
        }
        Entry { name, meta, group, kind }
    })
}

/// A sorted list of any entries.
pub fn any_list() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(any_entry(), 0..8).prop_map(|mut list| {
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list.dedup_by(|a, b| a.name == b.name);
        list
    })
}
