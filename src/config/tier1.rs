//! What `tier1.paths` names outside of the project: absolute, below the home directory, or a
//! preset by its name. In a project a preset is a name as any other (`node_modules`,
//! `site-packages`).

use std::path::{Path, PathBuf};

use super::Setting;
use super::keys::{self, Value};
use crate::paths;

const CARGO: &str = "cargo-registry";
const GO: &str = "gopath";

/// Whether a pattern of `tier1.paths` means something outside of the project.
pub fn is_elsewhere(pattern: &str) -> bool {
    pattern.starts_with(['/', '~']) || [CARGO, GO].contains(&pattern)
}

/// The directories that are there, by their real paths, each once, none within another.
pub fn outside(settings: &[Setting]) -> Vec<PathBuf> {
    let lists = settings.iter().filter(|setting| setting.key.name == keys::TIER1_PATHS);
    let patterns = lists.filter_map(|setting| match &setting.value {
        Value::List(list) => Some(list),
        _ => None,
    });
    let named = patterns.flatten().filter(|pattern| is_elsewhere(pattern));
    let mut found: Vec<PathBuf> = named.flat_map(|pattern| meant(pattern)).collect();
    found.retain_mut(|path| match std::fs::canonicalize(&*path) {
        Ok(real) if real.is_dir() => {
            *path = real;
            true
        }
        _ => false,
    });
    found.sort_unstable();
    found.dedup();
    let all = found.clone();
    found.retain(|path| !all.iter().any(|outer| outer != path && path.starts_with(outer)));
    found
}

/// What is compiled from, not what is downloaded to: that is written to.
fn meant(pattern: &str) -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = paths::home();
    match pattern {
        CARGO => {
            let cargo = variable("CARGO_HOME").or_else(|| Some(home?.join(".cargo")));
            cargo.map(|cargo| cargo.join("registry/src")).into_iter().collect()
        }
        GO => {
            let go = || variable("GOPATH").or_else(|| Some(home?.join("go")));
            let modules = variable("GOMODCACHE").or_else(|| Some(go()?.join("pkg/mod")));
            modules.map(|modules| but_cache(&modules)).unwrap_or_default()
        }
        pattern => vec![paths::expand_home(pattern)],
    }
}

fn but_cache(modules: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(modules).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name() != "cache").map(|entry| entry.path()).collect()
}
