//! What is declared not to change (`[tier1]`): shown as on the host, read-only, in the project and
//! outside; checked again at each start.

mod support;

use support::{Ran, World};

fn sh(world: &World, options: &[&str], script: &str) -> Ran {
    world.run([&["exec"], options, &["--", "sh", "-c", script]].concat())
}

fn with_vendor() -> World {
    let world = World::new();
    world.write("vrift.toml", "[tier1]\npaths = ['vendor', 'node_modules']\nexcept = ['vendor/cache']\n");
    world.write(".git/info/exclude", "node_modules\ndist\n");
    world.write("vendor/lib/a.c", "int a;\n");
    world.write("vendor/cache/old", "old\n");
    world.write("sub/node_modules/x/dist/x.js", "x\n");
    world.write("sub/node_modules/.cache/seen", "1\n");
    world
}

#[test]
fn in_the_project_it_is_read_only_but_for_what_tools_write() {
    needs_sessions!();
    let world = with_vendor();
    let tries = "cat vendor/lib/a.c sub/node_modules/x/dist/x.js;
        for what in 'echo > vendor/lib/a.c' 'rm -f vendor/lib/a.c' 'mkdir vendor/new' 'mv sub/node_modules/x sub/y' 'touch sub/node_modules/x/dist/x.js'; do
            (eval \"$what\") 2>&1 | grep -o 'Read-only file system'
        done
        echo new > vendor/cache/new && echo 2 > sub/node_modules/.cache/seen && echo ok > sub/beside; cat vendor/cache/new";
    let expected = format!("int a;\nx\n{}new\n", "Read-only file system\n".repeat(5));
    assert_eq!(sh(&world, &[], tries).ok(), expected);
    // what was written beside it, and in the exceptions, is kept
    let read = "cat vendor/cache/new vendor/cache/old sub/node_modules/.cache/seen sub/beside";
    assert_eq!(sh(&world, &[], read).ok(), "new\nold\n2\nok\n");
    assert_eq!(world.read("sub/node_modules/.cache/seen"), "1\n");
    let said = world.run(["doctor", "vendor/lib/a.c"]).ok();
    assert!(
        said.contains("is tier1, as all of `vendor`") && said.contains("EROFS") && said.contains("--unlock"),
        "{said}"
    );
    assert!(world.run(["doctor", "vendor/cache/new"]).ok().contains("is own"));
    assert!(world.run(["status", "--paths"]).ok().contains("tier1    `sub/node_modules`"));
}

#[test]
fn it_follows_the_host_by_its_directories_and_all_of_it_by_sync() {
    needs_sessions!();
    let world = with_vendor();
    let look = "find vendor sub/node_modules -type f -not -path '*cache*' | sort; cat vendor/lib/* sub/node_modules/x/dist/*";
    sh(&world, &[], "true").ok();
    // names come and go
    world.edit("vendor/lib/b.c", "int b;\n");
    world.edit("sub/node_modules/y/z/deep.js", "deep\n");
    std::fs::remove_file(world.project.join("sub/node_modules/x/dist/x.js")).unwrap();
    std::fs::write(world.project.join("sub/node_modules/x/dist/new.js"), "new\n").unwrap();
    let seen = sh(&world, &[], look).ok();
    assert_eq!(
        seen,
        "sub/node_modules/x/dist/new.js\nsub/node_modules/y/z/deep.js\nvendor/lib/a.c\nvendor/lib/b.c\nint a;\nint b;\nnew\n"
    );
    // a directory goes as a whole
    std::fs::remove_dir_all(world.project.join("sub/node_modules/y")).unwrap();
    assert!(!sh(&world, &[], look).ok().contains("deep.js"));
    // a file that is changed in place is not looked for at a start
    sh(&world, &[], "true").ok();
    world.edit("vendor/lib/a.c", "int c;\n");
    assert!(sh(&world, &[], look).ok().contains("int a;"));
    world.run(["sync"]).ok();
    assert!(sh(&world, &[], look).ok().contains("int c;"));
    // but the rest of the project is
    world.edit("sub/beside", "edited\n");
    assert_eq!(sh(&world, &[], "cat sub/beside").ok(), "edited\n");
}

#[test]
fn for_one_run_it_can_be_unlocked() {
    needs_sessions!();
    let world = with_vendor();
    sh(&world, &["--unlock", "vendor"], "echo mine > vendor/lib/a.c").ok();
    let script = "cat vendor/lib/a.c; (echo > vendor/lib/a.c) 2>/dev/null || echo refused";
    assert_eq!(sh(&world, &[], script).ok(), "mine\nrefused\n");
    assert_eq!(world.read("vendor/lib/a.c"), "int a;\n");
    // nobody who takes part in a session gets what it has not
    let (ready, go) = (world.path().join("ready"), world.path().join("go"));
    let wait = format!("touch {}; until test -e {}; do sleep 0.02; done", ready.display(), go.display());
    let mut first = world.vrift().args(["exec", "--", "sh", "-c", &wait]).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let refused = sh(&world, &["--unlock", "vendor"], "true").fails(125);
    std::fs::write(&go, "").unwrap();
    first.wait().unwrap();
    assert!(refused.contains("unlock"), "{refused}");
}

#[test]
fn outside_of_the_project_it_is_shown_at_the_same_path_after_allow() {
    needs_sessions!();
    for projection in ["stub", "hardlink", "copy"] {
        let world = World::new();
        let tools = world.path().join("tools");
        std::fs::create_dir_all(tools.join("bin")).unwrap();
        std::fs::write(tools.join("bin/tool"), "#!/bin/sh\necho one\n").unwrap();
        std::fs::write(tools.join("bin/data"), "data\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(tools.join("bin/tool"), mode).unwrap();
        world.write("vrift.toml", format!("[tier1]\npaths = ['{}']\n", tools.display()));
        let tool = tools.join("bin/tool");
        let options = ["--projection", projection];
        // it is the host's own until the user agrees
        let ran =
            sh(&world, &options, &format!("{}; echo two >> {}/bin/data", tool.display(), tools.display()));
        assert!(ran.stderr().contains("vrift allow"), "{}", ran.stderr());
        assert_eq!(ran.ok(), "one\n");
        assert_eq!(std::fs::read_to_string(tools.join("bin/data")).unwrap(), "data\ntwo\n");
        world.run(["allow"]).ok();
        let script = format!(
            "{}; cat {d}/bin/data; (echo x > {d}/bin/data) 2>&1 | grep -o 'Read-only.*'; rm -rf {d}/bin 2>/dev/null; ls {d}/bin",
            tool.display(),
            d = tools.display()
        );
        assert_eq!(
            sh(&world, &options, &script).ok(),
            "one\ndata\ntwo\nRead-only file system\ndata\ntool\n",
            "{projection}"
        );
        // host edits, as far as directories show them; then those that they do not
        std::fs::write(tools.join("bin/more"), "more\n").unwrap();
        let ls = format!("ls {}/bin", tools.display());
        assert_eq!(sh(&world, &options, &ls).ok(), "data\nmore\ntool\n", "{projection}");
        assert_eq!(
            sh(
                &world,
                &["--unlock", tools.to_str().unwrap()],
                &format!("echo three > {}/bin/three", tools.display())
            )
            .ok(),
            ""
        );
        assert_eq!(sh(&world, &["--no-sync"], &ls).ok(), "data\nmore\ntool\n");
        assert_eq!(sh(&world, &options, &ls).ok(), "data\nmore\nthree\ntool\n");
        // what it is made of is kept as long as it is declared
        world.run(["gc", "--grace", "0"]).ok();
        assert_eq!(sh(&world, &options, &tool.display().to_string()).ok(), "one\n");
        let said = world.run(["doctor".as_ref(), tool.as_os_str()]).ok();
        assert!(said.contains("is tier1"), "{said}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    needs_sessions!();
    let world = World::new();
    for (path, why) in [
        (world.path().display().to_string(), "lies"),
        (world.project.display().to_string(), "lies"),
        ("../x".into(), "outside the project"),
    ] {
        world.write("vrift.toml", format!("[tier1]\npaths = ['{path}']\n"));
        let _ = world.run(["allow"]);
        let ran = sh(&world, &[], "true");
        assert!(
            ran.code() == 125 && ran.stderr().contains(why) && ran.stderr().contains("hint"),
            "{path}: {}",
            ran.stderr()
        );
    }
}
