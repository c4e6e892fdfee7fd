//! The environment by which a command gets the library.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::library::{FILE, Variant};

/// The directory of the library in the store's cover.
pub const SHOWN: &str = "preload";

/// Where 32-bit programs have their loaders, and what may hold some at any path.
const LOADERS: [&str; 4] = ["/lib/ld-linux.so.2", "/libx32/ld-linux-x32.so.2", "/nix/store", "/gnu/store"];

/// The library's name. With a variable in it every program's loader asks where the program
/// lies (glibc, elf/dl-load.h, DL_DST_REQUIRED), 30 µs of `/proc`; so it has one only where there
/// may be 32-bit programs, for which it must be another file.
pub fn name() -> &'static str {
    if LOADERS.iter().any(|path| Path::new(path).exists()) { "$PLATFORM.so" } else { FILE }
}

/// Appends the library to LD_PRELOAD, and to ASAN_OPTIONS what makes AddressSanitizer
/// start behind a preloaded library.
pub fn add(variables: &mut Vec<(OsString, OsString)>, store: &Path, variant: Variant) {
    let entry = variant.dir(&store.join(SHOWN)).join(name()).into_os_string();
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
            ("LD_PRELOAD".into(), format!("/a.so /b.so:/s/preload/{}", name()).into()),
            ("ASAN_OPTIONS".into(), "verify_asan_link_order=0".into()),
        ];
        assert_eq!(variables, expected);
    }
}
