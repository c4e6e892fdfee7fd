//! Cutting, changing in part, and comparing big directories.

use proptest::prelude::*;

use super::*;
use crate::manifest::dir::{read_dir, write_dir};
use crate::manifest::model::{Counting, file};

fn files(numbers: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    numbers.into_iter().map(|n| file(&format!("n{n:07}"), n)).collect()
}

fn chunks(trees: &Counting, tree: &Digest) -> Vec<Chunk> {
    match decode(&trees.get(tree).unwrap()).unwrap() {
        Body::Index(chunks) => chunks,
        other => panic!("not an index: {other:?}"),
    }
}

#[test]
fn chunks_have_about_1024_entries() {
    let trees = Counting::default();
    let tree = write_dir(&trees, &files(0..200_000)).unwrap();
    let chunks = chunks(&trees, &tree);
    assert!((170..230).contains(&chunks.len()), "{} chunks", chunks.len());
    assert!(chunks.iter().rev().skip(1).all(|chunk| (256..=4096).contains(&chunk.count)));
    trees.reset();
    let mut listing = Listing::open(&trees, Some(&tree)).unwrap();
    assert_eq!(listing.len(), 200_000);
    assert!(listing.get(b"n0123456").unwrap().is_some());
    assert!(listing.get(b"n0123456x").unwrap().is_none());
    assert!(listing.get(b"a").unwrap().is_none());
    assert_eq!(trees.gets.get(), 2);
    assert_eq!(read_dir(&trees, &tree).unwrap(), files(0..200_000));
}

#[test]
fn one_change_among_a_million_writes_at_most_three_bodies() {
    let trees = Counting::default();
    let tree = write_dir(&trees, &files((0..1_000_000).map(|n| n * 2))).unwrap();
    let new = |n: u64| (format!("n{n:07}").into_bytes(), Some(file(&format!("n{n:07}"), 9)));
    let gone = |n: u64| (format!("n{n:07}").into_bytes(), None);
    for change in [new(0), new(777_778), new(1_999_998), new(1), new(999_999), new(2_000_000), gone(1_000)] {
        trees.reset();
        let changed = Listing::open(&trees, Some(&tree)).unwrap().update(vec![change.clone()]).unwrap();
        assert_ne!(changed, tree);
        assert!(trees.news.get() <= 3, "{change:?} wrote {} bodies", trees.news.get());
        assert!(trees.gets.get() <= 3, "{change:?} read {} bodies", trees.gets.get());
        trees.reset();
        let pairs = pairs(&trees, Some(&tree), Some(&changed)).unwrap();
        assert_eq!((pairs.len(), &pairs[0].name, &pairs[0].after), (1, &change.0, &change.1));
        assert!(trees.gets.get() <= 6, "comparing read {} bodies", trees.gets.get());
    }
}

#[test]
fn removing_the_entry_that_ends_a_chunk_gives_what_a_fresh_write_gives() {
    let trees = Counting::default();
    let entries = files(0..10_000);
    let tree = write_dir(&trees, &entries).unwrap();
    for chunk in &chunks(&trees, &tree)[1..] {
        let at = entries.iter().position(|entry| entry.name == chunk.first).unwrap();
        let mut fewer = entries.clone();
        let last = fewer.remove(at - 1);
        let changed = Listing::open(&trees, Some(&tree)).unwrap().update(vec![(last.name, None)]).unwrap();
        assert_eq!(changed, write_dir(&trees, &fewer).unwrap());
    }
}

#[test]
fn a_chunk_that_is_not_what_the_index_says_is_corrupt() {
    let trees = Counting::default();
    let tree = write_dir(&trees, &files(0..5_000)).unwrap();
    let good = chunks(&trees, &tree);
    let mut bad = Vec::new();
    bad.push({
        let mut c = good.clone();
        c[1].count -= 1;
        c
    });
    bad.push({
        let mut c = good.clone();
        c[1].first.push(b'x');
        c
    });
    bad.push({
        let mut c = good.clone();
        c[1].digest = c[0].digest;
        c
    });
    bad.push({
        let mut c = good.clone();
        c[1].digest = tree;
        c
    });
    for chunks in bad {
        let tree = trees.put(&encode_index(&chunks).unwrap()).unwrap();
        let error = read_dir(&trees, &tree).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn updates_equal_a_fresh_write(
        size in prop_oneof![Just(1_000usize), Just(1_030), Just(6_000)],
        hits in prop::collection::vec((0u64..13_000, any::<bool>()), 1..40),
        tail in prop_oneof![Just(0usize), Just(5_900)],
    ) {
        let trees = Counting::default();
        let entries = files((0..size as u64).map(|n| n * 2));
        let tree = write_dir(&trees, &entries).unwrap();
        let mut want: BTreeMap<Vec<u8>, Entry> =
            entries.iter().map(|entry| (entry.name.clone(), entry.clone())).collect();
        let mut changes = BTreeMap::new();
        for entry in &entries[size.saturating_sub(tail)..] {
            changes.insert(entry.name.clone(), None);
        }
        for (n, put) in hits {
            let entry = file(&format!("n{n:07}"), n + 1);
            changes.insert(entry.name.clone(), put.then_some(entry));
        }
        for (name, change) in &changes {
            match change {
                Some(entry) => want.insert(name.clone(), entry.clone()),
                None => want.remove(name),
            };
        }
        let want: Vec<Entry> = want.into_values().collect();
        let got = Listing::open(&trees, Some(&tree)).unwrap().update(changes.into_iter().collect()).unwrap();
        prop_assert_eq!(got, write_dir(&trees, &want).unwrap());
        let pairs = pairs(&trees, Some(&tree), Some(&got)).unwrap();
        prop_assert!(pairs.iter().all(|pair| pair.before != pair.after));
    }
}
