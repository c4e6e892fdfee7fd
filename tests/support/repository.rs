//! What the tests of git share: a project that is a repository, and git inside and on the host.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Ran, World};

pub const FSCK: &str = "git fsck --full --strict 2>&1 | grep -v '^dangling' || true";

/// A world whose project is a repository with one commit.
pub fn repository() -> World {
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    world.write("a.txt", "a\n");
    world.write("dir/b.txt", "b\n");
    host(&world, &["init", "-q", "-b", "trunk"]);
    host(&world, &["add", "."]);
    host(&world, &["commit", "-q", "-m", "first"]);
    world
}

pub fn git(world: &World, dir: &Path) -> Command {
    let mut git = world.command("git");
    let bin = Path::new(env!("CARGO_BIN_EXE_vrift")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin.to_path_buf()).chain(std::env::split_paths(&path)));
    git.current_dir(dir).env("PATH", path.unwrap());
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "tester").env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    git
}

pub fn output(world: &World, args: &[&str]) -> Output {
    git(world, &world.project).args(args).output().unwrap()
}

/// git on the host; it must succeed.
#[track_caller]
pub fn host(world: &World, args: &[&str]) -> String {
    Ran(output(world, args)).ok()
}

/// A script inside, with an identity to commit with.
pub fn inside(world: &World, script: &str) -> Ran {
    let mut vrift = world.vrift();
    for role in ["AUTHOR", "COMMITTER"] {
        vrift
            .env(format!("GIT_{role}_NAME"), "tester")
            .env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    Ran(vrift.args(["exec", "--", "sh", "-ec", script]).output().unwrap())
}

/// A run that goes on until the world's `go` is there; returns when the script has run.
pub fn live(world: &World, script: &str) -> std::process::Child {
    let script = format!("{script}; touch ../ready; while [ ! -e ../go ]; do sleep 0.05; done");
    let mut vrift = world.vrift();
    for role in ["AUTHOR", "COMMITTER"] {
        vrift
            .env(format!("GIT_{role}_NAME"), "tester")
            .env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    let mut child = vrift.args(["-q", "exec", "--", "sh", "-ec", &script]).spawn().unwrap();
    while !world.path().join("ready").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child
}

/// Lets a live run end.
pub fn end(world: &World, mut live: std::process::Child) {
    std::fs::write(world.path().join("go"), "").unwrap();
    assert!(live.wait().unwrap().success());
}

/// The words of `status --json` about repositories.
pub fn owned(world: &World) -> serde_json::Value {
    let status: serde_json::Value = serde_json::from_str(&world.run(["status", "--json"]).ok()).unwrap();
    status["git"].clone()
}
