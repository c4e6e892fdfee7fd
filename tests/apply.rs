//! Changes of the workspace are written to the host: all of them or none, exactly.

mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use support::{Ran, World, listing};
use terminal::Terminal;

/// The project as the workspace has it, copied to a directory outside.
fn inside(world: &World, name: &str) -> Vec<String> {
    let to = world.path().join(name);
    world.run(["exec", "--no-sync", "cp", "-a", ".", to.to_str().unwrap()]).ok();
    tree(&to)
}

/// All but what is below `.git`, and the root's own line.
fn tree(root: &Path) -> Vec<String> {
    listing(root).into_iter().skip(1).filter(|line| !line.starts_with("\".git")).collect()
}

fn no_temporaries(world: &World) {
    for entry in walkdir::WalkDir::new(&world.project).into_iter().flatten() {
        assert!(!entry.file_name().to_string_lossy().starts_with(".vrift-"), "{:?}", entry.path());
    }
    for project in std::fs::read_dir(world.store.join("projects")).unwrap().flatten() {
        assert!(!project.path().join("apply.json").exists());
    }
}

/// Status has nothing, and the next sync finds nothing.
fn clean(world: &World) {
    let status = world.run(["status"]).ok();
    assert!(status.contains("the workspace is as the directory was"), "{status}");
    let heads = || world.run(["log", "--heads", "--json"]).ok();
    let before = heads();
    let report: serde_json::Value = serde_json::from_str(&world.run(["sync", "--json"]).ok()).unwrap();
    assert_eq!(report["conflicts"], serde_json::json!([]));
    assert_eq!(heads(), before);
}

#[test]
fn what_a_run_wrote_arrives_exactly() {
    needs_sessions!();
    let world = World::new();
    for (path, text) in
        [("kept", "kept\n"), ("changed", "old\n"), ("gone", "x"), ("dir/a", "a"), ("dir/b", "b")]
    {
        world.write(path, text);
    }
    let script = "echo new > changed; rm gone; rm -r dir; echo file > dir; chmod 750 changed; \
        mkdir -p new/deep/empty; echo n > new/deep/n; ln -s ../kept new/link; mkfifo new/pipe; \
        echo h > new/h1; ln new/h1 h2; ln new/h1 new/deep/h3; touch -d '2001-02-03 04:05:06.123456789' new/h1 new/deep; \
        chmod 555 new/deep/empty; touch -h -d '2002-02-03 04:05:06.5' new/link; touch -d '2003-01-01 01:01:01.25' kept; \
        : > 'odd
name'; printf '\\377' | xargs -0 -I{} touch 'bytes{}'; : > empty";
    world.sh(script).ok();
    let before = tree(&world.project);
    assert!(world.run(["apply", "--dry-run"]).ok().contains("A new/deep/n"));
    assert_eq!(tree(&world.project), before);
    world.run(["apply"]).ok();
    assert_eq!(tree(&world.project), inside(&world, "copy"));
    no_temporaries(&world);
    clean(&world);
    let said = world.run(["apply"]);
    assert!(said.stderr().contains("there is nothing to write"), "{}", said.stderr());
}

#[test]
fn only_what_follows_the_host_is_written_unless_it_is_named() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "target/\n");
    world.write("src", "1");
    world.write("vrift.toml", "[paths]\nscratch = [\"tmp\"]\nlive = [\"data\"]\nhide = [\".env\"]\n");
    world.write("data/x", "x");
    world.write(".env", "secret");
    world.sh("mkdir -p target/sub .git/hooks sub/.git build; echo o > target/o; echo s > target/sub/s; echo 2 > src; \
        echo h > .git/hooks/pre-commit; echo c > sub/.git/config; echo t > tmp/t; echo 'build/' >> .gitignore; echo b > build/b")
        .ok();
    let said = world.run(["apply"]);
    assert!(said.stderr().contains("target") && said.stderr().contains("build"), "{}", said.stderr());
    said.ok();
    assert_eq!(world.read("src"), "2\n");
    assert_eq!(world.read(".env"), "secret");
    for path in ["target", "build", ".git/hooks/pre-commit", "sub/.git", "tmp"] {
        assert!(!world.project.join(path).exists(), "{path}");
    }
    world.run(["apply", "target/sub"]).ok();
    assert_eq!(world.read("target/sub/s"), "s\n");
    assert!(!world.project.join("target/o").exists());
    world.run(["apply", "target"]).ok();
    assert_eq!(world.read("target/o"), "o\n");
    // what is the workspace's own stays its own
    assert_eq!(world.sh("ls target").ok(), "o\nsub\n");
}

#[test]
fn some_paths_alone_can_be_written() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a");
    world.write("d/x", "x");
    world.sh("echo 1 > a; echo 1 > d/x; echo 1 > d/y; mkdir -p n/m; echo 1 > n/m/f; echo 1 > n/g").ok();
    let before = std::fs::metadata(world.project.join("d")).unwrap().modified().unwrap();
    let ran = Ran(world
        .vrift()
        .args(["apply", "x", "../n/m"])
        .current_dir(world.project.join("d"))
        .output()
        .unwrap());
    ran.ok();
    assert_eq!(std::fs::metadata(world.project.join("d")).unwrap().modified().unwrap(), before);
    assert_eq!(
        (world.read("a"), world.read("d/x"), world.read("n/m/f")),
        ("a".into(), "1\n".into(), "1\n".into())
    );
    assert!(!world.project.join("d/y").exists() && !world.project.join("n/g").exists());
    world.run(["apply"]).ok();
    assert_eq!(tree(&world.project), inside(&world, "copy"));
    clean(&world);
}

#[test]
fn what_is_run_by_the_machine_is_named_first() {
    needs_sessions!();
    let world = World::new();
    world.write("aaa", "1");
    world.write("tool", "1");
    world.sh("echo 2 > aaa; chmod +x tool; echo x > .envrc; mkdir .husky; echo h > .husky/pre-push; printf x > zz; chmod 755 zz").ok();
    let shown = world.run(["apply", "-n"]).ok();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].contains(".envrc  (direnv runs it)"), "{shown}");
    assert!(lines[1].contains(".husky/pre-push  (a git hook)"), "{shown}");
    assert!(lines[2].contains("tool") && lines[2].contains("(an executable)"), "{shown}");
    assert!(lines[3].contains("zz  (a new executable)"), "{shown}");
    assert!(lines.iter().skip(4).any(|line| line.contains("aaa")), "{shown}");
    let patch = world.run(["apply", "--patch"]).ok();
    assert!(patch.contains("-1\n") && patch.contains("+2\n"), "{patch}");
    assert_eq!(world.read("aaa"), "1");
    let said = world.run(["apply"]).stderr();
    assert!(said.starts_with("vrift: writing `.envrc` (direnv runs it)"), "{said}");
}

/// `list` changed on both sides at different lines, `both` at one, the rest on one side.
fn torn() -> World {
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

#[test]
fn a_path_the_host_changed_stops_everything() {
    needs_sessions!();
    let world = torn();
    let before = listing(&world.project);
    let error = world.run(["apply"]).fails(1);
    assert!(error.contains("`both` was changed on the host") && error.contains("`list`"), "{error}");
    assert!(error.contains("nothing was written") && error.contains("--on-conflict"), "{error}");
    assert_eq!(listing(&world.project), before);
    // by lines one of them merges, the other does not
    let error = world.run(["apply", "--on-conflict", "merge"]).fails(1);
    assert!(
        error.contains("`both` was changed on the host, and does not merge") && !error.contains("`list`"),
        "{error}"
    );
    assert_eq!(listing(&world.project), before);
    no_temporaries(&world);
    world.run(["apply", "--on-conflict", "merge", "list", "mine"]).ok();
    assert_eq!(world.read("list"), "one\n2\n3\n4\nfive\n");
    assert_eq!(world.run(["exec", "--no-sync", "cat", "list"]).ok(), "one\n2\n3\n4\nfive\n");
    // touched by the host, and the same
    let world = World::new();
    world.write("a", "1");
    world.sh("echo 2 > a; mkdir n; echo n > n/f").ok();
    world.edit("a", "2\n");
    world.write("n/f", "n\n");
    world.run(["apply"]).ok();
    assert_eq!(world.read("a"), "2\n");
}

#[test]
fn every_way_of_deciding_a_conflict() {
    needs_sessions!();
    let world = torn();
    world.run(["apply", "--on-conflict", "keep-host"]).ok();
    assert_eq!((world.read("both"), world.read("mine")), ("host\n".into(), "ws\n".into()));
    assert!(!world.project.join("gone").exists());
    // it is still a conflict for the next sync
    assert!(world.exec(["cat", "both"]).stderr().contains("`both` was changed on the host"));

    let world = torn();
    world.run(["apply", "--on-conflict", "overwrite"]).ok();
    assert_eq!((world.read("both"), world.read("list")), ("ws\n".into(), "one\n2\n3\n4\n5\n".into()));
    clean(&world);

    let world = torn();
    world.write("both.main", "taken");
    world.run(["apply", "--on-conflict", "both"]).ok();
    assert_eq!((world.read("both"), world.read("both.main-2")), ("host\n".into(), "ws\n".into()));
    assert_eq!(world.read("list.main"), "one\n2\n3\n4\n5\n");
    assert_eq!(world.run(["exec", "--no-sync", "cat", "both", "both.main-2"]).ok(), "host\nws\n");
    clean_but_for_new(&world);
}

/// As `clean`, where the host has a file more.
fn clean_but_for_new(world: &World) {
    let ran = world.sh("true");
    assert_eq!(ran.stderr(), "");
    clean(world);
}

/// What a command that is killed at one place leaves; whether it came to that place.
fn killed_at(world: &World, place: &str, args: &[&str]) -> bool {
    let ran = world.vrift().args(args).env("VRIFT_FAILPOINT", place).output().unwrap();
    ran.status.code().is_none()
}

/// A project before and after, each path on its own line.
fn prepared() -> (World, BTreeMap<String, String>) {
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
fn by_path(lines: &[String]) -> BTreeMap<String, String> {
    lines
        .iter()
        .map(|line| {
            let (path, rest) = line[1..].split_once("\" ").unwrap();
            (path.to_string(), rest.to_string())
        })
        .collect()
}

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
    for place in ["copy.tmpfile=95", "apply.exchange=22"] {
        let (world, new) = prepared();
        let ran = world.vrift().args(["apply"]).env("VRIFT_FAILPOINT", place).output().unwrap();
        Ran(ran).ok();
        assert_eq!(by_path(&tree(&world.project)), new, "{place}");
        no_temporaries(&world);
    }
}

#[test]
fn a_link_on_the_host_is_never_followed() {
    needs_sessions!();
    let world = World::new();
    world.write("d/f", "old");
    world.write("e/f", "old");
    world.sh("echo new > d/f; echo more > d/g; rm -r e").ok();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("f"), "outside").unwrap();
    for dir in ["d", "e"] {
        std::fs::remove_dir_all(world.project.join(dir)).unwrap();
        symlink(&outside, world.project.join(dir)).unwrap();
    }
    for how in ["abort", "merge"] {
        let error = world.run(["apply", "--on-conflict", how]).fails(1);
        assert!(error.contains("`d` was changed on the host"), "{error}");
    }
    world.run(["apply", "--on-conflict", "overwrite"]).ok();
    assert_eq!(world.read("d/f"), "new\n");
    assert!(world.project.join("e").symlink_metadata().is_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(outside.join("f")).unwrap(), "outside");
}

#[test]
fn a_directory_that_holds_more_than_the_workspace_knew_stays() {
    needs_sessions!();
    let world = World::new();
    world.write("d/f", "1");
    world.write("e/f", "1");
    world.sh("rm -r d e; echo file > e").ok();
    world.write("d/new", "host");
    let said = world.run(["apply", "d"]);
    assert!(said.stderr().contains("`d` stays on the host: it holds `d/new`"), "{}", said.stderr());
    said.ok();
    assert!(!world.project.join("d/f").exists() && world.read("d/new") == "host");
    world.write("e/new", "host");
    let error = world.run(["apply"]).fails(1);
    assert!(error.contains("`e` is a directory that holds `e/new`"), "{error}");
    assert_eq!(world.read("e/f"), "1");
}

#[test]
fn what_cannot_be_is_said_and_nothing_is_half_done() {
    needs_sessions!();
    // a directory in the way
    let world = World::new();
    world.write("a", "1");
    world.sh("echo 2 > a; echo 2 > b").ok();
    std::fs::remove_file(world.project.join("a")).unwrap();
    world.write("a/in", "x");
    let error = world.run(["apply", "--on-conflict", "overwrite"]).fails(1);
    assert!(error.contains("`a` is a directory on the host") && error.contains("move away"), "{error}");
    assert!(!world.project.join("b").exists());
    // a read-only directory
    if !rustix::process::geteuid().is_root() {
        let world = World::new();
        world.write("d/f", "1");
        world.write("a", "1");
        world.sh("echo 2 > d/f; echo 2 > a").ok();
        std::fs::set_permissions(world.project.join("d"), std::fs::Permissions::from_mode(0o555)).unwrap();
        let error = world.run(["apply"]).fails(1);
        assert!(error.contains("Permission denied") && error.contains("nothing was changed"), "{error}");
        assert_eq!((world.read("a"), world.read("d/f")), ("1".into(), "1".into()));
        std::fs::set_permissions(world.project.join("d"), std::fs::Permissions::from_mode(0o755)).unwrap();
        no_temporaries(&world);
    }
    // the directory was moved away
    let world = World::new();
    world.write("a", "1");
    world.sh("echo 2 > a").ok();
    std::fs::rename(&world.project, world.path().join("moved")).unwrap();
    std::fs::create_dir(&world.project).unwrap();
    let error = world.run(["apply"]).fails(1);
    assert!(error.contains("not the directory that was registered"), "{error}");
    assert_eq!(std::fs::read_dir(&world.project).unwrap().count(), 0);
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
fn a_run_applies_its_own_changes_and_only_on_success() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "1\n");
    world.sh("echo earlier > b; echo earlier > c").ok();
    let apply = |script: &str| world.run(["exec", "--apply", "sh", "-c", script]);
    apply("echo 2 > a; mkdir d; echo n > d/n").ok();
    assert_eq!(
        (world.read("a"), world.read("b"), world.read("d/n")),
        ("2\n".into(), "1\n".into(), "n\n".into())
    );
    assert!(!world.project.join("c").exists());
    // a failure writes nothing, but is kept
    let failed = apply("echo 3 > a; exit 3");
    assert_eq!(failed.code(), 3);
    assert_eq!(world.read("a"), "2\n");
    assert_eq!(world.exec(["cat", "a"]).ok(), "3\n");
    // what is in the way stops all of it, and the status says so
    let before = listing(&world.project);
    let error = apply("echo 4 > b; echo 4 > new").fails(125);
    assert!(error.contains("nothing was written") && error.contains("`b`"), "{error}");
    assert_eq!(listing(&world.project), before);
    assert_eq!(world.exec(["cat", "b", "new"]).ok(), "4\n4\n");
    // nothing written is fine
    apply("true").ok();
    world.run(["apply"]).ok();
    clean(&world);
}

#[test]
fn a_run_that_applies_is_alone() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1");
    let flag = world.path().join("go");
    let script =
        format!("echo 2 > a; : > {0}.ready; while [ ! -e {0} ]; do sleep 0.01; done", flag.display());
    let mut live = world.vrift().args(["exec", "--apply", "sh", "-c", &script]).spawn().unwrap();
    while !world.path().join("go.ready").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let error = world.exec(["true"]).fails(125);
    assert!(error.contains("what it writes is applied, so nobody can join it"), "{error}");
    // a checkpoint in between takes nothing away from what it wrote
    world.run(["commit", "mid"]).ok();
    std::fs::write(&flag, "").unwrap();
    assert!(live.wait().unwrap().success());
    assert_eq!(world.read("a"), "2\n");
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
fn attributes_and_owners_arrive_as_they_are() {
    needs_sessions!();
    use vrift::os::xattr;
    let world = World::new();
    world.write("forged", "x");
    world.write("theirs", "1");
    let set = |path: &str, name: &std::ffi::CStr| {
        let file = std::fs::File::open(world.project.join(path)).unwrap();
        xattr::set(&file, name, b"/aa/bbbbbbbbbbbbbbbbbbbb")
    };
    if set("forged", c"user.overlay.redirect").and_then(|()| set("forged", c"user.a")).is_err() {
        eprintln!("skipped: no user attributes here");
        return;
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(world.project.join("theirs"), Some(1234), Some(4321)).unwrap();
    }
    world
        .sh("cp -a forged copied; mkdir new; cp -a forged new/copied; echo 2 > theirs; chmod 4711 theirs")
        .ok();
    world.run(["apply"]).ok();
    for path in ["copied", "new/copied"] {
        let file = std::fs::File::open(world.project.join(path)).unwrap();
        let mut names: Vec<String> =
            xattr::list(&file).unwrap().iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.retain(|name| name.starts_with("user."));
        names.sort();
        assert_eq!(names, ["user.a", "user.overlay.redirect"], "{path}");
    }
    let stat = std::fs::metadata(world.project.join("theirs")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(stat.mode() & 0o7777, 0o4711);
    if is_root {
        assert_eq!((stat.uid(), stat.gid()), (1234, 4321));
    }
    clean(&world);
}

#[test]
fn a_fork_is_applied_like_the_main_workspace_and_main_takes_it_over() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "1\n");
    world.exec(["true"]).ok();
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "sh", "-c", "echo f > a; echo f > new"]).ok();
    // an edit that the fork does not follow is no business of its apply
    world.edit("b", "host\n");
    world.run(["apply", "-w", "f"]).ok();
    assert_eq!(
        (world.read("a"), world.read("b"), world.read("new")),
        ("f\n".into(), "host\n".into(), "f\n".into())
    );
    assert!(world.run(["status", "-w", "f"]).ok().contains("the workspace is as the directory was"));
    let ran = world.sh("cat a b new");
    assert_eq!((ran.stderr().as_str(), ran.stdout().as_str()), ("", "f\nhost\nf\n"));
    clean(&world);
}

#[test]
fn each_path_is_asked_for_on_a_terminal() {
    needs_sessions!();
    let world = torn();
    let error = world.run(["apply", "-i"]).fails(1);
    assert!(error.contains("no terminal"), "{error}");
    let mut terminal = Terminal::start(world.vrift().args(["apply", "-i"]));
    for (question, answer) in
        [("D d/", "y"), ("D d/f", "y"), ("D gone", "n"), ("M mine", "d"), ("+ws", ""), ("write it?", "y")]
    {
        terminal.expect(question);
        terminal.line(answer);
    }
    terminal.expect("`both` was changed on the host");
    terminal.line("o");
    terminal.expect("`list` was changed on the host");
    terminal.line("m");
    assert!(terminal.wait().success());
    assert_eq!(
        (world.read("both"), world.read("mine"), world.read("gone")),
        ("ws\n".into(), "ws\n".into(), "old\n".into())
    );
    assert_eq!(world.read("list"), "one\n2\n3\n4\nfive\n");
    assert!(!world.project.join("d").exists());
}

#[test]
fn a_deep_tree_and_one_that_is_live_are_applied() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1");
    let deep = "d/".repeat(300);
    let script = "i=0; while [ $i -lt 300 ]; do mkdir d && cd d; i=$((i+1)); done; echo bottom > f";
    world.sh(script).ok();
    world.run(["apply"]).ok();
    assert_eq!(std::fs::read_to_string(world.project.join(format!("{deep}f"))).unwrap(), "bottom\n");
    world.sh("rm -r d").ok();
    world.run(["apply"]).ok();
    assert!(!world.project.join("d").exists());
    // while a run lives, what was taken in last is applied
    let flag = world.path().join("go");
    let script = format!(
        "echo 2 > a; : > {0}.ready; while [ ! -e {0} ]; do sleep 0.01; done; echo 3 > a",
        flag.display()
    );
    let mut live = world.vrift().args(["exec", "sh", "-c", &script]).spawn().unwrap();
    while !world.path().join("go.ready").exists() {
        assert!(live.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    world.run(["commit", "mid"]).ok();
    world.run(["apply"]).ok();
    assert_eq!(world.read("a"), "2\n");
    std::fs::write(&flag, "").unwrap();
    assert!(live.wait().unwrap().success());
    world.run(["apply"]).ok();
    assert_eq!(world.read("a"), "3\n");
    clean(&world);
}

#[test]
fn what_an_apply_deleted_is_no_emptied_directory() {
    needs_sessions!();
    let world = World::new();
    for number in 0..150 {
        world.write(&format!("files/{number}"), "x");
    }
    world.sh("rm -r files").ok();
    world.run(["apply"]).ok();
    assert!(!world.project.join("files").exists());
    world.sh("true").ok();
    clean(&world);
}
