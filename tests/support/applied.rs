//! What the tests of apply share: projects to write, and what is to hold afterwards.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{World, listing};

/// The project as the workspace has it, copied to a directory outside.
pub fn inside(world: &World, name: &str) -> Vec<String> {
    let to = world.path().join(name);
    world.run(["exec", "--no-sync", "cp", "-a", ".", to.to_str().unwrap()]).ok();
    tree(&to)
}

/// All but what is below `.git`, and the root's own line.
pub fn tree(root: &Path) -> Vec<String> {
    listing(root).into_iter().skip(1).filter(|line| !line.starts_with("\".git")).collect()
}

pub fn no_temporaries(world: &World) {
    for entry in walkdir::WalkDir::new(&world.project).into_iter().flatten() {
        assert!(!entry.file_name().to_string_lossy().starts_with(".vrift-"), "{:?}", entry.path());
    }
    for project in std::fs::read_dir(world.store.join("projects")).unwrap().flatten() {
        for journal in ["apply.json", "apply.json.quick"] {
            assert!(!project.path().join(journal).exists());
        }
    }
}

/// Status has nothing, and the next sync finds nothing.
pub fn clean(world: &World) {
    let status = world.run(["status"]).ok();
    assert!(status.contains("the workspace is as the directory was"), "{status}");
    let heads = || world.run(["log", "--heads", "--json"]).ok();
    let before = heads();
    let report: serde_json::Value = serde_json::from_str(&world.run(["sync", "--json"]).ok()).unwrap();
    assert_eq!(report["conflicts"], serde_json::json!([]));
    assert_eq!(heads(), before);
}

/// `list` changed on both sides at different lines, `both` at one, the rest on one side.
pub fn torn() -> World {
    let world = World::new();
    for (path, text) in [
        ("list", "1\n2\n3\n4\n5\n"),
        ("both", "old\n"),
        ("mine", "old\n"),
        ("gone", "old\n"),
        ("d/f", "old\n"),
    ] {
        world.write(path, text);
    }
    world.sh("sed -i s/1/one/ list; echo ws > both; echo ws > mine; rm gone; rm -r d").ok();
    world.edit("list", "1\n2\n3\n4\nfive\n");
    world.edit("both", "host\n");
    world
}

/// As `clean`, where the host has a file more.
pub fn clean_but_for_new(world: &World) {
    let ran = world.sh("true");
    assert_eq!(ran.stderr(), "");
    clean(world);
}

/// What a command that is killed at one place leaves; whether it came to that place.
pub fn killed_at(world: &World, place: &str, args: &[&str]) -> bool {
    let ran = world.vrift().args(args).env("VRIFT_FAILPOINT", place).output().unwrap();
    ran.status.code().is_none()
}

/// A project before and after, each path on its own line.
pub fn prepared() -> (World, BTreeMap<String, String>) {
    let world = World::new();
    for (path, text) in [
        ("changed", "old\n"),
        ("gone", "x"),
        ("dir/a", "a"),
        ("dir/s/b", "b"),
        ("file", "f"),
        ("mode", "m"),
        ("only/time", "t"),
    ] {
        world.write(path, text);
    }
    world
        .sh("echo new > changed; rm gone; rm -r dir; echo file > dir; rm file; mkdir file; echo in > file/in; \
            mkdir -p new/deep; echo n > new/deep/n; ln new/deep/n hard; ln -s x link; mkfifo pipe; chmod 700 mode; \
            touch -d '2001-02-03 04:05:06.5' only/time; echo s > only/s")
        .ok();
    let copy = by_path(&inside(&world, "copy"));
    (world, copy)
}

/// By path; hard-link groups have no numbers of their own.
pub fn by_path(lines: &[String]) -> BTreeMap<String, String> {
    lines
        .iter()
        .map(|line| {
            let (path, rest) = line[1..].split_once("\" ").unwrap();
            (path.to_string(), rest.to_string())
        })
        .collect()
}
