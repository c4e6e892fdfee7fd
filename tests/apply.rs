//! Changes of the workspace are written to the host: all of them or none, exactly.

#[allow(dead_code)]
#[path = "support/applied.rs"]
mod applied;
mod support;

use std::os::unix::fs::{PermissionsExt, symlink};

use applied::{clean, inside, no_temporaries, tree};
use support::{Ran, World};

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

#[test]
fn hooks_are_named_first_wherever_git_is_told_to_look_for_them() {
    needs_sessions!();
    let world = World::new();
    world.write("aaa", "1");
    world
        .sh("echo 2 > aaa; mkdir -p scripts/hooks; echo h > scripts/hooks/pre-push; echo x > scripts/other")
        .ok();
    let plan = || {
        let mut command = world.vrift();
        Ran(command.args(["apply", "-n"]).env_remove("GIT_CONFIG_GLOBAL").output().unwrap()).ok()
    };
    let first = || plan().lines().next().unwrap_or("").to_owned();
    assert!(!first().contains("hook"), "{}", first());
    // the project's own configuration, then the user's
    world.write(".git/config", "[core]\n\thooksPath = scripts/hooks\n");
    assert!(first().contains("scripts/hooks/pre-push  (a git hook)"), "{}", first());
    std::fs::remove_dir_all(world.project.join(".git")).unwrap();
    assert!(!first().contains("hook"), "{}", first());
    let path = world.project.join("scripts/hooks");
    world.write("../home/.gitconfig", format!("[core]\n\thooksPath = {}\n", path.display()));
    assert!(first().contains("scripts/hooks/pre-push  (a git hook)"), "{}", first());
    assert_eq!(plan().matches("(a git hook)").count(), 1, "{}", plan());
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

/// A project with an own directory that only the workspace has.
fn with_own() -> World {
    let world = World::new();
    world.write(".gitignore", "node_modules/\n");
    world.write("src", "s\n");
    world
        .sh(
            "mkdir -p node_modules/p/bin node_modules/.bin; echo 1 > node_modules/p/index.js; echo 2 > node_modules/p/b.js; \
             echo run > node_modules/p/bin/x; chmod 755 node_modules/p/bin/x; ln -s ../p/bin/x node_modules/.bin/x; \
             echo h > node_modules/h; ln node_modules/h node_modules/p/h; : > node_modules/empty; chmod 555 node_modules/p/bin",
        )
        .ok();
    world
}

/// What a mirror has, and what the workspace has there.
#[track_caller]
fn mirrors(world: &World, copy: &str) {
    let to = world.path().join(copy);
    world.run(["exec", "--no-sync", "cp", "-a", "node_modules", to.to_str().unwrap()]).ok();
    let mirror = tree(&world.project.join("node_modules"));
    let (mark, rest): (Vec<_>, Vec<_>) = mirror.into_iter().partition(|line| line.contains(".vrift-mirror"));
    assert_eq!((mark.len(), rest), (1, tree(&to)));
}

#[test]
fn an_own_directory_is_mirrored_on_the_host() {
    use std::os::unix::fs::MetadataExt;
    needs_sessions!();
    let world = with_own();
    let materialize = |more: &[&str]| {
        let mut args = vec!["apply", "--materialize", "node_modules"];
        args.extend(more);
        world.run(args)
    };
    let said = materialize(&["--json"]).ok();
    assert!(said.contains("\"files\": 7") && said.contains("node_modules"), "{said}");
    mirrors(&world, "one");
    let inode = |path: &str| world.project.join(path).metadata().unwrap().ino();
    let (same, other) = (inode("node_modules/p/index.js"), inode("node_modules/p/b.js"));
    // what is done to it on the host is gone with the next time, and what is as it was is linked
    world.edit("node_modules/p/b.js", "edited on the host\n");
    world.write("node_modules/extra", "x");
    world.sh("rm node_modules/empty; echo new > node_modules/new").ok();
    materialize(&[]).ok();
    mirrors(&world, "two");
    assert_eq!(inode("node_modules/p/index.js"), same);
    assert_ne!(inode("node_modules/p/b.js"), other);
    // nothing of it comes in, and nothing of it is said
    let seen: serde_json::Value = serde_json::from_str(&world.run(["status", "--json"]).ok()).unwrap();
    assert_eq!(seen["host"], serde_json::json!([]));
    std::fs::remove_dir_all(world.project.join("node_modules/.bin")).unwrap();
    assert_eq!(world.sh("ls node_modules; cat node_modules/p/b.js").ok(), "h\nnew\np\n2\n");
    let away = "chmod u+w node_modules/p/bin; rm -r node_modules";
    assert!(world.command("sh").args(["-c", away]).status().unwrap().success());
    world.sh("test -e node_modules/.bin/x").ok();
    // a live session's, as it is now
    let ready = world.path().join("ready");
    let script = format!("echo live > node_modules/live; : > '{}'; cat > /dev/null", ready.display());
    let mut live = world.vrift();
    let mut live =
        live.args(["exec", "sh", "-c", &script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    materialize(&[]).ok();
    mirrors(&world, "three");
    assert_eq!(world.read("node_modules/live"), "live\n");
    drop(live.stdin.take());
    assert!(live.wait().unwrap().success());
}

#[test]
fn a_mirror_takes_no_others_place_unasked() {
    needs_sessions!();
    let world = with_own();
    world.write("node_modules/mine", "the host's own\n");
    let before = tree(&world.project);
    let error = world.run(["apply", "--materialize", "node_modules"]).fails(1);
    assert!(error.contains("of its own") && error.contains("--on-conflict overwrite"), "{error}");
    for (args, why) in [
        (&["apply", "--materialize", "src"][..], "no directory"),
        (&["apply", "--materialize", "."], "not the workspace's own"),
        (&["apply", "--materialize", "none"], "no directory"),
        (&["apply", "--materialize", ".git"], "not the workspace's own"),
        (&["apply", "-w", "other", "--materialize", "node_modules"], "no workspace"),
    ] {
        let error = world.run(args).fails(1);
        assert!(error.contains(why), "{args:?}: {error}");
    }
    world.run(["apply", "--materialize"]).fails(2);
    world.run(["apply", "--materialize", "-n", "node_modules"]).fails(2);
    world.run(["apply", "--materialize", "--on-conflict", "merge", "node_modules"]).fails(2);
    assert_eq!(tree(&world.project), before);
    // no link is followed, and one is replaced only when that is said
    std::fs::remove_dir_all(world.project.join("node_modules")).unwrap();
    let aside = world.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    symlink(&aside, world.project.join("node_modules")).unwrap();
    world.run(["apply", "--materialize", "node_modules"]).fails(1);
    world.run(["apply", "--materialize", "--on-conflict", "overwrite", "node_modules"]).ok();
    assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0);
    mirrors(&world, "one");
}
