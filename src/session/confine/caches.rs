//! Directories of package managers that stay writable in a confined session.
//!
//! A preset means what is downloaded or compiled, and can be had again: never programs
//! that are on the user's PATH, settings, or credentials, by which a run would reach out
//! of its confinement later. A directory that is not there is made, so that the first
//! build fills it.

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result, quoted};
use crate::paths;

/// One directory: a variable that places it (and what is below that), else below which
/// base, else below the home directory.
struct Place {
    variable: &'static str,
    below_variable: &'static str,
    base: Base,
    below_base: &'static str,
}

#[derive(Clone, Copy)]
enum Base {
    Home,
    /// XDG_CACHE_HOME, else `~/.cache`.
    Cache,
}

const fn place(
    variable: &'static str,
    below_variable: &'static str,
    base: Base,
    below_base: &'static str,
) -> Place {
    Place { variable, below_variable, base, below_base }
}

const PRESETS: &[(&str, &[Place])] = &[
    (
        "cargo",
        &[
            place("CARGO_HOME", "registry", Base::Home, ".cargo/registry"),
            place("CARGO_HOME", "git", Base::Home, ".cargo/git"),
        ],
    ),
    ("npm", &[place("npm_config_cache", "", Base::Home, ".npm")]),
    ("pip", &[place("PIP_CACHE_DIR", "", Base::Cache, "pip")]),
    (
        "go",
        &[place("GOMODCACHE", "", Base::Home, "go/pkg/mod"), place("GOCACHE", "", Base::Cache, "go-build")],
    ),
    ("ccache", &[place("CCACHE_DIR", "", Base::Cache, "ccache")]),
];

/// The directories that declared caches mean: presets by name, others by path. Not all
/// need be there.
pub fn directories(declared: &[String]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in declared {
        match PRESETS.iter().find(|(preset, _)| preset == name) {
            Some((_, places)) => {
                for place in *places {
                    found.push(preset(place)?);
                }
            }
            None => {
                let path = paths::expand_home(name);
                if !path.is_absolute() {
                    let known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                    return Err(Error::failure(format!("`{name}` is no cache that is known")).with_hint(
                        format!("known are {}; a directory is named as ~/DIR or /DIR", known.join(", ")),
                    ));
                }
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn preset(place: &Place) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os(place.variable).map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(dir.join(place.below_variable));
    }
    let home = home()?;
    let base = match place.base {
        Base::Home => home,
        Base::Cache => std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .unwrap_or_else(|| home.join(".cache")),
    };
    Ok(base.join(place.below_base))
}

/// The home directory, as it is named.
pub(super) fn home() -> Result<PathBuf> {
    paths::home()
        .ok_or_else(|| Error::failure("it is not known where the home directory is").with_hint("set HOME"))
}

/// Makes those that are not there.
pub fn make(directories: &[PathBuf]) -> Result<()> {
    directories.iter().try_for_each(|dir| std::fs::create_dir_all(dir).context("make the cache", dir))
}

/// Their real paths, as far as they are there. None of them may be, or lie above, what the
/// confinement is there for.
pub(super) fn resolved(directories: &[PathBuf], home: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in directories {
        let real = paths::resolve_existing(dir)?;
        if home.starts_with(&real) {
            return Err(Error::failure(format!(
                "the cache {} has the home directory in it",
                quoted(real.as_os_str())
            ))
            .with_hint("name a directory below it"));
        }
        found.push(real);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_and_paths_are_told_apart() {
        let home = home().unwrap();
        let found = directories(&["/x".into(), "~/.foo".into()]).unwrap();
        assert_eq!(found, [PathBuf::from("/x"), home.join(".foo")]);
        assert!(directories(&["cargoo".into()]).unwrap_err().hint().unwrap().contains("ccache"));
        for (name, places) in PRESETS {
            assert_eq!(directories(&[name.to_string()]).unwrap().len(), places.len(), "{name}");
        }
    }

    #[test]
    fn a_cache_is_not_the_home_directory() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap().join("home");
        std::fs::create_dir_all(home.join(".foo")).unwrap();
        let of = |path: PathBuf| resolved(&[path], &home);
        assert_eq!(of(home.join(".foo")).unwrap(), [home.join(".foo")]);
        assert_eq!(of(home.join(".bar/baz")).unwrap(), [home.join(".bar/baz")]);
        std::os::unix::fs::symlink(&home, home.join(".foo/link")).unwrap();
        for wide in [home.clone(), home.join(".foo/.."), home.join(".foo/link"), "/".into()] {
            assert!(of(wide).is_err());
        }
    }
}
