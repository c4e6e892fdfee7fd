//! What of the machine outside of the project is otherwise for a workspace's runs: directories
//! that are the workspace's own (`run.private`), and what is covered (`run.hide`).
//!
//! ```text
//! own/<workspace>/run/      sockets and the like of servers (helpers.rs), shown as STORE/run
//!                 <name>/   one private directory; the name is a digest of its path
//!                 empty/    what covers directories, and `nothing`, what covers all else
//! ```
//!
//! It is made when a session opens, lives as long as the workspace, and is in no root: a fork begins
//! with none. It goes when the workspace is deleted, and gc removes what is left by a kill in between.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::confine::Shape;
use super::helpers;
use super::project::{OWN, Place};
use super::staging;
use super::sync::explain::Explained;
use crate::cas::Digest;
use crate::config::class::Class;
use crate::config::{Config, keys};
use crate::error::{Context, Error, Result};
use crate::manifest::Manifest;
use crate::ns::plan::{Bind, c_path};
use crate::os::lock::{Hold, Lock};
use crate::os::mkdir;
use crate::paths;

const EMPTY: &str = "empty";
const NOTHING: &str = "nothing";

/// Kernel's own, and of a session's own later.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Of one workspace.
#[derive(Debug, Default)]
pub struct Elsewhere {
    own: PathBuf,
    /// By their real paths, each once, none in another.
    pub private: Vec<PathBuf>,
    /// What there is of it, by its real path.
    pub hidden: Vec<PathBuf>,
}

impl Elsewhere {
    /// What a shape declares, checked; nothing is made.
    pub fn of(place: &Place, workspace: i64, shape: &Shape) -> Result<Self> {
        let own = place.own(workspace);
        if shape.private.is_empty() && shape.hide.is_empty() {
            return Ok(Self { own, ..Self::default() });
        }
        let home = paths::home().and_then(|home| std::fs::canonicalize(home).ok());
        let resolve = |key: &str, declared: &[String]| {
            let mut found = Vec::new();
            for name in declared {
                let path = resolved(name)?;
                let refused = forbidden(place, home.as_deref(), &path);
                let in_tier1 = || {
                    let meets = |dir: &PathBuf| dir.starts_with(&path) || path.starts_with(dir);
                    place
                        .config
                        .tier1_outside
                        .iter()
                        .any(meets)
                        .then_some("it meets a directory of `tier1.paths`")
                };
                if let Some(why) = refused.or_else(in_tier1) {
                    return Err(Error::failure(format!("`{name}` cannot be in `{key}`: {why}")).with_hint(
                        "it is for directories outside of the project, as ~/.cache/bazel; inside, `[paths]` says whose a path is",
                    ));
                }
                found.push(path);
            }
            found.sort_unstable();
            found.dedup_by(|inner, outer| inner.starts_with(outer));
            Ok(found)
        };
        let private: Vec<PathBuf> = resolve(keys::PRIVATE, &shape.private)?;
        let mut hidden = resolve(keys::HIDE, &shape.hide)?;
        // what is in a private directory is not the host's
        hidden.retain(|path| {
            path.symlink_metadata().is_ok() && !private.iter().any(|outer| path.starts_with(outer))
        });
        Ok(Self { own, private, hidden })
    }

    /// Where servers inside have their sockets.
    pub fn run(&self) -> PathBuf {
        self.own.join(helpers::SHOWN)
    }

    /// Makes what is missing, the mount points on the host too. The workspace's session lock is held.
    pub fn make(&self) -> Result<()> {
        mkdir::private(&self.run())?;
        for path in &self.private {
            mkdir::private(&self.source(path))?;
            std::fs::create_dir_all(path).context("make the directory that is to be private", path)?;
        }
        if !self.hidden.is_empty() {
            let (empty, nothing) = (self.own.join(EMPTY), self.own.join(NOTHING));
            mkdir::private(&empty)?;
            let mode = |path: &Path, mode| {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).context("chmod", path)
            };
            mode(&empty, 0o555)?;
            if nothing.symlink_metadata().is_err() {
                std::fs::write(&nothing, "").context("write", &nothing)?;
            }
            mode(&nothing, 0o444)?;
        }
        Ok(())
    }

    /// What is mounted, before the store is covered.
    pub fn binds(&self) -> Result<Vec<Bind>> {
        let bind = |source: &Path, target: &Path, read_only| {
            Ok(Bind { source: c_path(source)?, target: c_path(target)?, read_only, whole: false })
        };
        let private = self.private.iter().map(|path| bind(&self.source(path), path, false));
        let hidden = self
            .hidden
            .iter()
            .map(|path| bind(&self.own.join(if path.is_dir() { EMPTY } else { NOTHING }), path, true));
        private.chain(hidden).collect()
    }

    fn source(&self, path: &Path) -> PathBuf {
        let name = Digest::from_bytes(*blake3::hash(path.as_os_str().as_bytes()).as_bytes()).hex();
        self.own.join(format!("{name:.16}"))
    }
}

/// What is declared, for who asks whose a path is. What no run would accept is left out.
pub fn explained(root: &Path, config: &Config) -> Vec<Explained> {
    let wishes = &config.wishes;
    let said = |class, key: &str, declared: &[String]| -> Vec<Explained> {
        let found = declared.iter().filter_map(|name| Some((resolved(name).ok()?, name)));
        let rule = |name| format!("{key} `{name}` in the configuration");
        let bytes = |path: PathBuf| path.into_os_string().into_vec();
        found.map(|(path, name)| Explained { path: bytes(path), class, rule: rule(name) }).collect()
    };
    let mut found = said(Class::Private, keys::PRIVATE, &wishes.private);
    found.extend(said(Class::Hide, keys::HIDE, &wishes.hide));
    if wishes.helper_env != Some(false) {
        let rule = "a server keeps its state there by the project's path; --no-helper-env: not";
        for mut one in said(Class::Private, keys::PRIVATE, &helpers::directories(root)) {
            one.rule = rule.into();
            found.push(one);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

/// The real path of what was declared, as far as it is there.
pub fn resolved(name: &str) -> Result<PathBuf> {
    let path = paths::expand_home(name);
    if !path.is_absolute() {
        return Err(Error::failure(format!("`{name}` is no path outside of the project"))
            .with_hint("as in: /run/docker.sock or ~/.cache/bazel"));
    }
    paths::resolve_existing(&path)
}

/// Why a path cannot be another one inside, if it cannot.
fn forbidden(place: &Place, home: Option<&Path>, path: &Path) -> Option<&'static str> {
    let (store, root) = (place.store.root(), &place.root);
    if path == Path::new("/") {
        Some("it is the root directory")
    } else if home.is_some_and(|home| home.starts_with(path)) {
        Some("the home directory lies there")
    } else if root.starts_with(path) {
        Some("the project lies there")
    } else if path.starts_with(root) {
        Some("it lies in the project")
    } else if store.starts_with(path) || path.starts_with(store) {
        Some("the store lies there")
    } else if KERNEL.iter().any(|dir| path.starts_with(dir)) {
        Some("the kernel makes what is there")
    } else {
        None
    }
}

/// Removes what a workspace had to itself. Its session lock is held.
pub fn remove(place: &Place, workspace: i64) -> Result<()> {
    staging::remove(&place.own(workspace))
}

/// Removes what deleted workspaces had: who was killed between the two did not.
pub fn sweep(place: &Place, manifest: &Manifest) -> Result<()> {
    for entry in std::fs::read_dir(place.dir.join(OWN)).into_iter().flatten().flatten() {
        let Some(workspace) = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else {
            continue;
        };
        let lock = place.session_lock(workspace);
        // an undo may be about to bring it back: what counts is read under the lock
        if is_gone(manifest, workspace)?
            && let Some(_lock) = Lock::attempt(&lock, Hold::Exclusive)?
            && is_gone(manifest, workspace)?
        {
            remove(place, workspace)?;
        }
    }
    Ok(())
}

fn is_gone(manifest: &Manifest, workspace: i64) -> Result<bool> {
    Ok(!manifest.workspaces()?.iter().any(|known| known.id == workspace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_an_absolute_path() {
        assert!(resolved("/no/such").unwrap() == Path::new("/no/such"));
        assert!(resolved("x").is_err() && resolved("").is_err() && resolved("~x").is_err());
    }
}
