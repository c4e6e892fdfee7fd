//! Every class of path by its effect: what the command sees, what the host has after,
//! what the workspace and the store keep.

mod support;

use std::process::{Command, Stdio};

use support::{Ran, World};

fn configured(toml: &str) -> World {
    let world = World::new();
    world.write("vrift.toml", toml);
    world.write("src/main.c", "main");
    world
}

/// True when an object of the store holds these bytes.
fn stored(world: &World, bytes: &str) -> bool {
    world.objects().iter().any(|object| {
        std::fs::read(object).unwrap().windows(bytes.len()).any(|part| part == bytes.as_bytes())
    })
}

fn status(world: &World) -> String {
    world.run(["status"]).ok()
}

const CLEAN: &str = "the workspace is as the directory was when it was last taken over";

#[test]
fn live_is_the_hosts_directory_both_ways_and_is_never_stored() {
    needs_sessions!();
    let world = configured("[paths]\nlive = ['data']\n");
    world.write("data/set", "from the host");
    assert_eq!(world.sh("cat data/set; echo inside > data/out").ok(), "from the host");
    assert_eq!(world.read("data/out"), "inside\n");
    std::fs::write(world.project.join("data/set"), "edited").unwrap();
    assert_eq!(world.run(["exec", "--no-sync", "cat", "data/set", "data/out"]).ok(), "editedinside\n");
    assert!(!stored(&world, "from the host") && !stored(&world, "inside"));
    assert!(status(&world).contains(CLEAN), "{}", status(&world));
    assert!(world.staging().is_empty());
}

#[test]
fn scratch_is_empty_in_each_session_and_not_kept() {
    needs_sessions!();
    let world = configured("[paths]\nscratch = ['tmp', 'deep/down/cache']\n");
    world.write("tmp/host", "not shown");
    for _ in 0..2 {
        let script =
            "ls -A tmp deep/down/cache; echo lost > tmp/x; echo lost > deep/down/cache/x; echo k > src/k";
        assert_eq!(world.sh(script).ok(), "deep/down/cache:\n\ntmp:\n");
    }
    assert_eq!(world.sh("cat src/k").ok(), "k\n");
    assert!(!stored(&world, "lost") && !stored(&world, "not shown"));
    let status = status(&world);
    assert!(status.contains("A src/k") && !status.contains("A tmp") && !status.contains("deep"), "{status}");
    assert_eq!(world.read("tmp/host"), "not shown");
    assert!(!world.project.join("deep").exists());
}

#[test]
fn beside_a_mount_point_that_is_not_on_the_host_things_are_kept() {
    needs_sessions!();
    let world = configured("[paths]\nscratch = ['deep/down/cache']\n");
    world.sh("echo kept > deep/down/file; echo lost > deep/down/cache/x").ok();
    assert_eq!(world.sh("cat deep/down/file; ls deep/down/cache").ok(), "kept\n");
    // Without the rule only what was kept is there.
    world.write("vrift.toml", "");
    assert_eq!(world.sh("find deep | LC_ALL=C sort").ok(), "deep\ndeep/down\ndeep/down/file\n");
}

#[test]
fn hidden_things_are_covered_and_never_enter_the_store() {
    needs_sessions!();
    let world = configured("[paths]\nhide = ['secrets', '*.pem', '!ok.pem']\n");
    world.write(".gitignore", "target/\n");
    world.write("secrets/key", "s3cr3t");
    world.write("src/tls.pem", "s3cr3t");
    world.write("target/debug/a.pem", "s3cr3t");
    world.write("ok.pem", "open");
    let seen = world.sh("ls -A secrets; cat src/tls.pem target/debug/a.pem ok.pem").ok();
    assert_eq!(seen, "open");
    let refused = world
        .sh("(echo x > secrets/new) 2>/dev/null || echo a; (echo x > src/tls.pem) 2>/dev/null || echo b; \
                            umount secrets 2>/dev/null || echo c; rm -rf secrets 2>/dev/null || echo d");
    assert_eq!(refused.ok(), "a\nb\nc\nd\n");
    assert_eq!(world.run(["exec", "--no-sync", "cat", "src/tls.pem"]).ok(), "");
    world.edit("secrets/key", "s3cr3t again");
    assert_eq!(world.sh("ls -A secrets; cat target/debug/a.pem").ok(), "");
    assert!(!stored(&world, "s3cr3t"));
    let status = status(&world);
    assert!(!status.contains("pem") && !status.contains("secrets"), "{status}");
    assert_eq!(world.read("src/tls.pem"), "s3cr3t");
}

#[test]
fn a_class_that_changes_takes_effect_at_the_next_sync() {
    needs_sessions!();
    let world = configured("");
    for number in 0..150 {
        world.write(&format!("many/{number}"), "x");
    }
    world.write("many/secret", "seen");
    assert_eq!(world.exec(["cat", "many/secret"]).ok(), "seen");
    world.write("vrift.toml", "[paths]\nhide = ['many']\n");
    let refused = world.run(["exec", "--no-sync", "true"]).fails(125);
    assert!(refused.contains("rules for paths have changed"), "{refused}");
    assert_eq!(world.sh("ls -A many").ok(), "");
    assert!(!status(&world).contains("many"), "{}", status(&world));
    world.write("vrift.toml", "");
    assert_eq!(world.sh("ls -A many | wc -l").ok(), "151\n");
    // From the workspace's own to scratch: what it had is not shown as a change.
    world.sh("mkdir out; echo x > out/x").ok();
    world.write("vrift.toml", "[paths]\nscratch = ['out']\n");
    assert_eq!(world.sh("ls -A out").ok(), "");
    assert!(!status(&world).contains("A out"), "{}", status(&world));
    // It is covered, not lost: a rule may be tried for one run.
    world.write("vrift.toml", "");
    assert_eq!(world.sh("cat out/x").ok(), "x\n");
    assert_eq!(world.run(["exec", "--config", "paths.hide=out", "ls", "out"]).ok(), "");
    assert_eq!(world.run(["exec", "--config", "paths.hide=many", "ls", "many"]).ok(), "");
    assert_eq!(world.sh("cat out/x; ls many | wc -l").ok(), "x\n151\n");
}

#[test]
fn own_and_follow_by_configuration() {
    needs_sessions!();
    let world = configured("[paths]\nown = ['cache', 'notes.txt']\nfollow = ['gen']\n");
    world.write(".gitignore", "gen/\n");
    for path in ["cache/a", "gen/a", "notes.txt"] {
        world.write(path, "one");
    }
    assert_eq!(world.sh("cat cache/a gen/a notes.txt").ok(), "oneoneone");
    for path in ["cache/a", "gen/a", "notes.txt"] {
        world.edit(path, "two");
    }
    assert_eq!(world.sh("cat cache/a gen/a notes.txt").ok(), "onetwoone");
    assert_eq!(world.sh("echo three > cache/a; cat cache/a").ok(), "three\n");
    assert_eq!(world.sh("cat cache/a").ok(), "three\n");
}

#[test]
fn cold_leaves_an_own_directory_out_at_first() {
    needs_sessions!();
    let world = configured("");
    world.write(".gitignore", "target/\nbuild/\n");
    world.write("target/big", "warm bytes");
    world.write("build/x", "x");
    let refused = world.run(["exec", "--cold", "src", "true"]).fails(125);
    assert!(refused.contains("`src` is no `own` directory"), "{refused}");
    let script = "ls target 2>/dev/null; cat build/x; mkdir -p target; echo made > target/made";
    assert_eq!(world.run(["exec", "--cold", "target", "sh", "-c", script]).ok(), "x");
    assert!(!stored(&world, "warm bytes"));
    let again = world.run(["exec", "--cold", "target", "ls", "target"]);
    assert!(again.stderr().contains("the workspace's already"), "{}", again.stderr());
    assert_eq!(again.ok(), "made\n");
}

#[test]
fn a_file_cannot_be_live_or_scratch() {
    needs_sessions!();
    for (class, hint) in [("live", "saves by renaming"), ("scratch", "is for directories")] {
        let world = configured(&format!("[paths]\n{class} = ['src/main.c']\n"));
        let refused = world.exec(["true"]).fails(125);
        assert!(refused.contains("`src/main.c` is a file") && refused.contains(hint), "{refused}");
        assert!(refused.contains("name the directory it is in"), "{refused}");
    }
    let world = configured("[paths]\nlive = ['not/there']\n");
    let refused = world.exec(["true"]).fails(125);
    assert!(refused.contains("`not/there` is not on the host"), "{refused}");
}

#[test]
fn a_link_to_elsewhere_stays_a_link() {
    needs_sessions!();
    let world = configured("[paths]\nlive = ['data']\n");
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, world.project.join("data")).unwrap();
    world.sh("echo x > data/x").ok();
    assert_eq!(std::fs::read_to_string(outside.join("x")).unwrap(), "x\n");
}

#[test]
fn mounts_in_mounts() {
    needs_sessions!();
    let world =
        configured("[paths]\nlive = ['data']\nhide = ['data/secret', 'data/none']\nscratch = ['data/tmp']\n");
    world.write("data/secret/key", "s3cr3t");
    world.write("data/open", "open");
    let refused = world.exec(["true"]).fails(125);
    assert!(refused.contains("`data/tmp` has no place"), "{refused}");
    std::fs::create_dir(world.project.join("data/tmp")).unwrap();
    assert_eq!(world.sh("cat data/open; ls -A data/secret; echo x > data/tmp/x").ok(), "open");
    assert_eq!(std::fs::read_dir(world.project.join("data/tmp")).unwrap().count(), 0);
}

#[test]
fn a_bound_directory_shows_only_after_allow_and_again_after_a_change() {
    needs_sessions!();
    let world = World::new();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("x"), "outside\n").unwrap();
    let bind =
        |mode: &str| format!("[paths]\nbind = ['{}:in{mode}']\nscratch = ['tmp']\n", outside.display());
    world.write("vrift.toml", bind(""));
    let ignored = world.sh("ls in 2>/dev/null; ls tmp");
    assert!(ignored.stderr().contains("paths.bind in vrift.toml"), "{}", ignored.stderr());
    assert_eq!(ignored.stderr().matches("vrift allow").count(), 1);
    assert_eq!(ignored.ok(), "");
    assert!(world.run(["config"]).ok().contains("ignored until: vrift allow"));
    assert!(world.run(["allow"]).ok().contains("paths.bind"));
    let allowed = world.sh("cat in/x; echo more > in/y");
    assert_eq!((allowed.stderr().as_str(), allowed.stdout().as_str()), ("", "outside\n"));
    assert_eq!(std::fs::read_to_string(outside.join("y")).unwrap(), "more\n");
    assert!(status(&world).contains(CLEAN), "{}", status(&world));
    world.write("vrift.toml", bind(":ro"));
    assert_eq!(world.sh("ls in 2>/dev/null || true").ok(), "");
    world.run(["allow"]).ok();
    assert_eq!(world.sh("cat in/y; (echo z > in/z) 2>/dev/null || echo read-only").ok(), "more\nread-only\n");
    std::fs::remove_file(world.project.join("vrift.toml")).unwrap();
    assert!(world.run(["allow"]).fails(1).contains("no vrift.toml"));
}

#[test]
fn a_joiner_has_the_mounts_of_the_session() {
    needs_sessions!();
    let world = configured("[paths]\nscratch = ['tmp']\n");
    let mut live = world
        .vrift()
        .args(["exec", "--", "sh", "-c", "echo first > tmp/x; echo up; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(live.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
    let joined = world.sh("cat tmp/x");
    assert_eq!((joined.stderr().as_str(), joined.stdout().as_str()), ("", "first\n"));
    let refused = world.run(["exec", "--config", "paths.hide=src", "ls", "src"]).fails(125);
    assert!(refused.contains("began with other rules for paths"), "{refused}");
    world.write("vrift.toml", "[paths]\nhide = ['src']\n");
    let told = world.sh("ls src");
    assert!(told.stderr().contains("the new ones count once it has ended"), "{}", told.stderr());
    assert_eq!(told.ok(), "main.c\n");
    drop(live.stdin.take());
    live.wait().unwrap();
    assert_eq!(world.sh("ls src").ok(), "");
}

#[test]
fn the_file_inside_the_view_is_not_asked() {
    needs_sessions!();
    let world = configured("");
    world.sh("printf '[paths]\\nhide = [\"src\"]\\n' > vrift.toml").ok();
    assert_eq!(world.exec(["cat", "src/main.c"]).ok(), "main");
}

#[test]
fn paths_and_their_rules_are_shown() {
    needs_sessions!();
    let world = configured("[paths]\nhide = ['*.pem']\nscratch = ['tmp']\nlive = ['data']\n");
    world.write(".gitignore", "target/\n");
    for path in ["target/x/a.pem", "data/x", "src/k.pem"] {
        world.write(path, "x");
    }
    let shown = world.run(["status", "--paths"]).ok();
    let expected = "live     `data`  paths.live `data` in vrift.toml\nhide     `src/k.pem`  paths.hide `*.pem` in vrift.toml\n\
        own      `target`  git ignores `target/` in .gitignore\nhide     `target/x/a.pem`  paths.hide `*.pem` in vrift.toml\n\
        scratch  `tmp`  paths.scratch `tmp` in vrift.toml\nfollow   everything else\n";
    assert_eq!(shown, expected);
    assert!(!world.store.exists(), "asking registers nothing");
    let doctor = |path: &str| world.run(["doctor", "--json", path]).ok();
    for (path, class, kept) in [
        ("src/main.c", "follow", true),
        ("target/x/new", "own", true),
        ("data/deep/new", "live", false),
        ("tmp/x", "scratch", false),
        ("src/k.pem", "hide", false),
        ("target/x/a.pem", "hide", false),
        ("nowhere/yet", "follow", true),
    ] {
        let json: serde_json::Value = serde_json::from_str(&doctor(path)).unwrap();
        assert_eq!((&json["class"], &json["kept"]), (&class.into(), &kept.into()), "{path}");
    }
    let text = world.run(["doctor", "target/x/new"]).ok();
    assert!(text.contains("`target/x/new` is own, as all of `target`\nrule: git ignores"), "{text}");
    assert!(world.run(["doctor", "/etc/passwd"]).code() == 1);
}

/// Runs a script with a tmpfs below the project, in mount (and user) namespaces of its own.
fn with_submount(world: &World, script: &str) -> Option<Ran> {
    std::fs::create_dir_all(world.project.join("mnt")).unwrap();
    let root = rustix::process::geteuid().is_root();
    let how: &[&str] = if root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let script = format!("mount -t tmpfs none mnt || exit 99; echo submount > mnt/file; {script}");
    let mut vrift = world.vrift();
    vrift.args(["--version"]); // its environment is what the script needs
    let mut command = Command::new("unshare");
    command.args(how).args(["sh", "-c", &script]).current_dir(&world.project);
    for (name, value) in vrift.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("VRIFT", env!("CARGO_BIN_EXE_vrift"));
    let ran = Ran(command.output().unwrap());
    if ran.code() == 99 {
        eprintln!("skipped: {}", ran.stderr());
        return None;
    }
    Some(ran)
}

#[test]
fn mounts_of_the_host_stay_visible_and_writable_and_are_not_taken_in() {
    needs_sessions!();
    let world = configured("");
    let script =
        "$VRIFT exec -- sh -c 'cat mnt/file; echo inside > mnt/new; echo kept > src/kept' && cat mnt/new";
    let Some(ran) = with_submount(&world, script) else { return };
    assert_eq!(ran.ok(), "submount\ninside\n");
    assert!(!stored(&world, "submount") && !stored(&world, "inside") && stored(&world, "kept"));
    assert_eq!(std::fs::read_dir(world.project.join("mnt")).unwrap().count(), 0);
    // A hidden mount point stays hidden, a hidden name in a mount is covered there.
    let world = configured("[paths]\nhide = ['mnt']\n");
    let Some(ran) = with_submount(&world, "$VRIFT exec -- ls -A mnt") else { return };
    assert_eq!(ran.ok(), "");
    let world = configured("[paths]\nhide = ['mnt/file']\n");
    let Some(ran) = with_submount(&world, "$VRIFT exec -- sh -c 'ls mnt; cat mnt/file'; cat mnt/file") else {
        return;
    };
    assert_eq!(ran.ok(), "file\nsubmount\n");
}

#[test]
fn through_a_link_the_project_is_at_its_real_path_and_pwd_stays() {
    needs_sessions!();
    let world = configured("");
    let link = world.path().join("link");
    std::os::unix::fs::symlink(&world.project, &link).unwrap();
    let src = link.join("src");
    let mut command = world.vrift();
    let ran = command.current_dir(&src).env("PWD", &src).args(["exec", "--", "sh", "-c"]);
    let script = format!("echo $PWD; pwd -P; echo inside > new; cat {}/src/new", world.project.display());
    let ran = Ran(ran.arg(&script).output().unwrap());
    let expected = format!("{}\n{}\ninside\n", src.display(), world.project.join("src").display());
    assert_eq!(ran.ok(), expected);
    assert_eq!(world.sh("cat src/new").ok(), "inside\n");
    assert!(!world.project.join("src/new").exists());
}
