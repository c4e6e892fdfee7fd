//! The environment a command gets: the caller's, with a few words about where it is.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::helpers::{self, Address};
use crate::config::run::Wishes;

const ACROSS: &str = "GIT_DISCOVERY_ACROSS_FILESYSTEM";

/// The caller's environment, ours on top of it, and on top of all what was asked for.
/// `git`: what git is told on top of the caller's configuration. `helpers`: where servers of the
/// workspace's own are, unless those outside do as well.
pub fn of_run(
    (workspace, index): (&str, u32),
    git: &[(&str, String)],
    helpers: Option<&Address>,
    wishes: &Wishes,
) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = match wishes.clear_env {
        true => Vec::new(),
        false => std::env::vars_os()
            .filter(|(name, _)| name != "VRIFT_WORKSPACE" && name != "VRIFT_INDEX")
            .collect(),
    };
    variables.push(("VRIFT_WORKSPACE".into(), workspace.into()));
    variables.push(("VRIFT_INDEX".into(), index.to_string().into()));
    across_the_mount(&mut variables);
    git_config(&mut variables, git);
    if let Some(address) = helpers.filter(|_| wishes.helper_env != Some(false)) {
        helpers::give(&mut variables, address);
    }
    set(&mut variables, wishes);
    variables
}

/// The environment of a command that another one of the same session starts: it has all
/// of ours already.
pub fn of_nested(wishes: &Wishes) -> Vec<(OsString, OsString)> {
    let ours = |name: &OsStr| {
        if helpers::sets(name) {
            return true;
        }
        let name = name.as_encoded_bytes();
        name.starts_with(b"GIT_CONFIG_")
            || [&b"VRIFT_WORKSPACE"[..], b"VRIFT_INDEX", b"PWD", ACROSS.as_bytes()].contains(&name)
    };
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| !wishes.clear_env || ours(name)).collect();
    set(&mut variables, wishes);
    variables
}

/// Sets what was asked for.
fn set(variables: &mut Vec<(OsString, OsString)>, wishes: &Wishes) {
    for (name, value) in &wishes.set_env {
        variables.retain(|(known, _)| known != name.as_str());
        variables.push((name.into(), value.into()));
    }
}

/// PWD as it is, where it names `cwd` (by a link, perhaps); else by the way that was `gone`
/// to get there from it, where that names it; else `cwd`.
pub fn set_pwd(variables: &mut Vec<(OsString, OsString)>, cwd: &Path, gone: &[&Path]) {
    let pwd = variables.iter_mut().find(|(name, value)| name == "PWD" && Path::new(value).is_absolute());
    if let (Some((_, pwd)), false) = (pwd, gone.is_empty()) {
        let way = gone.iter().fold(PathBuf::from(&*pwd), |dir, step| dir.join(step));
        *pwd = way.components().collect::<PathBuf>().into_os_string(); // without `.`
    }
    let names_it = |(name, value): &(OsString, OsString)| {
        name == "PWD"
            && Path::new(value).is_absolute()
            && !Path::new(value).components().any(|part| part == Component::ParentDir)
            && (Path::new(value) == cwd || std::fs::canonicalize(value).is_ok_and(|dir| dir == cwd))
    };
    if !variables.iter().any(names_it) {
        variables.retain(|(name, _)| name != "PWD");
        variables.push(("PWD".into(), cwd.into()));
    }
}

/// A project below a repository's top is a mount of its own inside: git must look for
/// its `.git` above it all the same, as it does outside.
fn across_the_mount(variables: &mut Vec<(OsString, OsString)>) {
    if !variables.iter().any(|(known, _)| known == ACROSS) {
        variables.push((ACROSS.into(), "1".into()));
    }
}

/// Appends to the configuration that git takes from the environment (git-config(1),
/// GIT_CONFIG_COUNT); what the caller has set there stays first.
fn git_config(variables: &mut Vec<(OsString, OsString)>, settings: &[(&str, String)]) {
    let count = OsStr::new("GIT_CONFIG_COUNT");
    let before = variables.iter().find(|(name, _)| name == count);
    let before: Option<usize> = match before {
        Some((_, value)) if value.is_empty() => Some(0),
        Some((_, value)) => value.to_str().and_then(|value| value.parse().ok()),
        None => Some(0),
    };
    let Some(before) = before else { return }; // git itself will say what is wrong with it
    variables.retain(|(name, _)| name != count);
    for (number, (key, value)) in (before..).zip(settings) {
        variables.push((format!("GIT_CONFIG_KEY_{number}").into(), key.into()));
        variables.push((format!("GIT_CONFIG_VALUE_{number}").into(), value.into()));
    }
    variables.push((count.into(), (before + settings.len()).to_string().into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(variables: &'a [(OsString, OsString)], name: &str) -> Option<&'a str> {
        variables.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn pwd_keeps_the_way_the_caller_went() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("project")).unwrap();
        std::os::unix::fs::symlink("project", real.join("link")).unwrap();
        let cwd = real.join("project");
        let pwd = |before: &Path, gone: &[&Path]| {
            let mut variables = vec![("PWD".into(), before.into())];
            set_pwd(&mut variables, &cwd, gone);
            value(&variables, "PWD").unwrap().to_string()
        };
        let shown = |path: &str| real.join(path).to_str().unwrap().to_string();
        assert_eq!(pwd(&real.join("link"), &[]), shown("link"));
        assert_eq!(pwd(&real, &[]), shown("project"));
        assert_eq!(pwd(&real, &[Path::new("link")]), shown("link"));
        assert_eq!(pwd(Path::new("/"), &[&real.join("link")]), shown("link"));
        assert_eq!(pwd(Path::new("/usr"), &[Path::new("link")]), shown("project"));
    }

    #[test]
    fn git_settings_come_after_the_callers() {
        let mut variables = vec![("GIT_CONFIG_COUNT".into(), "2".into())];
        git_config(&mut variables, &[("a.b", "c".into())]);
        assert_eq!(value(&variables, "GIT_CONFIG_COUNT"), Some("3"));
        assert_eq!(value(&variables, "GIT_CONFIG_KEY_2"), Some("a.b"));
        let mut variables = vec![("GIT_CONFIG_COUNT".into(), "junk".into())];
        git_config(&mut variables, &[("a.b", "c".into())]);
        assert_eq!(variables.len(), 1);
    }
}
