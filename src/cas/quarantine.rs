//! `STORE/quarantine/`: what was damaged or did not belong where it lay. Nothing in there is
//! used, and nothing is ever removed from it: whoever owns it looks at it.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, RenameFlags, renameat_with, statat};
use rustix::io::Errno;

use super::helper;
use super::store::Store;
use crate::error::{Context, Error, Result, plain};
use crate::os::{failpoint, immutable, mkdir};

pub const NAME: &str = "quarantine";

impl Store {
    /// Moves a file or directory of the store aside; returns where it is now, relative to
    /// the store. Nobody may be using it. Not there: `None`.
    pub fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>> {
        let place = self.root().join(NAME);
        mkdir::private(&place)?;
        let inner = path.strip_prefix(self.root()).unwrap_or(path);
        let name = plain(inner.as_os_str()).replace('/', "!");
        let name: String = name.chars().take(200).collect();
        for number in 0..10_000 {
            let to = if number == 0 { name.clone() } else { format!("{name}.{number}") };
            match move_to(path, &place.join(&to)) {
                Ok(()) => {
                    failpoint::at("quarantine.moved").context("move aside", path)?;
                    return Ok(Some(Path::new(NAME).join(to)));
                }
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).context("move aside", path),
            }
        }
        Err(Error::failure(format!("`{}` is full of things of this name", place.display()))
            .with_hint("look at it and remove what is not wanted"))
    }

    /// The same of bytes that were a row.
    pub fn set_bytes_aside(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let place = self.root().join(NAME);
        mkdir::private(&place)?;
        let path = place.join(name);
        std::fs::write(&path, bytes).context("write", &path)?;
        failpoint::at("quarantine.written").context("write", &path)?;
        Ok(Path::new(NAME).join(name))
    }

    /// How many things lie there.
    pub fn set_aside_count(&self) -> usize {
        std::fs::read_dir(self.root().join(NAME)).map_or(0, Iterator::count)
    }
}

fn move_to(from: &Path, to: &Path) -> Result<(), Errno> {
    let rename = || match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // a filesystem without it
        Err(Errno::INVAL | Errno::NOSYS) => match statat(CWD, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(_) => rustix::fs::rename(from, to),
        },
        other => other,
    };
    // what is damaged is not kept from its owner there
    let cleared = || {
        let of_file = std::fs::File::open(from).is_ok_and(immutable::clear);
        let of_dir = from.parent().is_some_and(|dir| std::fs::File::open(dir).is_ok_and(immutable::clear));
        of_file || of_dir
    };
    match rename() {
        Err(Errno::PERM) if cleared() || helper::clear(from) => rename(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_there_under_names_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let path = store.root().join("objects/stray");
        for text in ["one", "two"] {
            std::fs::write(&path, text).unwrap();
            let to = store.set_aside(&path).unwrap().unwrap();
            assert_eq!(std::fs::read_to_string(store.root().join(to)).unwrap(), text);
            assert!(!path.exists());
        }
        assert_eq!(store.set_aside(&path).unwrap(), None);
        assert_eq!(store.set_aside_count(), 2);
    }
}
