//! Whose path is it: what the configuration says of it, else: a directory that git
//! ignores as a whole is `own`, everything else is `follow` (design.md). So the ignore
//! rules are asked about directories only. What lies below an `own` directory is `own`,
//! except what is mounted (`live`, `scratch`, `hide`). Below `.git` only `hide` counts.
//!
//! Rules come, in git's order of precedence, from the `.gitignore` files of the
//! directory's parents (the nearest first), `.git/info/exclude` and the user's
//! `core.excludesFile`. Outside a git work tree nothing is ignored. A directory with
//! a tracked file in it is not ignored as a whole.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder, gitconfig_excludes_path};

use super::tracked::Tracked;
pub use crate::config::class::Class;
use crate::config::rules::Ruled;
use crate::config::{Config, rules};
use crate::manifest::git;

/// The rules of a project, before any of its own directories is read.
pub struct Classes<'a> {
    root: PathBuf,
    configured: &'a rules::Rules,
    top: Option<Arc<Rules>>,
    tracked: Tracked,
}

/// The rules that hold in one directory: its own file's, then its parents'.
pub struct Rules {
    parent: Option<Arc<Rules>>,
    matcher: Gitignore,
    /// The file they stand in.
    file: String,
}

impl<'a> Classes<'a> {
    pub fn of_project(root: &Path, config: &'a Config) -> Self {
        let repository = root.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok());
        let top = repository.and_then(|repository| outer_rules(repository, root));
        let tracked = Tracked::of(repository, root);
        Self { root: root.to_path_buf(), configured: &config.rules, top, tracked }
    }

    /// Where no rule counts.
    pub fn none(root: &Path, rules: &'a rules::Rules) -> Self {
        Self { root: root.to_path_buf(), configured: rules, top: None, tracked: Tracked::of(None, root) }
    }

    /// Whether something in a `tier1` directory stays writable.
    pub fn in_tier1(&self, path: &[u8], is_dir: bool) -> bool {
        self.configured.in_tier1(Path::new(OsStr::from_bytes(path)), is_dir).is_some()
    }

    /// The rules above the project's root directory; `None` outside a work tree.
    pub fn top(&self) -> Option<Arc<Rules>> {
        self.top.clone()
    }

    /// The rules inside a directory that has this `.gitignore`.
    pub fn with_file(&self, outer: &Arc<Rules>, dir: &[u8], text: &[u8]) -> Arc<Rules> {
        let file = Path::new(OsStr::from_bytes(dir)).join(".gitignore");
        let matcher = parse(&self.absolute(dir), text);
        Arc::new(Rules { parent: Some(outer.clone()), matcher, file: file.to_string_lossy().into_owned() })
    }

    /// The class of a path (relative to the project's root), under the ignore rules of
    /// the directory it is in; `own`: that directory is.
    pub fn of_path(&self, rules: Option<&Arc<Rules>>, path: &[u8], is_dir: bool, own: bool) -> Class {
        let ruled = self.ruled(rules, path, is_dir, own);
        ruled.map_or(if own { Class::Own } else { Class::Follow }, |ruled| ruled.class)
    }

    /// What decides about exactly this path; `None`: it is as what it lies in.
    pub fn ruled(&self, rules: Option<&Arc<Rules>>, path: &[u8], is_dir: bool, own: bool) -> Option<Ruled> {
        let configured = if self.configured.is_empty() {
            None
        } else {
            self.configured.of_path(Path::new(OsStr::from_bytes(path)), is_dir)
        };
        if let Some(ruled) = configured {
            if git::is_in(path) {
                return Some(ruled).filter(|ruled| ruled.class == Class::Hide);
            }
            return Some(ruled).filter(|ruled| !own || ruled.class.is_mounted());
        }
        let rules = rules.filter(|_| is_dir && !own && !git::is_in(path))?;
        let rule = rules.ignores(&self.absolute(path)).filter(|_| !self.tracked.any_below(path))?;
        Some(Ruled { class: Class::Own, rule })
    }

    fn absolute(&self, dir: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(dir))
    }
}

impl Rules {
    /// The pattern that ignores a directory.
    fn ignores(&self, dir: &Path) -> Option<String> {
        let mut rules = Some(self);
        while let Some(here) = rules {
            let found = here.matcher.matched(dir, true);
            if let (true, Some(glob)) = (found.is_ignore(), found.inner()) {
                return Some(format!("git ignores `{}` in {}", glob.original(), here.file));
            }
            if found.is_whitelist() {
                return None;
            }
            rules = here.parent.as_deref();
        }
        None
    }
}

/// The user's rules, the repository's, and those of the directories between the
/// repository's top and the project. When they ignore the project itself, only the
/// user's and the repository's private ones are kept: someone chose to work here.
fn outer_rules(repository: &Path, root: &Path) -> Option<Arc<Rules>> {
    let mut rules = None;
    for file in [gitconfig_excludes_path(), Some(repository.join(".git/info/exclude"))] {
        let text = file.as_ref().and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        let name = file.map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        rules = Some(Arc::new(Rules { parent: rules, matcher: parse(repository, &text), file: name }));
    }
    let private = rules.clone();
    let mut between: Vec<&Path> =
        root.ancestors().skip(1).take_while(|dir| dir.starts_with(repository)).collect();
    between.reverse();
    for (dir, next) in between.iter().zip(between.iter().skip(1).copied().chain([root])) {
        let file = dir.join(".gitignore");
        if let Ok(text) = std::fs::read(&file) {
            let file = file.to_string_lossy().into_owned();
            rules = Some(Arc::new(Rules { parent: rules, matcher: parse(dir, &text), file }));
        }
        if rules.as_ref().is_some_and(|rules| rules.ignores(next).is_some()) {
            return private;
        }
    }
    rules
}

/// Lines that are no valid pattern are passed over, as git does.
fn parse(dir: &Path, text: &[u8]) -> Gitignore {
    let mut builder = GitignoreBuilder::new(dir);
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Ok(line) = std::str::from_utf8(line) {
            let _ = builder.add_line(None, line);
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join(".git/info")).unwrap();
        (dir, root)
    }

    fn class(root: &Path, ignore: &str, dir: &str) -> Class {
        let config = Config::default();
        let classes = Classes::of_project(root, &config);
        let rules = classes.top().map(|top| classes.with_file(&top, b"", ignore.as_bytes()));
        classes.of_path(rules.as_ref(), dir.as_bytes(), true, false)
    }

    #[test]
    fn directories_that_git_ignores_as_a_whole_are_own() {
        let (_dir, root) = repository();
        for (ignore, dir, expected) in [
            ("target/", "target", Class::Own),
            ("/target", "target", Class::Own),
            ("/target", "a/target", Class::Follow),
            ("target", "a/target", Class::Own),
            ("target/*", "target", Class::Follow),
            ("build*\n!build-tools", "build-tools", Class::Follow),
            ("*", ".git", Class::Follow),
            ("", "target", Class::Follow),
            ("tar\\", "target", Class::Follow),
        ] {
            assert_eq!(class(&root, ignore, dir), expected, "{ignore} {dir}");
        }
    }

    #[test]
    fn without_a_repository_nothing_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(class(dir.path(), "target", "target"), Class::Follow);
    }

    #[test]
    fn rules_above_the_project_hold_unless_they_ignore_the_project() {
        let (_dir, root) = repository();
        let project = root.join("sub/project");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::write(root.join(".gitignore"), "out/\n").unwrap();
        assert_eq!(class(&project, "", "out"), Class::Own);
        std::fs::write(root.join(".gitignore"), "*\n").unwrap();
        assert_eq!(class(&project, "", "out"), Class::Follow);
        std::fs::write(root.join(".git/info/exclude"), "out\n").unwrap();
        assert_eq!(class(&project, "", "out"), Class::Own);
    }
}
