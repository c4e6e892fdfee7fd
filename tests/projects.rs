//! Which project a command is about, what cannot be one, and list, forget and move.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Ran, World};

fn at(world: &World, dir: &Path, args: &[&str]) -> Ran {
    Ran(world.vrift().current_dir(dir).args(args).output().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn git(dir: &Path, args: &[&str]) {
    let ran = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn projects(world: &World) -> Vec<serde_json::Value> {
    let json: serde_json::Value =
        serde_json::from_str(&world.run(["project", "list", "--json"]).ok()).unwrap();
    json["projects"].as_array().unwrap().clone()
}

#[test]
fn the_nearest_registered_then_marked_ancestor_is_the_project() {
    needs_sessions!();
    let world = World::new();
    fs::create_dir_all(world.project.join("sub/inner/deep")).unwrap();
    world.write("sub/inner/vrift.toml", "");
    let root = |dir: &str| at(&world, &world.project.join(dir), &["exec", "--dry-run", "true"]).ok();
    assert!(root("sub").contains(&format!("overlay `{}` ", world.project.display())));
    at(&world, &world.project.join("sub"), &["exec", "true"]).ok();
    let inner = at(&world, &world.project.join("sub/inner/deep"), &["exec", "true"]);
    assert!(!inner.stderr().contains("new project"), "registered comes before marked: {}", inner.stderr());
    let other = World::new();
    fs::create_dir_all(other.project.join("sub/inner/deep")).unwrap();
    other.write("sub/inner/vrift.toml", "");
    let first = at(&other, &other.project.join("sub/inner/deep"), &["exec", "true"]);
    assert!(first.stderr().contains("sub/inner`"), "{}", first.stderr());
    // A `.git` file marks nothing.
    other.write("sub/linked/.git", "gitdir: elsewhere\n");
    let named = at(&other, &other.project, &["-C", "sub/linked", "exec", "true"]);
    assert!(named.stderr().contains("which is a project already"), "{}", named.stderr());
}

#[test]
fn what_cannot_be_a_project_is_refused() {
    let world = World::new();
    let refused = |dir: &Path, why: &str| {
        for args in [&["exec", "true"][..], &["-C", text(dir), "exec", "true"]] {
            let error = at(&world, dir, args).fails(125);
            assert!(error.contains(why) && error.contains("hint:"), "{}: {error}", dir.display());
        }
    };
    refused(Path::new("/"), "it is the root directory");
    refused(&world.home, "it is your home directory");
    refused(world.path(), "the store lies in it");
    fs::create_dir_all(world.store.join("objects")).unwrap();
    refused(&world.store.join("objects"), "it lies in the store");
    refused(Path::new("/proc/self"), "not a directory of files");
    assert!(projects(&world).is_empty());
    let missing = world.run(["-C", "none", "exec", "true"]).fails(125);
    assert!(missing.contains("cannot go to `none`: No such file"), "{missing}");
    world.write("file", "x");
    let file = world.run(["-C", "file", "exec", "true"]).fails(125);
    assert!(file.contains("cannot go to `file`: Not a directory"), "{file}");
}

#[test]
fn a_large_unmarked_directory_must_be_named() {
    needs_sessions!();
    let world = World::new();
    fs::remove_dir(world.project.join(".git")).unwrap();
    let sparse = fs::File::create(world.project.join("big")).unwrap();
    sparse.set_len(3 << 30).unwrap();
    let refused = world.exec(["true"]).fails(125);
    assert!(refused.contains("is large and nothing marks it") && refused.contains("vrift.toml"), "{refused}");
    assert!(projects(&world).is_empty());
    let named = world.run(["-C", ".", "exec", "--config", "paths.hide=big", "true"]);
    assert_eq!(named.code(), 0, "{}", named.stderr());
    let world = World::new();
    fs::remove_dir(world.project.join(".git")).unwrap();
    for number in 0..20_001 {
        fs::write(world.project.join(number.to_string()), "").unwrap();
    }
    assert!(world.exec(["true"]).fails(125).contains("is large and nothing marks it"));
}

#[test]
fn an_ancestor_of_a_project_must_be_named() {
    needs_sessions!();
    let world = World::new();
    world.write("inner/vrift.toml", "");
    at(&world, &world.project.join("inner"), &["exec", "true"]).ok();
    let refused = world.exec(["true"]).fails(125);
    assert!(refused.contains("inner`, which is a project already") && refused.contains("-C"), "{refused}");
    let named = world.run(["-C", text(&world.project), "exec", "true"]);
    assert!(named.stderr().contains("new project"), "{}", named.stderr());
    assert_eq!(projects(&world).len(), 2);
    // From now on both are found by where one is.
    let inner = at(&world, &world.project.join("inner"), &["exec", "--dry-run", "true"]).ok();
    assert!(inner.contains("/inner` "), "{inner}");
}

#[test]
fn a_replaced_directory_is_not_taken_for_the_old_one() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo kept > kept").ok();
    let old = world.path().join("old");
    fs::rename(&world.project, &old).unwrap();
    fs::create_dir_all(world.project.join(".git")).unwrap();
    let refused = world.exec(["true"]).fails(125);
    assert!(refused.contains("was replaced by another one"), "{refused}");
    assert!(refused.contains("vrift project move") && refused.contains("vrift project forget"), "{refused}");
    let wrong = world.run(["project", "move", text(&world.project), text(&world.project)]).fails(1);
    assert!(wrong.contains("neither its inode nor its first commit"), "{wrong}");
    world.run(["project", "move", text(&world.project), text(&old)]).ok();
    assert_eq!(at(&world, &old, &["exec", "cat", "kept"]).ok(), "kept\n");
    // The new directory is free to be a project of its own.
    assert!(world.exec(["true"]).stderr().contains("new project"));
    let taken = world.run(["project", "move", text(&world.project), text(&old)]).fails(1);
    assert!(taken.contains("is another project already"), "{taken}");
}

#[test]
fn a_repository_is_known_by_its_first_commit() {
    needs_sessions!();
    let world = World::new();
    fs::remove_dir(world.project.join(".git")).unwrap();
    world.write("a", "x");
    for args in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "first"]] {
        git(&world.project, args);
    }
    world.sh("echo kept > kept").ok();
    let copy = world.path().join("copy");
    git(world.path(), &["clone", "-q", text(&world.project), text(&copy)]);
    assert_ne!(copy.metadata().unwrap().ino(), world.project.metadata().unwrap().ino());
    fs::remove_dir_all(&world.project).unwrap();
    let list = world_list(&world, &copy);
    assert!(list.contains("the directory is gone"), "{list}");
    at(&world, &copy, &["project", "move", text(&world.project)]).ok();
    assert_eq!(at(&world, &copy, &["exec", "cat", "kept", "a"]).ok(), "kept\nx");
    // Cloned afresh to the same path it is the same project.
    fs::rename(&copy, world.path().join("aside")).unwrap();
    git(world.path(), &["clone", "-q", text(&world.path().join("aside")), text(&copy)]);
    assert_eq!(at(&world, &copy, &["exec", "cat", "kept"]).ok(), "kept\n");
}

fn world_list(world: &World, dir: &Path) -> String {
    at(world, dir, &["project", "list"]).ok()
}

#[test]
fn forget_drops_the_state_and_nothing_else() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.sh("echo inside > b; mkdir -m 0 locked; mkdir -m 500 d").ok();
    assert_eq!(projects(&world).len(), 1);
    let unknown = world.run(["project", "forget", "/usr"]).fails(1);
    assert!(unknown.contains("is no project of this store") && unknown.contains("project list"), "{unknown}");
    world.run(["project", "forget", text(&world.project)]).ok();
    assert!(projects(&world).is_empty());
    let left = fs::read_dir(world.store.join("projects")).unwrap().flatten();
    assert_eq!(left.filter(|entry| entry.path().is_dir()).count(), 0);
    assert_eq!(world.read("a"), "x");
    let anew = world.sh("ls");
    assert!(anew.stderr().contains("new project"), "{}", anew.stderr());
    assert_eq!(anew.ok(), "a\n");
    // By its id, with a manifest that cannot be read.
    let id = projects(&world)[0]["id"].as_str().unwrap().to_string();
    let dir = world.store.join("projects").join(&id);
    for name in ["manifest.db", "manifest.db-wal", "manifest.db-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    fs::write(dir.join("manifest.db"), "garbage".repeat(1000)).unwrap();
    assert!(projects(&world)[0]["broken"].is_string());
    world.run(["project", "forget", &id]).ok();
    assert!(projects(&world).is_empty());
}

#[test]
fn a_live_project_is_neither_forgotten_nor_moved() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let mut live = world
        .vrift()
        .args(["exec", "--", "sh", "-c", "echo up; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(live.stdout.as_mut().unwrap(), &mut up).unwrap();
    assert_eq!(projects(&world)[0]["live"], true);
    let forget = world.run(["project", "forget", text(&world.project)]).fails(1);
    assert!(forget.contains("has a live run") && forget.contains("wait for it"), "{forget}");
    let same = world.run(["project", "move", text(&world.project), text(&world.project)]).fails(1);
    assert!(same.contains("has a live run"), "{same}");
    drop(live.stdin.take());
    live.wait().unwrap();
    world.run(["project", "forget", text(&world.project)]).ok();
}
