//! Text that two sides changed, merged by lines (diff3, by diffy).
//!
//! What is no text (a NUL byte in it), or large, or so different that comparing it would
//! take seconds, is not merged: then it is a conflict, which loses nothing.

use std::fs::File;
use std::io::Read;

use super::node::Content;
use super::three_way::TextMerge;
use crate::cas::Store;
use crate::cas::store::Publishing;
use crate::error::{Context, Result};

/// Files above this many bytes are not compared by lines.
pub const LARGEST: u64 = 16 << 20;
/// The comparison's worst case is about the product of the numbers of lines that two
/// texts do not begin or end with alike: 10,000 by 10,000 take about a second.
const MOST_WORK: usize = 100_000_000;

/// What became of three texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    Clean(Vec<u8>),
    /// With conflict markers around what does not merge.
    Marked(Vec<u8>),
}

/// Merges contents of a store.
pub struct Lines<'a> {
    pub store: &'a Store,
    /// Held until what names the merged content is committed (rule 15).
    pub token: &'a Publishing,
}

impl TextMerge for Lines<'_> {
    fn merge(&self, base: Option<&Content>, ours: &Content, theirs: &Content) -> Result<Option<Content>> {
        let Some(base) = base else { return Ok(None) };
        match merge_contents(self.store, Some(base), ours, theirs)? {
            Some(Merged::Clean(text)) => {
                let stored = self.store.publish_bytes(self.token, &text)?;
                Ok(Some(Content { digest: stored.digest, size: stored.size, sparse: false }))
            }
            Some(Merged::Marked(_)) | None => Ok(None),
        }
    }
}

/// Merges three stored contents; `None` when they are not to be merged by lines.
pub fn merge_contents(
    store: &Store,
    base: Option<&Content>,
    ours: &Content,
    theirs: &Content,
) -> Result<Option<Merged>> {
    let base = base.map_or(Ok(Some(Vec::new())), |base| text_of(store, base))?;
    let (ours, theirs) = (text_of(store, ours)?, text_of(store, theirs)?);
    Ok(match (base, ours, theirs) {
        (Some(base), Some(ours), Some(theirs)) => merge_texts(&base, &ours, &theirs),
        _ => None,
    })
}

/// Merges three texts; `None` when comparing them would take too long.
pub fn merge_texts(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Merged> {
    if work(base, ours) > MOST_WORK || work(base, theirs) > MOST_WORK {
        return None;
    }
    Some(match diffy::merge_bytes(base, ours, theirs) {
        Ok(text) => Merged::Clean(text),
        Err(text) => Merged::Marked(text),
    })
}

/// A stored content that is text; `None` for what is binary or too large to compare.
pub fn text_of(store: &Store, content: &Content) -> Result<Option<Vec<u8>>> {
    if content.size > LARGEST || content.sparse {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    if content.size > 0 {
        let mut file = File::from(store.open_object(&content.digest)?);
        file.read_to_end(&mut bytes).context("read object", content.digest.hex())?;
    }
    Ok((!bytes.contains(&0)).then_some(bytes))
}

/// The worst case of comparing two texts, in steps.
fn work(a: &[u8], b: &[u8]) -> usize {
    let (a, b): (Vec<&[u8]>, Vec<&[u8]>) = (lines(a).collect(), lines(b).collect());
    let alike = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[alike..], &b[alike..]);
    let alike = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    (a.len() - alike).saturating_mul(b.len() - alike)
}

/// Each with its newline, if it has one.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_at_two_places_merge_and_at_one_place_do_not() {
        let merged = merge_texts(b"a\nb\nc\nd\ne\n", b"A\nb\nc\nd\ne\n", b"a\nb\nc\nd\nE\n");
        assert_eq!(merged, Some(Merged::Clean(b"A\nb\nc\nd\nE\n".to_vec())));
        let Some(Merged::Marked(text)) = merge_texts(b"a\n", b"b\n", b"c\xff\n") else { panic!("merged") };
        assert!(text.starts_with(b"<<<<<<<") && text.windows(3).any(|three| three == b"c\xff\n"));
    }

    #[test]
    fn what_would_take_long_is_not_compared() {
        let many = |word: &str| (0..20_000).map(|n| format!("{word}{n}\n")).collect::<String>().into_bytes();
        let (base, other) = (many("a"), many("b"));
        assert_eq!(merge_texts(&base, &other, &base), None);
        let mut changed = base.clone();
        changed.extend(b"more\n");
        assert_eq!(merge_texts(&base, &changed, &base), Some(Merged::Clean(changed)));
    }

    #[test]
    fn only_text_of_the_store_is_merged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&dir.path().join("store")).unwrap();
        let token = store.publishing().unwrap();
        let put = |bytes: &[u8]| {
            let stored = store.publish_bytes(&token, bytes).unwrap();
            Content { digest: stored.digest, size: stored.size, sparse: false }
        };
        let lines = Lines { store: &store, token: &token };
        let [base, ours, theirs] = [&b"1\n2\n3\n4\n"[..], b"0\n2\n3\n4\n", b"1\n2\n3\n5\n"].map(put);
        let merged = lines.merge(Some(&base), &ours, &theirs).unwrap().unwrap();
        assert_eq!(text_of(&store, &merged).unwrap().unwrap(), b"0\n2\n3\n5\n");
        assert_eq!(lines.merge(Some(&put(b"1\0")), &ours, &theirs).unwrap(), None);
        assert_eq!(lines.merge(None, &ours, &theirs).unwrap(), None);
        assert_eq!(lines.merge(Some(&base), &put(b""), &theirs).unwrap(), None);
    }

    /// Few different lines, so that they meet; any bytes in them but a newline.
    fn any_text() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![&b"a\n"[..], b"b\n", b"c\n", b"\xff\r\n", b"\n"]);
        (prop::collection::vec(line, 0..12), any::<bool>()).prop_map(|(lines, cut)| {
            let mut text = lines.concat();
            if cut {
                text.pop();
            }
            text
        })
    }

    proptest! {
        #[test]
        fn merging_follows_the_three_way_rule(base in any_text(), ours in any_text(), theirs in any_text()) {
            let clean = |text: &[u8]| Some(Merged::Clean(text.to_vec()));
            prop_assert_eq!(merge_texts(&base, &ours, &base), clean(&ours));
            prop_assert_eq!(merge_texts(&base, &base, &theirs), clean(&theirs));
            prop_assert_eq!(merge_texts(&base, &ours, &ours), clean(&ours));
            let (one, other) = (merge_texts(&base, &ours, &theirs), merge_texts(&base, &theirs, &ours));
            if let (Some(Merged::Clean(one)), Some(Merged::Clean(other))) = (&one, &other) {
                prop_assert_eq!(one, other);
            }
        }

        /// A line is in a clean merge only if a side has it, and what both sides kept stays.
        #[test]
        fn a_clean_merge_makes_nothing_up(base in any_text(), ours in any_text(), theirs in any_text()) {
            if let Some(Merged::Clean(text)) = merge_texts(&base, &ours, &theirs) {
                for line in lines(&text) {
                    prop_assert!(lines(&ours).chain(lines(&theirs)).any(|side| side == line));
                }
            }
        }

        #[test]
        fn any_bytes_are_merged_without_a_panic(base: Vec<u8>, ours: Vec<u8>, theirs: Vec<u8>) {
            merge_texts(&base, &ours, &theirs);
        }
    }
}
