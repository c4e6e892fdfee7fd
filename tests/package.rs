//! What cargo and cargo-deb would pack: everything that the sources read while they are built, and
//! nothing that is not there. `.ci/release` builds what was packed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `cargo package` packs; it has nothing to warn of.
fn packed() -> BTreeSet<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// The files that git has below some paths.
fn tracked(paths: &[&str]) -> BTreeSet<PathBuf> {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--"]).args(paths).current_dir(root());
    let listed = String::from_utf8(git.output().unwrap().stdout).unwrap();
    listed.split_terminator('\0').map(PathBuf::from).collect()
}

#[test]
fn the_crate_has_its_sources_texts_and_example_and_no_tests() {
    let files = tracked(&["src", "man", "completions", "examples", "docs", "contrib"]);
    let texts = tracked(&[
        "build.rs",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ]);
    assert!(files.len() > 200 && texts.len() == 7, "{files:?} {texts:?}");
    let packed = packed();
    let missing: Vec<_> = files.union(&texts).filter(|path| !packed.contains(*path)).collect();
    assert!(missing.is_empty(), "not packed: {missing:?}");
    let strange: Vec<_> = packed
        .iter()
        .filter(|path| ["tests", "bench", "fuzz"].iter().any(|dir| path.starts_with(dir)))
        .collect();
    assert!(strange.is_empty(), "packed: {strange:?}");
}

#[test]
fn the_debian_package_has_programs_and_files_that_are_there() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let mut programs =
        BTreeSet::from(["vrift".to_string(), "git-remote-vrift".into(), "vrift-immutable".into()]);
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        if let Some(program) = source.strip_prefix("target/release/") {
            assert!(programs.remove(program), "no such program: {program}");
            continue;
        }
        let dir = source.split('*').next().unwrap();
        let there = root().join(dir);
        let there = if source.contains('*') {
            there.read_dir().is_ok_and(|mut dir| dir.next().is_some())
        } else {
            there.is_file()
        };
        assert!(there, "{source} is not there");
    }
    assert!(programs.is_empty(), "not in the package: {programs:?}");
}
