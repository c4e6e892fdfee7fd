//! The known word that a mistyped one was probably meant to be.

/// The candidate with the smallest edit distance (Levenshtein).
pub fn of<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates.min_by_key(|candidate| distance(word.as_bytes(), candidate.as_bytes()))
}

fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insertions_deletions_and_replacements_count_one_each() {
        for (from, to, expected) in [("", "", 0), ("own", "", 3), ("onw", "own", 2), ("hid", "hide", 1)] {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), expected);
        }
        assert_eq!(of("scrach", ["own", "scratch", "hide"].into_iter()), Some("scratch"));
    }
}
