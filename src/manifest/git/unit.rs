//! Whose repository stands, and what of the other side's objects comes to it: the tables
//! in `git`.

use super::state::State;
use crate::cas::Digest;
use crate::error::Result;
use crate::manifest::chunk::{Change, Listing, pairs};
use crate::manifest::node::{Entry, Kind};
use crate::manifest::store::Trees;
use crate::manifest::three_way::Side;

/// Whose state stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stands {
    pub side: Side,
    /// Both sides changed it, and not alike.
    pub both: bool,
}

/// Decides by the states of the three; `None`: there is no repository. `keeps`: whose
/// stands where both changed.
pub fn stands(base: Option<&State>, ours: Option<&State>, theirs: Option<&State>, keeps: Side) -> Stands {
    if theirs == base {
        Stands { side: Side::Ours, both: false }
    } else if ours == base || ours == theirs {
        Stands { side: Side::Theirs, both: false }
    } else {
        Stands { side: keeps, both: true }
    }
}

/// What is added to the objects of the repository that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adds {
    Nothing,
    /// All that the other side has.
    All,
    /// What the other side has got since the base.
    New,
}

/// Decides by what the other side, whose state does not stand, did to objects and logs
/// since the base. `keeper`: it is the one that keeps its repository.
pub fn adds(objects_changed: bool, logs_changed: bool, keeper: bool) -> Adds {
    match (objects_changed, logs_changed, keeper) {
        (false, false, _) => Adds::Nothing,
        (_, _, true) => Adds::All,
        (_, _, false) => Adds::New,
    }
}

/// A tree of `objects`: that of `stands` with the loose objects and packs of `other` that
/// neither it nor `known` has. What describes all packs together (`info`, an index over
/// several packs) stays as it is: it may speak of fewer.
pub fn union(trees: &dyn Trees, stands: &Digest, other: &Digest, known: Option<&Digest>) -> Result<Digest> {
    let mut known = Listing::open(trees, known)?;
    let mut changes: Vec<Change> = Vec::new();
    for pair in pairs(trees, Some(stands), Some(other))? {
        let known = known.get(&pair.name)?.and_then(Entry::tree);
        let (Some(theirs), true) = (pair.after, is_shelf(&pair.name)) else { continue };
        let Kind::Dir(theirs_tree) = theirs.kind else { continue };
        let (entry, tree) = match pair.before {
            Some(ours) => match ours.tree() {
                Some(tree) => (ours, Some(tree)),
                None => continue,
            },
            None => (theirs, None),
        };
        let merged = shelf(trees, tree.as_ref(), &theirs_tree, known.as_ref(), pair.name == b"pack")?;
        if tree != Some(merged) {
            changes.push((pair.name, Some(Entry { kind: Kind::Dir(merged), ..entry })));
        }
    }
    Listing::open(trees, Some(stands))?.update(changes)
}

/// One directory of objects or packs, with what `other` has besides.
fn shelf(
    trees: &dyn Trees,
    stands: Option<&Digest>,
    other: &Digest,
    known: Option<&Digest>,
    packs: bool,
) -> Result<Digest> {
    let mut known = Listing::open(trees, known)?;
    let mut changes: Vec<Change> = Vec::new();
    for pair in pairs(trees, stands, Some(other))? {
        let new = pair.before.is_none() && known.get(&pair.name)?.is_none();
        if new && (!packs || is_of_pack(&pair.name)) {
            changes.push((pair.name, pair.after));
        }
    }
    Listing::open(trees, stands)?.update(changes)
}

/// `pack`, or two digits that loose objects begin with.
fn is_shelf(name: &[u8]) -> bool {
    name == b"pack" || (name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit))
}

/// A pack or what belongs to it alone, but a bitmap: a repository has one.
fn is_of_pack(name: &[u8]) -> bool {
    name.starts_with(b"pack-") && !name.ends_with(b".bitmap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::{Counting, build, file, model, unfold};

    fn state(words: &str) -> Option<State> {
        let parts: Vec<&str> = words.split_whitespace().collect();
        (!parts.is_empty()).then(|| State::named(&parts))
    }

    #[test]
    fn whose_repository_stands() {
        use Side::{Ours, Theirs};
        for (base, ours, theirs, side, both) in [
            // nothing, one side
            ("a", "a", "a", Ours, false),
            ("a", "a", "b", Theirs, false),
            ("a", "b", "a", Ours, false),
            // both, alike and not
            ("a", "b", "b", Theirs, false),
            ("a", "b", "c", Ours, true),
            // made and deleted
            ("", "", "a", Theirs, false),
            ("", "a", "", Ours, false),
            ("", "a", "a", Theirs, false),
            ("", "a", "b", Ours, true),
            ("a", "", "a", Ours, false),
            ("a", "a", "", Theirs, false),
            ("a", "", "b", Ours, true),
            ("a", "b", "", Ours, true),
        ] {
            let [base, ours, theirs] = [base, ours, theirs].map(state);
            let [base, ours, theirs] = [&base, &ours, &theirs].map(Option::as_ref);
            assert_eq!(
                stands(base, ours, theirs, Ours),
                Stands { side, both },
                "{base:?} {ours:?} {theirs:?}"
            );
            let side = if both { Theirs } else { side };
            assert_eq!(stands(base, ours, theirs, Theirs), Stands { side, both });
        }
    }

    #[test]
    fn what_the_other_sides_objects_are_worth() {
        for (objects, logs, keeper, expected) in [
            (false, false, true, Adds::Nothing),
            (false, false, false, Adds::Nothing),
            (true, false, true, Adds::All),
            (false, true, true, Adds::All),
            (true, true, false, Adds::New),
        ] {
            assert_eq!(adds(objects, logs, keeper), expected);
        }
    }

    #[test]
    fn objects_come_together() {
        let trees = Counting::default();
        let of = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name, file("", 1))).collect();
            crate::manifest::dir::read_root(&trees, &build(&trees, &model(&names))).unwrap().tree().unwrap()
        };
        let stands = of(&["00/a", "info/packs", "pack/pack-1.pack", "pack/multi-pack-index"]);
        let other = of(&[
            "00/a",
            "00/b",
            "01/c",
            "info/commit-graph",
            "junk",
            "pack/pack-2.idx",
            "pack/pack-2.bitmap",
            "pack/multi-pack-index",
            "pack/tmp_pack_x",
            "pack/pack-1.keep",
        ]);
        let names = |tree: &Digest| {
            let root = crate::manifest::model::dir("", *tree);
            let root = crate::manifest::dir::write_root(&trees, &root).unwrap();
            let all = unfold(&trees, &root).into_iter().filter(|(_, entry)| !entry.is_dir());
            all.map(|(key, _)| String::from_utf8(crate::manifest::model::joined(&key)).unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let all = "00/a 00/b 01/c info/packs pack/multi-pack-index pack/pack-1.keep pack/pack-1.pack pack/pack-2.idx";
        assert_eq!(names(&union(&trees, &stands, &other, None).unwrap()), all);
        let known = of(&["00/b", "pack/pack-2.idx"]);
        let new = "00/a 01/c info/packs pack/multi-pack-index pack/pack-1.keep pack/pack-1.pack";
        assert_eq!(names(&union(&trees, &stands, &other, Some(&known)).unwrap()), new);
        assert_eq!(union(&trees, &stands, &stands, None).unwrap(), stands);
    }
}
