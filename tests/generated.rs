//! The committed manual pages and completions are what the binary prints. With
//! VRIFT_BLESS=1 they are written anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const REMEDY: &str = "VRIFT_BLESS=1 cargo test --test generated";

/// Where each shell looks for a file of this name.
const COMPLETIONS: &[(&str, &str)] = &[("bash", "vrift.bash"), ("zsh", "_vrift"), ("fish", "vrift.fish")];

type Files = BTreeMap<PathBuf, String>;

fn vrift(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vrift")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn files_in(dir: &Path) -> Files {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| PathBuf::from(entry.file_name()));
    names.map(|name| (name.clone(), std::fs::read_to_string(dir.join(name)).unwrap())).collect()
}

/// Compares a committed directory with what it should hold, or makes it hold that.
fn hold(dir: &str, wanted: &Files) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    if std::env::var_os("VRIFT_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(&dir).unwrap();
        for stale in files_in(&dir).keys().filter(|name| !wanted.contains_key(*name)) {
            std::fs::remove_file(dir.join(stale)).unwrap();
        }
        for (name, text) in wanted {
            std::fs::write(dir.join(name), text).unwrap();
        }
    }
    let there = files_in(&dir);
    let differ = |name: &&PathBuf| there.get(*name) != wanted.get(*name);
    let wrong: Vec<&PathBuf> = there.keys().chain(wanted.keys()).filter(differ).collect();
    assert!(wrong.is_empty(), "{}: not as generated: {wrong:?}; run: {REMEDY}", dir.display());
}

#[test]
fn manual_pages_are_as_generated() {
    let scratch = tempfile::tempdir().unwrap();
    let pages = scratch.path().join("man");
    vrift(&["man", "--dir", pages.to_str().unwrap()]);
    let wanted = files_in(&pages);
    assert_eq!(wanted[Path::new("vrift.1")], vrift(&["man"]));
    hold("man", &wanted);
}

#[test]
fn completions_are_as_generated() {
    let script = |(shell, name): &(&str, &str)| (PathBuf::from(name), vrift(&["completions", shell]));
    hold("completions", &COMPLETIONS.iter().map(script).collect());
}

#[test]
fn the_readme_names_every_verb() {
    use clap::CommandFactory;
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let command = vrift::cli::Cli::command();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(clap::Command::get_name);
    let unnamed: Vec<&str> = verbs.filter(|verb| !readme.contains(&format!("`vrift {verb}"))).collect();
    assert!(unnamed.is_empty(), "README.md, section Commands, does not name: {unnamed:?}");
}
