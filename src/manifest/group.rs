//! The numbers that tie the names of one hard-linked file.
//!
//! A number is made from all the names of the file, so a name more or less changes it
//! in every one of them: no entry depends on another (rule 7), and whoever renders a
//! difference sees each name that has to be linked anew.

/// The group number of a file that has these names: full paths relative to the
/// project's directory, in any order. The first eight bytes (little endian) of BLAKE3
/// over the sorted paths, each followed by a NUL; 1 where that would be 0. An entry
/// whose file has a single name carries 0 instead.
pub fn number(names: &[Vec<u8>]) -> u64 {
    let mut sorted: Vec<&Vec<u8>> = names.iter().collect();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for name in sorted {
        hasher.update(name).update(&[0]);
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_the_set_of_names() {
        let names = |text: &str| text.split(' ').map(|name| name.into()).collect::<Vec<Vec<u8>>>();
        assert_eq!(number(&names("a/x b")), number(&names("b a/x")));
        assert_ne!(number(&names("a/x b")), number(&names("a/x b c")));
        assert_ne!(number(&names("ab c")), number(&names("a bc")));
    }

    /// Part of the format, as the bytes of a tree are.
    #[test]
    fn a_number_is_pinned() {
        assert_eq!(number(&[b"bin/a".to_vec(), b"bin/b".to_vec()]), 13_756_240_576_500_075_678);
    }
}
