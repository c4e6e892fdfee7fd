//! The environment by which a command gets the library.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::library::Variant;

/// The directory of the library in the store's cover.
pub const SHOWN: &str = "preload";

/// Appends the library to LD_PRELOAD, and to ASAN_OPTIONS what makes AddressSanitizer
/// start behind a preloaded library.
pub fn add(variables: &mut Vec<(OsString, OsString)>, store: &Path, variant: Variant) {
    let entry = variant.dir(&store.join(SHOWN)).join("$PLATFORM.so").into_os_string();
    append(variables, "LD_PRELOAD", &entry);
    append(variables, "ASAN_OPTIONS", OsStr::new("verify_asan_link_order=0"));
}

/// Appends a word to a list with colons, if it is not there. The last variable of a name counts.
fn append(variables: &mut Vec<(OsString, OsString)>, name: &str, word: &OsStr) {
    let known = variables.iter_mut().rfind(|(known, _)| known == name);
    let Some((_, value)) = known else {
        return variables.push((name.into(), word.into()));
    };
    if value.as_bytes().split(|byte| *byte == b':').any(|part| part == word.as_bytes()) {
        return;
    }
    if !value.is_empty() {
        value.push(":");
    }
    value.push(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_in_front() {
        let mut variables =
            vec![("LD_PRELOAD".into(), "/a.so /b.so".into()), ("ASAN_OPTIONS".into(), "".into())];
        let store = Path::new("/s");
        add(&mut variables, store, Variant::Whole);
        add(&mut variables, store, Variant::Whole);
        let expected: [(OsString, OsString); 2] = [
            ("LD_PRELOAD".into(), "/a.so /b.so:/s/preload/$PLATFORM.so".into()),
            ("ASAN_OPTIONS".into(), "verify_asan_link_order=0".into()),
        ];
        assert_eq!(variables, expected);
    }
}
