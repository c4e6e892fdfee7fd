//! An apply that is killed, fails, or meets another: the host is as it was or as it is to be.

#[allow(dead_code)]
#[path = "support/applied.rs"]
mod applied;
mod support;

use std::collections::BTreeMap;

use applied::{by_path, clean, killed_at, no_temporaries, prepared, tree};
use support::{Ran, World, listing};

#[test]
fn killed_at_every_step_the_host_is_old_or_new_and_the_next_command_completes_it() {
    needs_sessions!();
    let mut kills = 0;
    for place in [
        "apply.planned",
        "copy.file",
        "apply.made",
        "apply.staged",
        "apply.swapped",
        "apply.dressed",
        "apply.synced",
        "apply.committed",
        "apply.removed",
        "apply.done",
        "apply.recorded",
    ] {
        for time in 1..40 {
            let (world, new) = prepared();
            let old = by_path(&tree(&world.project));
            if !killed_at(&world, &format!("{place}:{time}"), &["apply"]) {
                break;
            }
            kills += 1;
            // every path is as it was or as it is to be; directories get their times at the end
            let now = tree(&world.project);
            let content = |line: &String| line.split(' ').skip(2).collect::<Vec<_>>().join(" ");
            for (path, line) in by_path(&now).iter().filter(|(path, _)| !path.contains(".vrift-")) {
                let is = |side: &BTreeMap<String, String>| {
                    side.get(path).is_some_and(|side| content(side) == content(line))
                };
                assert!(is(&old) || is(&new), "{place}:{time}: {path}: {line}");
            }
            let next = if time % 2 == 0 { vec!["exec", "true"] } else { vec!["status"] };
            world.run(next).ok();
            no_temporaries(&world);
            let now = by_path(&tree(&world.project));
            let staged = !matches!(place, "apply.planned" | "copy.file" | "apply.made");
            assert_eq!(now, if staged { new.clone() } else { old }, "{place}:{time}");
            world.run(["apply"]).ok();
            assert_eq!(by_path(&tree(&world.project)), new, "{place}:{time}");
            clean(&world);
        }
    }
    assert!(kills > 20, "{kills}");
}

#[test]
fn a_step_that_fails_takes_all_back() {
    needs_sessions!();
    for (place, errno) in [
        ("copy.file:2", 28),
        ("apply.made", 5),
        ("apply.swapped:4", 5),
        ("apply.dressed", 5),
        ("apply.synced", 5),
    ] {
        let (world, new) = prepared();
        let before = listing(&world.project);
        let failing = world
            .vrift()
            .args(["apply"])
            .env("VRIFT_FAILPOINT", format!("{place}={errno}"))
            .output()
            .unwrap();
        let error = Ran(failing).fails(1);
        assert!(error.contains("nothing was changed"), "{place}: {error}");
        assert_eq!(listing(&world.project), before, "{place}");
        no_temporaries(&world);
        world.run(["apply"]).ok();
        assert_eq!(by_path(&tree(&world.project)), new);
    }
}

#[test]
fn filesystems_that_can_less_are_written_too() {
    needs_sessions!();
    for place in ["copy.tmpfile:*=95", "apply.exchange:*=22", "apply.exchange:*=22,apply.link:*=1"] {
        let (world, new) = prepared();
        let ran = world.vrift().args(["apply"]).env("VRIFT_FAILPOINT", place).output().unwrap();
        Ran(ran).ok();
        assert_eq!(by_path(&tree(&world.project)), new, "{place}");
        no_temporaries(&world);
    }
}

#[test]
fn two_applies_at_once_write_once() {
    needs_sessions!();
    let (world, new) = prepared();
    let children: Vec<_> = (0..4).map(|_| world.vrift().args(["apply", "-q"]).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(by_path(&tree(&world.project)), new);
    clean(&world);
}

#[test]
fn a_full_disk_takes_all_back() {
    needs_sessions!();
    let world = World::new();
    // a disk of its own for the project; mounted where everything below is private
    let script = format!(
        "mount -t tmpfs -o size=2m none '{project}' && mkdir '{project}/.git' && echo old > '{project}/a' && cd '{project}' && \
         '{vrift}' exec sh -c 'echo new > a; head -c 3000000 /dev/urandom > big' && \
         if '{vrift}' apply; then exit 9; fi; \
         cat a; ls; df --output=used . | tail -1",
        project = world.project.display(),
        vrift = env!("CARGO_BIN_EXE_vrift"),
    );
    let map = if rustix::process::geteuid().is_root() { vec!["-m"] } else { vec!["-rm"] };
    let ran = world.command("unshare").args(map).args(["sh", "-c", &script]).output().unwrap();
    let ran = Ran(ran);
    if ran.stderr().contains("unshare:") || ran.stderr().contains("mount:") {
        assert!(std::env::var_os("VRIFT_MUST_WORK").is_none_or(|value| value != "1"), "{}", ran.stderr());
        eprintln!("skipped: {}", ran.stderr());
        return;
    }
    let error = ran.stderr();
    assert!(error.contains("No space left on device") && error.contains("nothing was changed"), "{error}");
    let out = ran.ok();
    assert!(out.starts_with("old\na\n"), "{out}");
}

#[test]
fn without_an_exchange_of_names_all_is_put_back_as_well() {
    needs_sessions!();
    let less = ["apply.exchange:*=22", "apply.exchange:*=22,apply.link:*=1"];
    for less in less {
        for fails in ["apply.synced=5", "apply.swapped:4=5", "apply.replaced:2=5"] {
            let (world, new) = prepared();
            let before = listing(&world.project);
            let mut failing = world.vrift();
            failing.args(["apply"]).env("VRIFT_FAILPOINT", format!("{less},{fails}"));
            let error = Ran(failing.output().unwrap()).fails(1);
            assert!(error.contains("nothing was changed"), "{less} {fails}: {error}");
            assert_eq!(listing(&world.project), before, "{less} {fails}");
            no_temporaries(&world);
            world.run(["apply"]).ok();
            assert_eq!(by_path(&tree(&world.project)), new);
        }
        for place in ["apply.replaced", "apply.away", "apply.swapped"] {
            for time in 1..4 {
                let (world, new) = prepared();
                let old = by_path(&tree(&world.project));
                let place = format!("{less},{place}:{time}");
                if !killed_at(&world, &place, &["apply"]) {
                    assert_eq!(by_path(&tree(&world.project)), new, "{place}");
                    continue;
                }
                world.run(["status"]).ok();
                no_temporaries(&world);
                let now = by_path(&tree(&world.project));
                assert!(now == new || now == old, "{place}: {now:?}");
                world.run(["apply"]).ok();
                clean(&world);
            }
        }
    }
}

#[test]
fn an_apply_of_metadata_alone_is_synced() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1");
    world.write("d/b", "1");
    world.exec(["chmod", "700", "a", "d/b"]).ok();
    let log = world.path().join("calls");
    let mut strace = world.command("strace");
    strace.args(["-f", "-y", "-e", "trace=/fchmodat|fsync|syncfs|fdatasync", "-o"]).arg(&log);
    let ran = strace.arg(env!("CARGO_BIN_EXE_vrift")).arg("apply").output();
    let Ok(ran) = ran else {
        eprintln!("skipped: no strace");
        return;
    };
    Ran(ran).ok();
    let calls = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = calls.lines().collect();
    let at = |name: &str| {
        let shown = format!("/project/{name}>");
        lines.iter().position(|line| line.contains("fsync(") && line.contains(&shown))
    };
    let changed = lines.iter().rposition(|line| line.contains("fchmodat")).expect("a mode was set");
    for name in ["a", "d/b"] {
        assert!(at(name).is_some_and(|at| at > changed), "{name}: {calls}");
    }
}

#[test]
fn what_was_written_is_not_read_again() {
    needs_sessions!();
    let (world, new) = prepared();
    world.run(["apply"]).ok();
    let read = || -> u64 {
        let report: serde_json::Value = serde_json::from_str(&world.run(["sync", "--json"]).ok()).unwrap();
        report["files_read"].as_u64().unwrap()
    };
    assert_eq!(read(), 0);
    assert_eq!(by_path(&tree(&world.project)), new);
    assert_eq!(read(), 0);
    // what is edited afterwards is
    world.write("changed", "newer");
    world.edit("new/deep/n", "newer");
    assert!(read() >= 2);
    assert_eq!(world.exec(["cat", "changed", "hard", "new/deep/n"]).ok(), "newernewernewer");
    // and a file that is written to at the very moment
    world.sh("echo 1 > changed").ok();
    world.run(["apply"]).ok();
    world.write("changed", "2\n");
    assert_eq!(world.exec(["cat", "changed"]).ok(), "2\n");
}

/// Who looks at a mirror sees the old one or the new one, whole, and nothing stays of a killed one.
#[test]
fn a_mirror_that_is_killed_is_the_old_or_the_new_one() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "own/\n");
    world.sh("mkdir -p own/d; for i in 1 2 3 4; do echo old > own/d/$i; done").ok();
    let args = ["apply", "--materialize", "own"];
    world.run(args).ok();
    let state = || -> Vec<String> {
        let mut seen = vec![];
        for entry in std::fs::read_dir(world.project.join("own/d")).unwrap().flatten() {
            seen.push(std::fs::read_to_string(entry.path()).unwrap());
        }
        seen
    };
    for (number, place) in
        ["copy.file", "copy.file:3", "mirror.made", "mirror.exchanged"].into_iter().enumerate()
    {
        let old = state();
        world.sh(&format!("for i in 1 2 3 4; do echo {number} > own/d/$i; done")).ok();
        assert!(killed_at(&world, place, &args), "{place}");
        let new = vec![format!("{number}\n"); 4];
        assert_eq!(state(), if place == "mirror.exchanged" { new.clone() } else { old }, "{place}");
        world.sh("true").ok();
        world.run(args).ok();
        assert_eq!(state(), new, "{place}");
        let names = std::fs::read_dir(&world.project).unwrap().flatten().map(|entry| entry.file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".vrift-")), "{place}");
    }
    // a disk that is full leaves the old one
    world.sh("for i in 1 2 3 4; do echo last > own/d/$i; done").ok();
    let before = state();
    let failing = world.vrift().args(args).env("VRIFT_FAILPOINT", "copy.file:2=28").output().unwrap();
    Ran(failing).fails(1);
    assert_eq!(state(), before);
    assert!(!world.run(["status"]).ok().contains(".vrift-"));
}
