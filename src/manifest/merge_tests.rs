//! The table in `merge`, row by row, and what holds for any three roots.

use proptest::prelude::*;

use super::*;
use crate::manifest::dir::{lookup, write_dir};
use crate::manifest::edit::{Edit, apply};
use crate::manifest::model::{
    Counting, Model, any_model, build, content, dir, fifo, file, joined, link, meta, model, unfold,
};
use crate::manifest::node::{Content, Time};

/// A root with these leaves, and what its merge came to as text: each leaf as
/// `path=seed`, then each conflict as `!path`.
fn leaf(spec: &str) -> (&str, Entry) {
    match spec.split_once('=') {
        Some((path, "link")) => (path, link("", "to")),
        Some((path, "dir")) => (path, dir("", crate::manifest::model::UNKNOWN)),
        Some((path, seed)) => (path, file("", seed.parse().unwrap())),
        None => (spec, fifo("")),
    }
}

fn how(winner: Side, text: &dyn TextMerge) -> How<'_> {
    How { winner, text, git: None, our_mtimes: false }
}

fn from(spec: &str) -> Model {
    model(&spec.split_whitespace().map(leaf).collect::<Vec<_>>())
}

fn told(trees: &dyn Trees, merged: &Merged) -> String {
    let mut words = Vec::new();
    for (key, entry) in unfold(trees, &merged.root) {
        let path = String::from_utf8(joined(&key)).unwrap();
        match entry.kind {
            Kind::File(content) => words.push(format!("{path}={}", content.size)),
            Kind::Symlink(_) => words.push(format!("{path}=link")),
            Kind::Fifo => words.push(path),
            Kind::Dir(_) if path.is_empty() => {}
            Kind::Dir(_) => words.push(format!("{path}/")),
        }
    }
    words.extend(
        merged.conflicts.iter().map(|conflict| format!("!{}", String::from_utf8_lossy(&conflict.path))),
    );
    words.join(" ")
}

#[test]
fn names_and_contents() {
    let trees = Counting::default();
    for (base, ours, theirs, result) in [
        // Each side's own changes.
        ("a=1 b=1 c=1", "a=2 b=1 c=1", "a=1 b=3", "a=2 b=3"),
        ("", "a=1", "b=1", "a=1 b=1"),
        ("d/a=1 d/b=1", "d/a=2 d/b=1", "d/a=1 d/b=2 d/c=1", "d/ d/a=2 d/b=2 d/c=1"),
        // Alike.
        ("a=1 b=1", "a=2", "a=2", "a=2"),
        ("", "d/a=1", "d/a=1", "d/ d/a=1"),
        // Both, otherwise: the winner is ours.
        ("a=1", "a=2", "a=3", "a=2 !a"),
        ("", "a=2", "a=3", "a=2 !a"),
        ("a=1", "a=link", "a=3", "a=link !a"),
        ("a=1", "a/x=1", "a=3", "a/ a/x=1 !a"),
        ("a/x=1", "a=3", "a/x=2", "a=3 !a"),
        ("a/x=1", "a=3", "a/x=1", "a=3"),
        ("a=1", "a/x=1 a/y=1", "a/x=2 a/z=1", "a/ a/x=1 a/y=1 a/z=1 !a/x"),
        // Deleted, and changed: the winner's, which is ours.
        ("a=1", "", "a=2", "!a"),
        ("a=1", "a=2", "", "a=2 !a"),
        ("a=1", "", "a/x=1", "!a"),
        ("d/a=1 d/b=1 d/e/c=1", "", "d/a=2 d/b=1 d/e/c=1", "!d/a"),
        ("d/a=1 d/b=1 d/e/c=1", "d/a=1 d/b=1 d/e/c=3", "", "d/ d/e/ d/e/c=3 !d/e/c"),
        ("d/a=1 d/b=1", "", "d/a=1 d/b=1 d/new=1", "d/ d/new=1"),
        ("d/a=1 d/b=1", "", "d/a=1", ""),
        ("d/e/a=1 d/f/b=1", "d/e/a=1", "d/f/b=1", "d/"),
        ("d/e/a=1 d/f=dir", "", "d/e/a=1 d/f=dir d/g=dir", "d/ d/g/"),
        // Conflicts come in tree order.
        ("a.c=1 a/b=1 b=1", "a.c=2 a/b=2 b=2", "a.c=3 a/b=3 b=3", "a/ a/b=2 a.c=2 b=2 !a/b !a.c !b"),
    ] {
        let [base, ours, theirs] = [base, ours, theirs].map(|spec| build(&trees, &from(spec)));
        let merged = merge(&trees, Some(&base), &ours, &theirs, &how(Side::Ours, &NoText)).unwrap();
        assert_eq!(told(&trees, &merged), result);
        let mirrored = merge(&trees, Some(&base), &theirs, &ours, &how(Side::Theirs, &NoText)).unwrap();
        assert_eq!(mirrored.root, merged.root);
    }
}

#[test]
fn without_a_base_all_is_added() {
    let trees = Counting::default();
    let [ours, theirs] = ["a=1 b=1 d/x=1", "a=1 b=2 d/y=1"].map(|spec| build(&trees, &from(spec)));
    let merged = merge(&trees, None, &ours, &theirs, &how(Side::Theirs, &NoText)).unwrap();
    assert_eq!(told(&trees, &merged), "a=1 b=2 d/ d/x=1 d/y=1 !b");
    assert_eq!(merged.conflicts[0].base, None);
}

/// One file called `f` on each side, and what is to come of it.
fn one(base: &Entry, ours: &Entry, theirs: &Entry, winner: Side, text: &dyn TextMerge) -> (Entry, usize) {
    let trees = Counting::default();
    let [base, ours, theirs] =
        [base, ours, theirs].map(|entry| build(&trees, &model(&[("f", entry.clone())])));
    let merged = merge(&trees, Some(&base), &ours, &theirs, &how(winner, text)).unwrap();
    (lookup(&trees, &merged.root, b"f").unwrap().unwrap(), merged.conflicts.len())
}

fn with(seed: u64, mode: u16, secs: i64, xattrs: &[(&str, &str)]) -> Entry {
    let mut entry = file("f", seed);
    entry.meta = meta(mode, secs);
    entry.meta.xattrs = xattrs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    entry
}

#[test]
fn metadata_is_never_a_conflict() {
    let base = with(1, 0o644, 5, &[("user.a", "1"), ("user.b", "1"), ("user.c", "1")]);
    // Field by field: theirs touched it, ours changed the mode; xattrs by name.
    let ours = with(1, 0o755, 5, &[("user.a", "2"), ("user.b", "1"), ("user.c", "2")]);
    let theirs = with(1, 0o644, 9, &[("user.a", "1"), ("user.c", "3"), ("user.d", "1")]);
    let both = |c| with(1, 0o755, 9, &[("user.a", "2"), ("user.c", c), ("user.d", "1")]);
    assert_eq!(one(&base, &ours, &theirs, Side::Ours, &NoText), (both("2"), 0));
    assert_eq!(one(&base, &ours, &theirs, Side::Theirs, &NoText), (both("3"), 0));
    // Both changed mode and mtime: the winner's mode, the later time.
    let (ours, theirs) = (with(1, 0o600, 7, &[]), with(1, 0o700, 6, &[]));
    assert_eq!(one(&base, &ours, &theirs, Side::Theirs, &NoText), (with(1, 0o700, 7, &[]), 0));
    // Who changed the content gives mode and mtime; an xattr of the other comes along.
    let (ours, theirs) = (with(2, 0o644, 6, &[]), with(1, 0o755, 8, &[("user.d", "1")]));
    let merged = with(2, 0o644, 6, &[("user.d", "1")]);
    assert_eq!(one(&base, &ours, &theirs, Side::Theirs, &NoText), (merged, 0));
    // Both came to the same content.
    let (ours, theirs) = (with(2, 0o644, 6, &[]), with(2, 0o755, 8, &[]));
    assert_eq!(one(&base, &ours, &theirs, Side::Ours, &NoText), (with(2, 0o755, 8, &[]), 0));
    // A group number is metadata too; a changed content brings its own.
    let grouped = |seed, group| Entry { group, ..file("f", seed) };
    assert_eq!(
        one(&grouped(1, 1), &grouped(1, 2), &grouped(1, 3), Side::Theirs, &NoText),
        (grouped(1, 3), 0)
    );
    assert_eq!(one(&grouped(1, 1), &grouped(1, 2), &grouped(2, 0), Side::Ours, &NoText), (grouped(2, 0), 0));
}

#[test]
fn metadata_against_deletion_or_another_kind_gives_way() {
    let trees = Counting::default();
    let mut touched = from("a=1 d/b=1");
    for key in ["a", "d", "d/b"] {
        touched.get_mut(&crate::manifest::model::key(key)).unwrap().meta.mtime = Time { secs: 9, nanos: 0 };
    }
    let [base, ours, theirs] = [from("a=1 d/b=1"), touched, from("d/b=link")].map(|m| build(&trees, &m));
    let merged = merge(&trees, Some(&base), &ours, &theirs, &how(Side::Ours, &NoText)).unwrap();
    assert_eq!(told(&trees, &merged), "d/ d/b=link");
    assert_eq!(lookup(&trees, &merged.root, b"d").unwrap().unwrap().meta.mtime.secs, 9);
}

/// Adds the sizes up; refuses what is above 100.
struct Sum;

impl TextMerge for Sum {
    fn merge(&self, base: Option<&Content>, ours: &Content, theirs: &Content) -> Result<Option<Content>> {
        let sum = base.map_or(0, |base| base.size) + ours.size + theirs.size;
        Ok((sum <= 100).then(|| content(sum)))
    }
}

#[test]
fn text_both_changed_is_merged_by_lines() {
    let base = with(1, 0o644, 1, &[]);
    let (ours, theirs) = (with(2, 0o644, 5, &[]), with(3, 0o755, 4, &[]));
    assert_eq!(one(&base, &ours, &theirs, Side::Ours, &Sum), (with(6, 0o755, 5, &[]), 0));
    assert_eq!(one(&link("f", "to"), &ours, &theirs, Side::Ours, &Sum), (with(5, 0o644, 5, &[]), 0));
    let theirs = with(300, 0o755, 4, &[]);
    assert_eq!(one(&base, &ours, &theirs, Side::Theirs, &Sum), (theirs.clone(), 1));
    let grouped = |seed, group| Entry { group, ..file("f", seed) };
    assert_eq!(one(&base, &grouped(2, 7), &grouped(3, 7), Side::Ours, &Sum).0.group, 7);
    assert_eq!(one(&base, &grouped(2, 7), &grouped(3, 8), Side::Ours, &Sum).0.group, 0);
}

#[test]
fn what_two_sides_have_alike_is_not_read() {
    let trees = Counting::default();
    let many: Vec<Entry> = (0..100_000).map(|n| file(&format!("f{n:06}"), n)).collect();
    let big = write_dir(&trees, &many).unwrap();
    let top: Vec<Entry> = (0..500).map(|n| dir(&format!("d{n:03}"), big)).collect();
    let tree = write_dir(&trees, &top).unwrap();
    let base = write_root(&trees, &dir("", tree)).unwrap();
    let put = |path: &str, seed| {
        let name = path.rsplit('/').next().unwrap();
        (path.as_bytes().to_vec(), Edit::Put(file(name, seed)))
    };
    let ours = apply(&trees, &base, vec![put("d001/f000001", 7), put("d002/f000001", 7)]).unwrap();
    let theirs = apply(&trees, &base, vec![put("d002/f090000", 8), put("d003/f000001", 8)]).unwrap();
    trees.reset();
    let merged = merge(&trees, Some(&base), &ours, &theirs, &how(Side::Ours, &NoText)).unwrap();
    assert!(merged.conflicts.is_empty());
    // Three roots; two listings each for the pairs; one directory changed on both sides.
    assert!(trees.gets.get() <= 20, "read {} bodies", trees.gets.get());
    assert!(trees.news.get() <= 4, "wrote {} bodies", trees.news.get());
    let want =
        [put("d001/f000001", 7), put("d002/f000001", 7), put("d002/f090000", 8), put("d003/f000001", 8)];
    assert_eq!(merged.root, apply(&trees, &base, want.to_vec()).unwrap());
}

#[test]
fn a_tree_3000_deep_is_merged() {
    let trees = Counting::default();
    let deep = |names: &[(&str, u64)]| {
        let list: Vec<Entry> = names.iter().map(|(name, seed)| file(name, *seed)).collect();
        let mut tree = write_dir(&trees, &list).unwrap();
        for _ in 0..3_000 {
            tree = write_dir(&trees, &[dir("d", tree)]).unwrap();
        }
        write_root(&trees, &dir("", tree)).unwrap()
    };
    let (base, ours) = (deep(&[("a", 1), ("b", 1)]), deep(&[("a", 2), ("b", 1)]));
    let merged =
        merge(&trees, Some(&base), &ours, &deep(&[("a", 1), ("b", 2)]), &how(Side::Ours, &NoText)).unwrap();
    assert_eq!(merged, Merged { root: deep(&[("a", 2), ("b", 2)]), conflicts: vec![] });
    let gone = write_root(&trees, &dir("", write_dir(&trees, &[]).unwrap())).unwrap();
    let merged = merge(&trees, Some(&base), &ours, &gone, &how(Side::Ours, &NoText)).unwrap();
    assert_eq!(merged.root, deep(&[("a", 2)]));
    assert_eq!(merged.conflicts[0].path.len(), 2 * 3_000 + 1);
    let merged = merge(&trees, Some(&base), &ours, &gone, &how(Side::Theirs, &NoText)).unwrap();
    assert_eq!((merged.root, merged.conflicts.len()), (gone, 1));
}

proptest! {
    #[test]
    fn a_side_that_changed_nothing_gives_way(b in any_model(), x in any_model(), none: bool) {
        let trees = Counting::default();
        let (b, x) = (build(&trees, &b), build(&trees, &x));
        let clean = Merged { root: x, conflicts: vec![] };
        for winner in [Side::Ours, Side::Theirs] {
            prop_assert_eq!(&merge(&trees, Some(&b), &b, &x, &how(winner, &NoText)).unwrap(), &clean);
            prop_assert_eq!(&merge(&trees, Some(&b), &x, &b, &how(winner, &NoText)).unwrap(), &clean);
            let base = (!none).then_some(&b);
            prop_assert_eq!(&merge(&trees, base, &x, &x, &how(winner, &NoText)).unwrap(), &clean);
        }
    }

    /// As above, but one level down, where no comparison of roots ends it early.
    #[test]
    fn subtrees_are_merged_by_themselves(b in any_model(), x in any_model(), y in any_model()) {
        let trees = Counting::default();
        let [b, x, y] = [b, x, y].map(|m| {
            let root = read_root(&trees, &build(&trees, &m)).unwrap();
            root.tree().unwrap()
        });
        let two = |left, right| {
            let tree = write_dir(&trees, &[dir("l", left), dir("r", right)]).unwrap();
            write_root(&trees, &dir("", tree)).unwrap()
        };
        let merged = merge(&trees, Some(&two(b, b)), &two(x, b), &two(b, y), &how(Side::Ours, &NoText)).unwrap();
        prop_assert_eq!(merged, Merged { root: two(x, y), conflicts: vec![] });
    }

    #[test]
    fn sides_may_be_exchanged_with_the_winner(
        b in prop::option::of(any_model()), x in any_model(), y in any_model()
    ) {
        let trees = Counting::default();
        let b = b.map(|b| build(&trees, &b));
        let (x, y) = (build(&trees, &x), build(&trees, &y));
        let one = merge(&trees, b.as_ref(), &x, &y, &how(Side::Ours, &NoText)).unwrap();
        let mut other = merge(&trees, b.as_ref(), &y, &x, &how(Side::Theirs, &NoText)).unwrap();
        for conflict in &mut other.conflicts {
            std::mem::swap(&mut conflict.ours, &mut conflict.theirs);
        }
        prop_assert_eq!(one, other);
    }

    /// Kinds and contents follow the plain three-way rule at every path that is no
    /// conflict nor below one, and every conflict is one.
    #[test]
    fn contents_follow_the_three_way_rule(b in any_model(), x in any_model(), y in any_model()) {
        let trees = Counting::default();
        let merged = {
            let [b, x, y] = [&b, &x, &y].map(|m| build(&trees, m));
            merge(&trees, Some(&b), &x, &y, &how(Side::Ours, &NoText)).unwrap()
        };
        let result = unfold(&trees, &merged.root);
        let conflicts: Vec<_> = merged
            .conflicts
            .iter()
            .map(|conflict| crate::manifest::model::key(std::str::from_utf8(&conflict.path).unwrap()))
            .collect();
        prop_assert!(conflicts.is_sorted_by(|a, b| a < b));
        for key in b.keys().chain(x.keys()).chain(y.keys()) {
            let [b, x, y, got] = [&b, &x, &y, &result].map(|model| model.get(key).map(|entry| &entry.kind));
            if conflicts.contains(key) {
                prop_assert!(b != x && b != y && x != y || [x, y].iter().flatten().any(|k| matches!(k, Kind::Dir(_))));
            } else if conflicts.iter().any(|conflict| key.starts_with(conflict)) {
                continue;
            } else if [b, x, y].iter().flatten().any(|kind| matches!(kind, Kind::Dir(_))) {
                let is_dir = |kind: Option<&Kind>| matches!(kind, Some(Kind::Dir(_)));
                prop_assert!(!(is_dir(x) && is_dir(y)) || is_dir(got));
            } else if x == y || b == y {
                prop_assert_eq!(got, x);
            } else {
                prop_assert_eq!(b, x, "a conflict at {:?} is not told", key);
                prop_assert_eq!(got, y);
            }
        }
    }
}
