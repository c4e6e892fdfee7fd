//! All tree bodies of a manifest, and how they hang together.

use std::collections::{HashMap, HashSet};

use super::Named;
use crate::cas::Digest;
use crate::cas::finding::{Finding, Subject, What};
use crate::cas::verify::{Needed, Wanted};
use crate::error::Result;
use crate::manifest::db::{Manifest, digest_at};
use crate::manifest::dir::write_dir;
use crate::manifest::encode::{Body, Chunk, MAX_FLAT, decode};
use crate::manifest::node::{Content, Entry, Kind};
use crate::manifest::store::{Scratch, Trees};

/// One body, as far as others depend on it.
struct Node {
    shape: Shape,
    /// Directories below it, or the chunks of an index.
    trees: Vec<Digest>,
    contents: Vec<Content>,
}

enum Shape {
    Root,
    /// A list: its first name, and how many entries it has.
    List(Vec<u8>, usize),
    Index(Vec<Chunk>),
}

/// Every body there was at one moment, and what rows named then.
pub struct Forest {
    nodes: HashMap<Digest, Node>,
    pub named: Vec<Named>,
    /// What is wrong with the bodies, whether anything needs them or not.
    pub found: Vec<Finding>,
    /// Bodies that can be read and are not what they should be.
    broken: HashSet<Digest>,
}

/// A place where a state needs what is lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The tree or the content.
    pub lost: Digest,
    pub label: String,
    /// Below the project's directory; empty: the state as a whole.
    pub path: Vec<u8>,
}

/// At most so many places are told of one manifest.
const MOST_HITS: usize = 1_000;

impl Forest {
    /// Reads all bodies.
    pub fn read(manifest: &Manifest) -> Result<Self> {
        manifest.reading(|manifest| {
            let named = manifest.named()?;
            let mut forest = Self { nodes: HashMap::new(), named, found: Vec::new(), broken: HashSet::new() };
            manifest.each_tree(&mut |digest, body| {
                forest.body(digest, body);
                Ok(())
            })?;
            forest.indexes(manifest)?;
            forest.links();
            Ok(forest)
        })
    }

    /// How many bodies there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn body(&mut self, digest: Digest, body: &[u8]) {
        if Digest::of(body) != digest {
            self.flaw(digest, What::TreeDigest, "its bytes have another digest");
            return;
        }
        let node = match decode(body) {
            Ok(Body::Root(entry)) => Node { shape: Shape::Root, ..node_of(std::slice::from_ref(&entry)) },
            Ok(Body::List(entries)) => node_of(&entries),
            Ok(Body::Index(chunks)) => Node {
                trees: chunks.iter().map(|chunk| chunk.digest).collect(),
                shape: Shape::Index(chunks),
                contents: Vec::new(),
            },
            Err(error) => return self.flaw(digest, What::TreeBroken, &error.to_string()),
        };
        self.nodes.insert(digest, node);
    }

    fn flaw(&mut self, digest: Digest, what: What, detail: &str) {
        let place = place_of(&digest);
        self.found.push(Finding::new(what, Subject::Tree(digest.hex()), place, detail));
        self.broken.insert(digest);
    }

    /// Indexes are cut where they would be cut today.
    fn indexes(&mut self, manifest: &Manifest) -> Result<()> {
        let is_index = |(digest, node): (&Digest, &Node)| match &node.shape {
            Shape::Index(chunks) => Some((*digest, chunks.clone())),
            _ => None,
        };
        let indexes: Vec<(Digest, Vec<Chunk>)> = self.nodes.iter().filter_map(is_index).collect();
        for (digest, chunks) in indexes {
            if chunks.iter().any(|chunk| !self.nodes.contains_key(&chunk.digest)) {
                continue; // said of the chunk
            }
            let fits = |chunk: &Chunk| match &self.nodes[&chunk.digest].shape {
                Shape::List(first, count) => (first, count) == (&chunk.first, &chunk.count),
                _ => false,
            };
            let is_canonical = chunks.iter().all(fits) && {
                let mut entries: Vec<Entry> = Vec::new();
                for chunk in &chunks {
                    if let Body::List(list) = decode(&manifest.get(&chunk.digest)?)? {
                        entries.extend(list);
                    }
                }
                write_dir(&Scratch::over(manifest), &entries).is_ok_and(|again| again == digest)
            };
            if !is_canonical {
                self.flaw(digest, What::TreeBroken, "it is not cut as a directory of its entries is");
            }
        }
        Ok(())
    }

    /// What trees and rows name is there, and of the right kind.
    fn links(&mut self) {
        let mut found = Vec::new();
        let mut missing: HashSet<Digest> = HashSet::new();
        for digest in self.reachable() {
            let Some(node) = self.nodes.get(&digest) else { continue };
            let chunks = matches!(node.shape, Shape::Index(_));
            for child in &node.trees {
                let fits = match self.nodes.get(child).map(|node| &node.shape) {
                    None => self.broken.contains(child) || !missing.insert(*child),
                    Some(Shape::Root) => false,
                    Some(Shape::List(_, count)) => chunks || *count <= MAX_FLAT,
                    Some(Shape::Index(_)) => !chunks,
                };
                if !fits {
                    let detail = match self.nodes.contains_key(child) {
                        true => format!("tree {digest} names it and it is of another kind"),
                        false => format!("it is not there, and tree {digest} names it"),
                    };
                    let place = place_of(child);
                    found.push(Finding::new(What::TreeMissing, Subject::Tree(child.hex()), place, detail));
                }
            }
        }
        for named in &self.named {
            let fits = match self.nodes.get(&named.digest).map(|node| &node.shape) {
                Some(Shape::Root) => named.is_root,
                Some(_) => !named.is_root,
                None => self.broken.contains(&named.digest),
            };
            if !fits {
                let what = if named.is_root { "root" } else { "tree" };
                let detail = format!("{} names it and no such {what} is there", named.label);
                let place = place_of(&named.digest);
                let subject = Subject::Root(format!("{} {}", named.digest, named.label));
                found.push(Finding::new(What::RootMissing, subject, place, detail));
            }
        }
        self.found.append(&mut found);
    }

    /// Every tree that some row needs, there or not.
    fn reachable(&self) -> HashSet<Digest> {
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut ahead: Vec<Digest> = self.named.iter().map(|named| named.digest).collect();
        while let Some(digest) = ahead.pop() {
            if seen.insert(digest)
                && let Some(node) = self.nodes.get(&digest)
            {
                ahead.extend(node.trees.iter().filter(|child| !seen.contains(child)));
            }
        }
        seen
    }

    /// Adds the contents that some row needs.
    pub fn wanted(&self, wanted: &mut Wanted) {
        let nodes = self.reachable();
        wanted_by(nodes.iter().filter_map(|digest| self.nodes.get(digest)), wanted);
    }

    /// Adds the contents that any tree has, needed or not.
    pub fn known(&self, known: &mut Wanted) {
        wanted_by(self.nodes.values(), known);
    }

    /// Whether a root and all below it is there, but for contents that `lost` has.
    pub fn is_whole(&self, root: &Digest, lost: &HashSet<Digest>) -> bool {
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut ahead = vec![*root];
        while let Some(digest) = ahead.pop() {
            if !seen.insert(digest) {
                continue;
            }
            let Some(node) = self.nodes.get(&digest).filter(|_| !self.broken.contains(&digest)) else {
                return false;
            };
            if node.contents.iter().any(|content| lost.contains(&content.digest)) {
                return false;
            }
            ahead.extend(&node.trees);
        }
        true
    }

    /// Which states need what is lost (contents) or broken (trees), and where.
    pub fn hits(&self, manifest: &Manifest, lost: &HashSet<Digest>) -> Vec<Hit> {
        self.hits_of(manifest, lost, |named| named.cached.is_none())
    }

    /// The same, and where the host had it when it was seen last.
    pub fn all_hits(&self, manifest: &Manifest, lost: &HashSet<Digest>) -> Vec<Hit> {
        self.hits_of(manifest, lost, |_| true)
    }

    fn hits_of(&self, manifest: &Manifest, lost: &HashSet<Digest>, of: impl Fn(&Named) -> bool) -> Vec<Hit> {
        let tainted = self.tainted(lost);
        let mut hits = Vec::new();
        for named in self.named.iter().filter(|named| of(named) && tainted.contains(&named.digest)) {
            let mut ahead = vec![(named.cached.clone().unwrap_or_default(), named.digest)];
            while let Some((path, tree)) = ahead.pop() {
                if hits.len() >= MOST_HITS {
                    return hits;
                }
                let mut hit = |lost: Digest, path: Vec<u8>| {
                    hits.push(Hit { lost, label: named.label.clone(), path });
                };
                let body = self.nodes.get(&tree).and_then(|_| decode(&manifest.get(&tree).ok()?).ok());
                let entries = match body {
                    None => {
                        hit(tree, path);
                        continue;
                    }
                    Some(Body::Index(chunks)) => {
                        let bad = chunks.iter().filter(|chunk| tainted.contains(&chunk.digest));
                        ahead.extend(bad.map(|chunk| (path.clone(), chunk.digest)));
                        continue;
                    }
                    Some(Body::Root(entry)) => vec![entry],
                    Some(Body::List(entries)) => entries,
                };
                for entry in entries {
                    let path = joined(&path, &entry.name);
                    match &entry.kind {
                        Kind::Dir(tree) if tainted.contains(tree) => ahead.push((path, *tree)),
                        Kind::File(content) if lost.contains(&content.digest) => hit(content.digest, path),
                        _ => {}
                    }
                }
            }
        }
        hits
    }

    /// The trees below which something is lost or broken.
    fn tainted(&self, lost: &HashSet<Digest>) -> HashSet<Digest> {
        let mut above: HashMap<Digest, Vec<Digest>> = HashMap::new();
        let mut ahead: Vec<Digest> = self.broken.iter().copied().collect();
        for (digest, node) in &self.nodes {
            for child in &node.trees {
                above.entry(*child).or_default().push(*digest);
                if !self.nodes.contains_key(child) {
                    ahead.push(*child);
                }
            }
            if node.contents.iter().any(|content| lost.contains(&content.digest)) {
                ahead.push(*digest);
            }
        }
        ahead.extend(
            self.named.iter().map(|named| named.digest).filter(|named| !self.nodes.contains_key(named)),
        );
        let mut tainted = HashSet::new();
        while let Some(digest) = ahead.pop() {
            if tainted.insert(digest) {
                ahead.extend(above.get(&digest).into_iter().flatten());
            }
        }
        tainted
    }
}

fn wanted_by<'a>(nodes: impl Iterator<Item = &'a Node>, wanted: &mut Wanted) {
    for Content { digest, size, sparse } in nodes.flat_map(|node| &node.contents) {
        let needed = Needed { digest: *digest, size: *size, sparse: *sparse };
        wanted.insert(digest.object_name(), needed);
    }
}

fn place_of(tree: &Digest) -> String {
    format!("{} tree {tree}", crate::manifest::db::NAME)
}

fn node_of(entries: &[Entry]) -> Node {
    let contents = entries.iter().filter_map(|entry| entry.content().copied());
    Node {
        shape: Shape::List(
            entries.first().map(|entry| entry.name.clone()).unwrap_or_default(),
            entries.len(),
        ),
        trees: entries.iter().filter_map(Entry::tree).collect(),
        contents: contents.filter(|content| content.size > 0).collect(),
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path, name) {
        (_, []) => path.to_vec(),
        ([], _) => name.to_vec(),
        _ => [path, name].join(&b'/'),
    }
}

impl Manifest {
    /// Shows every tree body.
    fn each_tree(&self, show: &mut dyn FnMut(Digest, &[u8]) -> Result<()>) -> Result<()> {
        let mut query =
            self.doing("read", self.connection().prepare_cached("SELECT digest, body FROM tree"))?;
        let mut rows = self.doing("read trees from", query.query([]))?;
        while let Some(row) = self.doing("read trees from", rows.next())? {
            let digest = self.doing("read trees from", digest_at(row, 0))?;
            // what is no bytes has not the digest either
            let body = row.get_ref(1).ok().and_then(|body| body.as_bytes().ok()).unwrap_or_default();
            show(digest, body)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::history::Cause;
    use crate::manifest::model::{build, dir, file, model};

    fn made() -> (tempfile::TempDir, Manifest, Digest) {
        let place = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(place.path()).unwrap();
        let root = build(&manifest, &model(&[("a/b/c", file("", 1)), ("a/d", file("", 2))]));
        let id = manifest.create_workspace("main").unwrap().id;
        manifest.move_head(id, None, &root, Cause::Sync).unwrap();
        (place, manifest, root)
    }

    fn words(forest: &Forest) -> Vec<What> {
        let mut words: Vec<_> = forest.found.iter().map(|finding| finding.what).collect();
        words.sort();
        words
    }

    #[test]
    fn a_sound_manifest_has_no_flaw_and_tells_what_it_needs() {
        let (_place, manifest, root) = made();
        assert_eq!(manifest.verify_file().unwrap(), []);
        let forest = Forest::read(&manifest).unwrap();
        assert_eq!(words(&forest), []);
        let mut wanted = Wanted::new();
        forest.wanted(&mut wanted);
        assert_eq!(wanted.len(), 2);
        let lost = HashSet::from([file("", 1).content().unwrap().digest]);
        assert!(forest.is_whole(&root, &HashSet::new()) && !forest.is_whole(&root, &lost));
        let hits = forest.hits(&manifest, &lost);
        let places: Vec<_> = hits.iter().map(|hit| (hit.label.as_str(), hit.path.as_slice())).collect();
        assert_eq!(places, [("workspace main", &b"a/b/c"[..]), ("@1", b"a/b/c")]);
    }

    #[test]
    fn a_large_directory_is_sound_and_one_that_is_cut_elsewhere_is_not() {
        let (_place, manifest, _) = made();
        let mut many: Vec<Entry> = (0..5_000).map(|n| file(&format!("f{n}"), n + 1)).collect();
        many.sort_by(|a, b| a.name.cmp(&b.name));
        write_dir(&manifest, &many).unwrap();
        assert_eq!(words(&Forest::read(&manifest).unwrap()), []);
        let chunks: Vec<Chunk> = many
            .chunks(1_000)
            .map(|chunk| Chunk {
                first: chunk[0].name.clone(),
                count: chunk.len(),
                digest: manifest.put(&crate::manifest::encode::encode_list(chunk).unwrap()).unwrap(),
            })
            .collect();
        manifest.put(&crate::manifest::encode::encode_index(&chunks).unwrap()).unwrap();
        assert_eq!(words(&Forest::read(&manifest).unwrap()), [What::TreeBroken]);
    }

    #[test]
    fn what_is_missing_broken_or_of_another_kind_is_found() {
        let (_place, manifest, root) = made();
        let gone = dir("x", Digest::of(b"gone"));
        let odd = dir("y", root); // a root record is no directory's listing
        let tree = write_dir(&manifest, &[gone, odd]).unwrap();
        let id = manifest.workspace("main").unwrap().unwrap().id;
        manifest.move_head(id, Some(&root), &tree, Cause::Run).unwrap();
        let run = |sql: &str| manifest.connection().execute(sql, []).unwrap();
        run("INSERT INTO tree VALUES (zeroblob(32), x'00')");
        let garbage = Digest::of(b"garbage");
        manifest
            .connection()
            .execute("INSERT INTO tree VALUES (?1, ?2)", (garbage.as_bytes(), b"garbage"))
            .unwrap();
        // the head and `@2`, which are no roots; the two entries; the two bodies
        let expected = [
            [What::RootMissing, What::RootMissing, What::TreeMissing, What::TreeMissing].as_slice(),
            &[What::TreeDigest, What::TreeBroken],
        ];
        assert_eq!(words(&Forest::read(&manifest).unwrap()), expected.concat());
        run("PRAGMA foreign_keys = OFF");
        run("UPDATE workspace SET snapshot = 77");
        assert!(manifest.verify_file().unwrap().iter().any(|finding| finding.what == What::RowForeign));
    }
}
