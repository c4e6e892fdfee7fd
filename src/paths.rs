//! Where the store, the user's home and the user's configuration are.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Context, Error, Result};

/// The store's directory: the flag, else `VRIFT_STORE`, else the user's configuration,
/// else `$XDG_DATA_HOME/vrift`, else `~/.local/share/vrift`. Absolute, links resolved as far as it exists.
/// Every command asks twice or more: it is looked for once.
pub fn store(flag: Option<&Path>) -> Result<PathBuf> {
    static FOUND: Mutex<Option<(Option<PathBuf>, PathBuf)>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, store)) = found.as_ref().filter(|(asked, _)| asked.as_deref() == flag) {
        return Ok(store.clone());
    }
    let store = find_store(flag)?;
    *found = Some((flag.map(Path::to_path_buf), store.clone()));
    Ok(store)
}

fn find_store(flag: Option<&Path>) -> Result<PathBuf> {
    let chosen = match flag {
        Some(path) => path.to_path_buf(),
        None => match set("VRIFT_STORE") {
            Some(path) => path.into(),
            None => match crate::config::store_of_user()? {
                Some(path) => path,
                None => data_home()?.join("vrift"),
            },
        },
    };
    let absolute = std::path::absolute(&chosen).context("resolve the store's path", &chosen);
    absolute
        .and_then(|absolute| resolve_existing(&absolute))
        .map_err(|error| error.with_hint("choose another place for the store: --store DIR or VRIFT_STORE"))
}

fn data_home() -> Result<PathBuf> {
    if let Some(path) = set("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        return Ok(path);
    }
    home().map(|home| home.join(".local/share")).ok_or_else(|| {
        Error::failure("there is no home directory to keep the store in")
            .with_hint("set HOME, or name the store with --store DIR or VRIFT_STORE")
    })
}

/// `$XDG_CONFIG_HOME`, else `~/.config`.
pub fn config_home() -> Option<PathBuf> {
    let set = set("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| home().map(|home| home.join(".config")))
}

/// `$XDG_CACHE_HOME`, else `~/.cache`.
pub fn cache_home() -> Option<PathBuf> {
    let set = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| home().map(|home| home.join(".cache")))
}

/// A leading `~/` is the user's home.
pub fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// The user's home: `HOME`, else the password file's.
pub fn home() -> Option<PathBuf> {
    if let Some(home) = set("HOME") {
        return Some(home.into());
    }
    // A static binary cannot ask the name service; the file has the local users.
    let users = std::fs::read("/etc/passwd").ok()?;
    home_in(&users, rustix::process::getuid().as_raw())
}

/// The home directory of a user in passwd(5)'s format.
fn home_in(users: &[u8], uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    let of_user = |line: &&[u8]| line.split(|&byte| byte == b':').nth(2) == Some(uid.as_bytes());
    let line = users.split(|&byte| byte == b'\n').find(of_user)?;
    let home = Path::new(OsStr::from_bytes(line.split(|&byte| byte == b':').nth(5)?));
    (home.is_absolute() && home != Path::new("/")).then(|| home.to_path_buf())
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Resolves links in the part of a path that exists and keeps the rest.
pub fn resolve_existing(path: &Path) -> Result<PathBuf> {
    let mut missing = Vec::new();
    let mut at = path;
    loop {
        match std::fs::canonicalize(at) {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, name| path.join(name))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("resolve", path, &error)),
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_os_string());
                at = parent;
            }
            _ => return Ok(path.to_path_buf()),
        }
    }
}

/// Paths in a serialized form that holds every byte.
pub mod as_bytes {
    use super::{OsStrExt, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    pub fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<&[u8]> = paths.iter().map(|path| path.as_os_str().as_bytes()).collect();
        bytes.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        let bytes: Vec<Vec<u8>> = Vec::deserialize(from)?;
        Ok(bytes.into_iter().map(|bytes| OsString::from_vec(bytes).into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_in_the_password_file() {
        let users = b"root:x:0:0::/root:/bin/sh\nme:x:1000:1000:Me,,:/home/me:/bin/sh\nno:x:5:5::/:\njunk\n";
        assert_eq!(home_in(users, 1000).unwrap(), Path::new("/home/me"));
        assert!(home_in(users, 5).is_none() && home_in(users, 7).is_none());
    }

    #[test]
    fn links_are_resolved_up_to_where_the_path_ends() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink("a", real.join("link")).unwrap();
        assert_eq!(resolve_existing(&real.join("link/x/y")).unwrap(), real.join("a/x/y"));
    }
}
