//! What programs of the host run by themselves, or at the next usual command: it is named
//! before anything else, for it leaves the workspace and acts for the user.

use super::plan::{Act, Plan, Step};
use crate::manifest::node::Entry;

/// Last names, and what runs them.
const NAMES: &[(&[u8], &str)] = &[
    (b".envrc", "direnv runs it"),
    (b".bazelrc", "bazel reads commands from it"),
    (b".gitattributes", "git filters by it"),
    (b".gitmodules", "git fetches by it"),
    (b".pre-commit-config.yaml", "pre-commit runs it"),
    (b".pythonrc.py", "python runs it"),
    (b"CMakeLists.txt", "cmake runs it"),
    (b"GNUmakefile", "make runs it"),
    (b"Justfile", "just runs it"),
    (b"Makefile", "make runs it"),
    (b"Rakefile", "rake runs it"),
    (b"build.gradle", "gradle runs it"),
    (b"build.gradle.kts", "gradle runs it"),
    (b"build.rs", "cargo runs it"),
    (b"conftest.py", "pytest runs it"),
    (b"justfile", "just runs it"),
    (b"lefthook.yml", "lefthook runs it"),
    (b"makefile", "make runs it"),
    (b"mise.toml", "mise runs it"),
    (b"package.json", "npm runs its scripts"),
    (b"setup.py", "pip runs it"),
    (b"sitecustomize.py", "python runs it"),
    (b"vrift.toml", "vrift is configured by it"),
];

/// Directories all of whose files are run, from the project's top.
const DIRS: &[(&[u8], &str)] = &[
    (b".cargo", "cargo is configured by it"),
    (b".devcontainer", "the editor runs it"),
    (b".githooks", "a git hook"),
    (b".github/workflows", "continuous integration runs it"),
    (b".husky", "a git hook"),
    (b".idea", "the editor is configured by it"),
    (b".vscode", "the editor is configured by it"),
    (b"hooks", "perhaps a git hook"),
];

/// A step that is to be named first, and why. `hooks`: where git looks for its hooks.
pub fn of(step: &Step, hooks: Option<&[u8]>) -> Option<&'static str> {
    let new = step.result.as_ref()?;
    if !matches!(step.act, Act::Put | Act::Within | Act::Dress) || new.is_dir() {
        return None;
    }
    let executable = |entry: &Entry| entry.content().is_some() && entry.meta.mode & 0o111 != 0;
    let before = step.theirs.as_ref();
    let changed = before.is_none_or(|before| before.kind != new.kind);
    if executable(new) && (changed || !before.is_some_and(executable)) {
        return Some(if before.is_none() { "a new executable" } else { "an executable" });
    }
    if !changed {
        return None;
    }
    let name = new.name.as_slice();
    let by_name = NAMES.iter().find(|(known, _)| *known == name).map(|(_, why)| *why);
    let below = |dir: &[u8]| step.path.strip_prefix(dir).is_some_and(|rest| rest.starts_with(b"/"));
    let is_hook = hooks.is_some_and(below).then_some("a git hook");
    is_hook.or(by_name).or_else(|| DIRS.iter().find(|(dir, _)| below(dir)).map(|(_, why)| *why))
}

/// All of a plan's.
pub fn first(plan: &Plan) -> Vec<(&Step, &'static str)> {
    plan.steps.iter().filter_map(|step| of(step, plan.hooks.as_deref()).map(|why| (step, why))).collect()
}
