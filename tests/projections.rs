//! The projections: what a view shows is the same whichever its lower tree is made by, what is
//! written never reaches an object, and one may become another.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use support::{Ran, World, listing};

/// Those that this kernel can show: the last two everywhere. Where the suite runs under one of
/// these, a kernel that does not follow stubs is what it runs there for.
fn all() -> Vec<&'static str> {
    let world = World::new();
    let stubs = world.run(["exec", "--projection", "stub", "true"]);
    if stubs.code() == 0 {
        return vec!["stub", "hardlink", "copy"];
    }
    let is =
        |name: &str, values: &[&str]| std::env::var(name).is_ok_and(|value| values.contains(&value.as_str()));
    let must = is("VRIFT_MUST_WORK", &["1"]) && !is("VRIFT_TEST_PROJECTION", &["hardlink", "copy"]);
    assert!(!must, "stubs must work here: {}", stubs.stderr());
    eprintln!("without stubs: {}", stubs.stderr());
    vec!["hardlink", "copy"]
}

/// `vrift exec --projection NAME -- sh -ec SCRIPT`.
fn sh(world: &World, projection: &str, script: &str) -> Ran {
    world.run(["exec", "--projection", projection, "--", "sh", "-ec", script])
}

/// A world of its own projection: what runs the suite may have chosen one.
fn world() -> World {
    let world = World::new();
    world.write("src/a.txt", "same\n");
    world.write("src/b.txt", "same\n");
    world.write("tool", "#!/bin/sh\necho tool\n");
    world.write("secret", "mine\n");
    world.write("empty", "");
    for (path, mode) in [("tool", 0o755), ("secret", 0o600), ("src/b.txt", 0o444)] {
        std::fs::set_permissions(world.project.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::hard_link(world.project.join("secret"), world.project.join("src/secret")).unwrap();
    world
}

fn lowers(world: &World) -> Vec<PathBuf> {
    let bases = std::fs::read_dir(world.project_dir().join("base")).unwrap().flatten();
    bases.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Content and mode of every object by its path.
fn contents(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> =
        world.objects().into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    found.sort();
    found
}

/// The names of objects that have a wrong content.
fn damaged(world: &World) -> Vec<PathBuf> {
    let name = |path: &PathBuf| {
        let shard = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        format!("{shard}/{}", path.file_name().unwrap().to_str().unwrap())
    };
    let all = contents(world).into_iter();
    all.filter(|(path, bytes)| vrift::cas::Digest::of(bytes).object_path() != name(path))
        .map(|(path, _)| path)
        .collect()
}

#[test]
fn a_view_is_the_same_under_each() {
    needs_sessions!();
    let mut seen = Vec::new();
    for projection in all() {
        let world = world();
        let before = listing(&world.project);
        let shown = sh(
            &world,
            projection,
            "find . -printf '%P %y %m %T@ %s %l\\n' | sort; sha256sum src/* tool; ./tool",
        )
        .ok();
        seen.push(shown.replace(&format!("{}", world.path().display()), ""));
        // two files of equal content are two files, two names of one are one
        let inodes = "stat -c %i src/a.txt src/b.txt secret src/secret | uniq | wc -l; stat -c %h secret; cp src/a.txt src/b2.txt; cp -f src/a.txt src/b.txt";
        assert_eq!(sh(&world, projection, inodes).ok(), "3\n2\n", "{projection}");
        assert_eq!(listing(&world.project), before);
    }
    let times = |text: &str| {
        text.lines().map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    for other in &seen[1..] {
        assert_eq!(times(&seen[0]), times(other));
    }
}

#[test]
fn what_is_written_never_reaches_an_object() {
    needs_sessions!();
    for projection in all() {
        let world = world();
        sh(&world, projection, "true").ok();
        let objects = contents(&world);
        let script = "echo more >> src/a.txt; printf X | dd of=tool bs=1 conv=notrunc 2>/dev/null; truncate -s 1 secret;
            touch -d @1 empty; chmod 0 src/b.txt; python3 - <<'END'
import mmap, os
for flags in (os.O_RDWR, os.O_WRONLY | os.O_APPEND):
    fd = os.open('src/secret', flags)
    os.write(fd, b'zz')
    os.close(fd)
with open('src/secret', 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0)
    m[0:1] = b'Q'
END
            rm src/a.txt; mv tool moved; ln secret third";
        sh(&world, projection, script).ok();
        let after = contents(&world);
        assert!(objects.iter().all(|known| after.contains(known)), "{projection}");
        assert_eq!(damaged(&world), [] as [PathBuf; 0], "{projection}");
        let read = sh(
            &world,
            projection,
            "test ! -e src/a.txt; head -c 1 moved; head -c 3 src/secret; stat -c %a src/b.txt",
        );
        assert_eq!(read.ok(), "XQzn0\n", "{projection}");
    }
}

#[test]
fn a_project_goes_from_one_to_another_and_keeps_everything() {
    needs_sessions!();
    let world = world();
    sh(&world, all()[0], "mkdir out; echo built > out/x; chmod 750 out/x; touch -d @1000000000.123 out/x; rm tool; ln out/x out/y").ok();
    world.run(["commit", "v1"]).ok();
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "echo forked > out/f"]).ok();
    let look = "find . -printf '%P %y %m %T@ %s %n %i\\n' | sed 's/ [0-9]*$//' | sort; cat out/x";
    let shape = |text: &str| -> Vec<String> {
        // the count of links of a file that is an object is one more
        let strip = |line: &str| match line.rsplit_once(' ') {
            Some((rest, _)) => rest.to_string(),
            None => line.to_string(),
        };
        text.lines().map(strip).collect()
    };
    let first = shape(&sh(&world, all()[0], look).ok());
    let last = all()[0];
    for projection in ["hardlink", "copy", last, "copy", "hardlink", last] {
        assert_eq!(shape(&sh(&world, projection, look).ok()), first, "{projection}");
        // said nothing, it stays
        assert_eq!(shape(&world.run(["exec", "--", "sh", "-ec", look]).ok()), first, "{projection}");
        assert_eq!(world.run(["exec", "-w", "f", "--", "cat", "out/f"]).ok(), "forked\n");
        let old = world.run([
            "exec",
            "--snapshots",
            "--projection",
            projection,
            "--",
            "cat",
            ".snapshots/v1/out/x",
        ]);
        assert_eq!(old.ok(), "built\n", "{projection}");
        // main's, the fork's, the snapshot's, and what these were before, swept by the run after
        assert!(lowers(&world).len() <= 6, "{projection}: {:?}", lowers(&world));
    }
    world.run(["diff", "--name-status", "v1", "main"]).ok();
    assert_eq!(world.run(["diff", "--name-status", "v1", "main"]).ok(), "");
}

#[test]
fn files_are_links_to_objects_with_the_files_own_mode() {
    needs_sessions!();
    let world = world();
    sh(&world, "hardlink", "echo new > new; chmod 640 new; echo same > src/c.txt").ok();
    let base = lowers(&world).pop().unwrap();
    let inode = |path: &str| base.join(path).symlink_metadata().unwrap();
    let objects: Vec<_> = world.objects().iter().map(|path| path.metadata().unwrap()).collect();
    let shared = |path: &str| {
        objects.iter().find(|object| object.ino() == inode(path).ino()).map(|object| object.mode() & 0o7777)
    };
    let reflinks = xattr_of(&base) == "reflink";
    if !reflinks {
        assert_eq!(shared("tool"), Some(0o755));
        assert_eq!(shared("new"), Some(0o640), "what a run wrote is its object, not a copy");
        // of three files with one content one is the object; a group of hard links never is
        let same = ["src/a.txt", "src/b.txt", "src/c.txt"].map(shared);
        assert_eq!(same.iter().flatten().count(), 1, "{same:?}");
        assert_eq!(shared("secret"), None);
        assert_eq!(inode("secret").nlink(), 2);
    }
    assert_eq!(inode("empty").nlink(), 1);
    // nothing is collected that a tree shows, and the trees go on without their objects' names
    world.run(["gc"]).ok();
    assert_eq!(sh(&world, "hardlink", "cat new src/c.txt").ok(), "new\nsame\n");
}

fn xattr_of(base: &std::path::Path) -> String {
    let dir = std::fs::File::open(base).unwrap();
    let value = vrift::os::xattr::get(dir, c"user.vrift.files").unwrap().unwrap_or_default();
    String::from_utf8(value).unwrap()
}

#[test]
fn an_object_with_as_many_links_as_there_may_be_is_copied() {
    needs_sessions!();
    let world = world();
    sh(&world, all()[0], "true").ok();
    let tool = std::fs::read(world.project.join("tool")).unwrap();
    let object = world.store.join("objects").join(vrift::cas::Digest::of(&tool).object_path());
    // as it would be for the first that links it
    let stat = world.project.join("tool").metadata().unwrap();
    std::fs::set_permissions(&object, stat.permissions()).unwrap();
    std::fs::File::open(&object).unwrap().set_modified(stat.modified().unwrap()).unwrap();
    let many = world.store.join("many");
    std::fs::create_dir(&many).unwrap();
    let full = (0..70_000).any(|number| std::fs::hard_link(&object, many.join(number.to_string())).is_err());
    if !full {
        eprintln!("skipped: this filesystem has no limit below 70,000");
        return;
    }
    assert_eq!(sh(&world, "hardlink", "./tool; echo x >> tool").ok(), "tool\n");
    assert_eq!(std::fs::read(&object).unwrap(), tool);
    std::fs::remove_dir_all(&many).unwrap();
}

#[test]
fn two_projects_share_the_inodes_of_equal_files() {
    needs_sessions!();
    let world = world();
    let other = world.path().join("other");
    let copied = std::process::Command::new("cp").arg("-a").arg(&world.project).arg(&other).status();
    assert!(copied.unwrap().success());
    sh(&world, "hardlink", "true").ok();
    let first = lowers(&world).pop().unwrap();
    let ran = world
        .vrift()
        .current_dir(&other)
        .args(["exec", "--projection", "hardlink", "--", "./tool"])
        .output()
        .unwrap();
    assert_eq!(Ran(ran).ok(), "tool\n");
    if xattr_of(&first) == "link" {
        assert_eq!(
            first.join("tool").metadata().unwrap().nlink(),
            3,
            "the object and a name in each project"
        );
    }
    // the other's mode changes: the first keeps its own
    let ran =
        world.vrift().current_dir(&other).args(["exec", "--", "chmod", "700", "tool"]).output().unwrap();
    Ran(ran).ok();
    assert_eq!(sh(&world, "hardlink", "stat -c %a tool").ok(), "755\n");
    let ran =
        world.vrift().current_dir(&other).args(["exec", "--", "stat", "-c", "%a", "tool"]).output().unwrap();
    assert_eq!(Ran(ran).ok(), "700\n");
}

#[test]
fn what_there_is_is_told() {
    needs_sessions!();
    let world = world();
    for (projection, files) in
        [("stub", &["stub"][..]), ("hardlink", &["link", "reflink"]), ("copy", &["copy", "reflink"])]
    {
        let script = "exec 3>\"$0\"; exec \"$@\"";
        let events = world.path().join("events");
        let ran = world
            .command("sh")
            .args(["-c", script])
            .arg(&events)
            .args([
                env!("CARGO_BIN_EXE_vrift"),
                "exec",
                "--projection",
                projection,
                "--status-fd",
                "3",
                "true",
            ])
            .output()
            .unwrap();
        Ran(ran).ok();
        let text = std::fs::read_to_string(&events).unwrap();
        let opened: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(opened["projection"], projection);
        assert!(files.contains(&opened["files"].as_str().unwrap()), "{opened}");
    }
    assert!(world.run(["doctor"]).ok().contains("projection"));
    let error = sh(&world, "links", "true").fails(2);
    assert!(error.contains("auto, stub, hardlink, copy"), "{error}");
}

#[test]
fn who_joins_gets_what_is_there() {
    needs_sessions!();
    let world = world();
    let (ready, go) = (world.path().join("ready"), world.path().join("go"));
    let script = format!("touch {}; until test -e {}; do sleep 0.02; done", ready.display(), go.display());
    let mut first =
        world.vrift().args(["exec", "--projection", "copy", "--", "sh", "-c", &script]).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let refused = sh(&world, "hardlink", "true").fails(125);
    let joined = sh(&world, "copy", "cat secret");
    std::fs::write(&go, "").unwrap();
    first.wait().unwrap();
    assert!(refused.contains("has the projection copy"), "{refused}");
    assert_eq!(joined.ok(), "mine\n");
}

#[test]
fn verify_knows_each_of_them() {
    needs_sessions!();
    for projection in all() {
        let world = world();
        sh(&world, projection, "echo new > new; chmod 640 new; echo other > tool; rm src/a.txt").ok();
        world.run(["fork", "f"]).ok();
        world.run(["exec", "-w", "f", "--", "sh", "-c", "echo forked > f; echo again > new"]).ok();
        for options in [&["verify"][..], &["verify", "--deep"]] {
            world.run(options.iter().copied()).ok();
        }
        let base = lowers(&world).into_iter().find(|base| base.join("new").exists()).unwrap();
        std::fs::set_permissions(base.join("tool"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let said = world.run(["verify"]);
        assert!(
            said.code() != 0 && said.stdout().contains("tool"),
            "{projection}: {}{}",
            said.stdout(),
            said.stderr()
        );
        // what another one is made instead of leaves nothing that is out of order
        world.run(["verify", "--repair"]);
        sh(&world, if projection == "copy" { "hardlink" } else { "copy" }, "cat new").ok();
        world.run(["workspace", "delete", "f"]);
        sh(&world, all()[0], "rm new").ok();
        let after = world.run(["verify"]);
        assert_eq!(after.code(), 0, "{projection}: {}", after.stdout());
    }
}

/// What was linked has the file's own mode; nobody would know of it any more.
#[test]
fn what_a_forgotten_project_linked_is_an_object_as_others_are() {
    needs_sessions!();
    let world = world();
    let other = world.path().join("other");
    assert!(world.command("cp").arg("-a").args([&world.project, &other]).status().unwrap().success());
    sh(&world, "hardlink", "true").ok();
    let there = |args: &[&str]| world.run(["-C", other.to_str().unwrap()].iter().chain(args));
    there(&["exec", "--projection", "copy", "true"]).ok();
    world.run(["project", "forget", world.project.to_str().unwrap()]).ok();
    let said = there(&["verify", "--deep"]);
    assert!(said.stdout().is_empty(), "{}", said.stdout());
    for object in world.objects() {
        assert_eq!(object.metadata().unwrap().permissions().mode() & 0o7777, 0o444, "{}", object.display());
    }
}
