//! `vrift store destroy`: all of a store goes, and nothing else.

mod support;

#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use support::World;
use terminal::Terminal;

/// A store with a project, a snapshot, a fork, an orphan, and directories of all modes.
fn full() -> World {
    let world = World::new();
    world.write("a", "host\n");
    world.sh("mkdir -p d/e; echo in > d/e/f; chmod 0 d/e/f; chmod 555 d/e; chmod 0 d").ok();
    world.run(["commit", "v1"]).ok();
    world.run(["fork", "twig"]).ok();
    world.run(["exec", "-w", "twig", "sh", "-c", "echo twig > twig; mkdir x; chmod 0 x"]).ok();
    let mut killed = world.vrift();
    killed.args(["exec", "--", "sh", "-c", "mkdir y; chmod 0 y; echo ready; cat"]);
    let mut killed = killed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(killed.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    world.exec(["true"]).ok();
    world
}

fn destroy(world: &World) -> support::Ran {
    let mut command = world.vrift();
    command.current_dir(world.path()).args(["store", "destroy", "--yes"]);
    support::Ran(command.output().unwrap())
}

#[test]
fn all_of_it_goes_and_nothing_outside() {
    needs_sessions!();
    let world = full();
    let outside = world.path().join("outside");
    std::fs::create_dir_all(outside.join("dir")).unwrap();
    std::fs::write(outside.join("dir/kept"), "kept").unwrap();
    let project = world.project_dir();
    symlink(outside.join("dir/kept"), project.join("staging/9.lock")).unwrap();
    std::fs::create_dir_all(project.join("staging/work/work")).unwrap();
    for dir in ["staging/work/work", "staging/work"] {
        std::fs::set_permissions(project.join(dir), std::fs::Permissions::from_mode(0o0)).unwrap();
    }
    symlink(&outside, world.store.join("objects/link")).unwrap();
    symlink(&outside, world.store.join("projects/link")).unwrap();
    destroy(&world).ok();
    assert!(!world.store.exists());
    assert_eq!(std::fs::read_to_string(outside.join("dir/kept")).unwrap(), "kept");
    assert_eq!(world.read("a"), "host\n");
    assert!(destroy(&world).fails(1).contains("no store"));
    // and a new one can begin
    assert_eq!(world.sh("ls").ok(), "a\n");
}

#[test]
fn objects_that_cannot_be_changed_go_too() {
    needs_sessions!();
    let world = full();
    let object = world.objects().pop().unwrap();
    let file = std::fs::File::open(&object).unwrap();
    let flags = rustix::fs::ioctl_getflags(&file).unwrap_or(rustix::fs::IFlags::empty());
    if let Err(why) = rustix::fs::ioctl_setflags(&file, flags | rustix::fs::IFlags::IMMUTABLE) {
        assert!(!rustix::process::geteuid().is_root(), "{why}");
        return eprintln!("skipped: only root makes a file immutable: {why}");
    }
    drop(file);
    assert!(std::fs::remove_file(&object).is_err());
    destroy(&world).ok();
    assert!(!world.store.exists());
}

#[test]
fn it_asks_on_a_terminal_and_nowhere_else() {
    needs_sessions!();
    let world = full();
    let command = || {
        let mut command = world.vrift();
        command.current_dir(world.path()).args(["store", "destroy"]);
        command
    };
    let said = support::Ran(command().output().unwrap()).fails(1);
    assert!(said.contains("--yes") && said.contains("1 project"), "{said}");
    for (answer, goes) in [("no", false), ("", false), ("y", false), ("yes", true)] {
        let mut terminal = Terminal::start(&mut command());
        terminal.expect("Type yes: ");
        terminal.line(answer);
        assert_eq!(terminal.wait().success(), goes);
        assert_eq!(world.store.exists(), !goes, "{answer:?}");
    }
}

#[test]
fn what_is_in_use_or_no_store_is_refused() {
    needs_sessions!();
    let world = full();
    let mut live = world.vrift();
    live.args(["exec", "--", "sh", "-c", "echo ready; cat > live"]);
    let mut live = live.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    BufReader::new(live.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    assert!(destroy(&world).fails(1).contains("lives"));
    drop(live.stdin.take());
    assert!(live.wait().unwrap().success());
    let mut inside = world.vrift();
    inside.current_dir(world.store.join("projects")).args(["store", "destroy", "--yes"]);
    assert!(support::Ran(inside.output().unwrap()).fails(1).contains("current directory"));
    let within = world.exec([env!("CARGO_BIN_EXE_vrift"), "store", "destroy", "--yes"]);
    assert_ne!(within.code(), 0);
    for (name, content) in [("photos", "album.jpg"), ("odd", "format.json")] {
        let other = world.path().join(name);
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(content), "{}").unwrap();
        let ran = world.run(["--store", other.to_str().unwrap(), "store", "destroy", "--yes"]);
        assert!(ran.fails(1).contains("is not a store"), "{name}");
        assert!(other.join(content).exists());
    }
    // nothing has happened to it
    assert_eq!(world.sh("ls").ok(), "a\nd\nlive\n");
    // what is not vrift's in a store's directory is left
    std::fs::write(world.store.join("thesis.txt"), "mine").unwrap();
    let ran = destroy(&world);
    assert!(ran.stderr().contains("thesis.txt"), "{}", ran.stderr());
    assert_eq!(std::fs::read_dir(&world.store).unwrap().count(), 1);
}

#[test]
fn killed_at_any_step_it_is_unusable_and_goes_in_the_end() {
    needs_sessions!();
    for point in [
        "destroy.marked",
        "destroy.part",
        "destroy.part:2",
        "destroy.part:3",
        "destroy.part:4",
        "destroy.unnamed",
    ] {
        let world = full();
        let mut command = world.vrift();
        command.current_dir(world.path()).args(["store", "destroy", "--yes"]);
        let killed = command.env("VRIFT_FAILPOINT", point).output().unwrap();
        assert!(!killed.status.success(), "{point} is not met");
        if point != "destroy.unnamed" {
            let said = world.exec(["true"]).fails(125);
            assert!(
                said.contains("being destroyed") && said.contains("vrift store destroy"),
                "{point}: {said}"
            );
        }
        destroy(&world).ok();
        assert!(!world.store.exists(), "{point}");
        assert_eq!(world.read("a"), "host\n");
    }
}
