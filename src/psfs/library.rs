//! Writing the library out, once per store and content.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::stub;
use crate::cas::Digest;
use crate::error::{Context, Error, Result, looked};
use crate::os::mkdir;

/// The library as `build.rs` made it; empty on an architecture that has none.
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preload.so"));
/// The same, which counts what it answers.
const COUNTING: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/counting.so"));
/// Tells these from those of other builds; made by the compiler, for every start needs it.
const PRINT: u128 = print(print(FNV_BASIS, LIBRARY), COUNTING);
const FNV_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
/// What stands before the store's path in it (`preload/place.rs`).
const MARK: &[u8] = b"vrift-store-at:\0";
/// Bytes of a store's path at most, without its NUL.
const PATH: usize = 1023;

pub const FILE: &str = "x86_64.so";
/// The directory of the same library for runs in which nothing is answered from tables.
const RENAMES: &str = "rename";
/// The directory of the one that counts.
const COUNTS: &str = "count";
/// What loaders expand `$PLATFORM` to in 64-bit programs, and musl's, which does not.
const ALIASES: [&str; 3] = ["haswell.so", "xeon_phi.so", "$PLATFORM.so"];
/// The same in 32-bit programs.
const NARROW: [&str; 4] = ["i386.so", "i486.so", "i586.so", "i686.so"];

/// Which library a command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Answers from tables, and has directories renamed.
    Whole,
    /// Has directories renamed.
    Renames,
    /// Answers, and counts what it answers.
    Counting,
}

impl Variant {
    const ALL: [Variant; 3] = [Variant::Whole, Variant::Renames, Variant::Counting];

    /// Its directory, in the one of them all.
    pub fn dir(self, all: &Path) -> PathBuf {
        match self {
            Variant::Whole => all.to_path_buf(),
            Variant::Renames => all.join(RENAMES),
            Variant::Counting => all.join(COUNTS),
        }
    }

    fn library(self) -> &'static [u8] {
        if self == Variant::Counting { COUNTING } else { LIBRARY }
    }
}

/// FNV-1a of 128 bits: nobody but us makes these libraries, so it need not stand up to anybody.
#[allow(long_running_const_eval)]
const fn print(mut print: u128, bytes: &[u8]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut at = 0;
    while at < bytes.len() {
        print = (print ^ bytes[at] as u128).wrapping_mul(PRIME);
        at += 1;
    }
    print
}

/// Where the library is, or is to be, for a store at this path. `None`: runs of this store
/// go without, because LD_PRELOAD could not name it (rule 24), or it is not built for
/// this architecture.
pub fn place(store: &Path) -> Option<PathBuf> {
    let path = store.as_os_str().as_bytes();
    let stops = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b':' | b'$' | 0x0b);
    if LIBRARY.is_empty() || path.len() > PATH || path.iter().any(stops) {
        return None;
    }
    let name = Digest::of(&[&PRINT.to_ne_bytes(), path].concat()).hex();
    Some(store.join("psfs").join(name.get(..20)?))
}

/// Puts the library there, unless it is there.
pub fn publish(store: &Path) -> Result<Option<PathBuf>> {
    let Some(place) = place(store) else { return Ok(None) };
    if fs::symlink_metadata(place.join(FILE)).is_ok_and(|meta| meta.len() == LIBRARY.len() as u64) {
        return Ok(Some(place));
    }
    write(store, &place)?;
    Ok(Some(place))
}

/// What is wrong with a library that is there: the name that is not as it was written, and how.
/// A store has those of other versions as well, of which this one knows nothing.
pub fn fault(store: &Path) -> Result<Option<(PathBuf, &'static str)>> {
    let Some(place) = place(store).filter(|place| fs::symlink_metadata(place).is_ok()) else {
        return Ok(None);
    };
    let (first, rest) = NARROW.split_first().unwrap_or((&"", &[]));
    for variant in Variant::ALL {
        let dir = variant.dir(&place);
        for (name, content) in [(FILE, filled(store, variant)?), (*first, stub::library())] {
            let path = dir.join(name);
            let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
            let read = if is_file { fs::read(&path) } else { Err(ErrorKind::NotFound.into()) };
            match looked(read.context("read", &path))? {
                Ok(bytes) if bytes == content => {}
                Ok(_) => return Ok(Some((path, "it is not as this vrift has it, and programs load it"))),
                Err(_) => return Ok(Some((path, "it cannot be read, and programs load it"))),
            }
        }
        let links = ALIASES.iter().map(|name| (name, FILE)).chain(rest.iter().map(|name| (name, *first)));
        for (name, target) in links {
            let path = dir.join(name);
            if fs::read_link(&path).ok().as_deref() != Some(Path::new(target)) {
                return Ok(Some((path, "it does not lead to the library")));
            }
        }
    }
    Ok(None)
}

/// Makes the directory aside and gives it its name once all of it is on the disk: a
/// library that a power cut left without content would be an error in every program.
fn write(store: &Path, place: &Path) -> Result<()> {
    let psfs = store.join("psfs");
    mkdir::private(&psfs)?;
    let aside = tempdir(&psfs)?;
    let fill = || -> Result<()> {
        for variant in Variant::ALL {
            let dir = variant.dir(&aside);
            mkdir::private(&dir)?;
            write_file(&dir.join(FILE), &filled(store, variant)?)?;
            for name in ALIASES {
                let link = dir.join(name);
                symlink(FILE, &link).context("make link", &link)?;
            }
            let (first, rest) = NARROW.split_first().unwrap_or((&"", &[]));
            write_file(&dir.join(first), &stub::library())?;
            for name in rest {
                let link = dir.join(name);
                symlink(first, &link).context("make link", &link)?;
            }
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).context("chmod", &dir)?;
        }
        File::open(&aside).and_then(|dir| dir.sync_all()).context("sync", &aside)
    };
    fill().or_else(|error| fs::remove_dir_all(&aside).context("remove", &aside).and(Err(error)))?;
    match fs::rename(&aside, place) {
        Ok(()) => Ok(()),
        // somebody else was first, or a copy that is not whole is in the way
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            let kept =
                fs::symlink_metadata(place.join(FILE)).is_ok_and(|meta| meta.len() == LIBRARY.len() as u64);
            let away = if kept { &aside } else { place };
            fs::remove_dir_all(away).context("remove", away)?;
            if kept { Ok(()) } else { fs::rename(&aside, place).context("make", place) }
        }
        Err(error) => Err(Error::io("make", place, &error)),
    }
}

/// A directory of our own below `dir`.
fn tempdir(dir: &Path) -> Result<PathBuf> {
    let mut number = 0;
    loop {
        let path = dir.join(format!(".new-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::io("make directory", &path, &error)),
        }
    }
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(0o555))?;
        file.sync_all()
    };
    write().context("write", path)
}

/// The library of a store: its path is in it, and whether it is for renames only.
fn filled(store: &Path, variant: Variant) -> Result<Vec<u8>> {
    let mut library = variant.library().to_vec();
    let path = store.as_os_str().as_bytes();
    let mark = library.windows(MARK.len()).position(|window| window == MARK);
    let place = mark.and_then(|at| library.get_mut(at + MARK.len()..)?.get_mut(..PATH + 2));
    let place =
        place.ok_or_else(|| Error::failure("the preload library has no place for the store's path"))?;
    for (byte, of_path) in place.iter_mut().zip(path) {
        *byte = *of_path;
    }
    if let Some(last) = place.last_mut() {
        *last = (variant == Variant::Renames).into();
    }
    Ok(library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_ld_preload_cannot_name_has_none() {
        assert!(place(Path::new("/s/store")).is_some());
        for path in ["/s/a b", "/s/a:b", "/s/$HOME", "/s/a\tb", "/s/a\nb"] {
            assert_eq!(place(Path::new(path)), None, "{path:?}");
        }
        assert_eq!(place(&Path::new("/").join("x".repeat(1024))), None);
    }

    #[test]
    fn it_is_written_once_and_again_when_it_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = publish(dir.path()).unwrap().unwrap();
        let path = dir.path().as_os_str().as_bytes();
        let library = fs::read(place.join("$PLATFORM.so")).unwrap();
        assert!(library.windows(path.len() + 1).any(|window| window == [path, b"\0"].concat()));
        assert_eq!(fs::read(place.join("i586.so")).unwrap(), stub::library());
        let before = fs::metadata(place.join(FILE)).unwrap();
        publish(dir.path()).unwrap();
        assert_eq!(fs::metadata(place.join(FILE)).unwrap().modified().unwrap(), before.modified().unwrap());
        fs::remove_file(place.join(FILE)).unwrap();
        fs::write(place.join(FILE), "").unwrap();
        publish(dir.path()).unwrap();
        assert_eq!(fs::read(place.join(FILE)).unwrap(), library);
        assert_eq!(fs::read_dir(dir.path().join("psfs")).unwrap().count(), 1);
    }

    #[test]
    fn each_damage_of_it_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let found = || fault(dir.path()).unwrap().map(|(path, _)| path);
        assert_eq!(found(), None);
        for variant in Variant::ALL {
            for name in [FILE, "i386.so", "i686.so", "haswell.so", "$PLATFORM.so"] {
                let place = publish(dir.path()).unwrap().unwrap();
                assert_eq!(found(), None);
                let path = variant.dir(&place).join(name);
                let mut bytes = fs::read(&path).unwrap();
                bytes[20] ^= 1;
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
                assert_eq!(found(), Some(path));
                fs::remove_dir_all(&place).unwrap();
            }
        }
    }
}
