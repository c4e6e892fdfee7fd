//! What keeps stored contents from being changed: each level is tried by writing to an object as
//! its owner, with and without vrift in between. What came out is in docs/platforms.md.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Ran, World};
use vrift::cas::protect::Means;
use vrift::config::protect::Method;
use vrift::os::immutable;

const TOOL: &str = "#!/bin/sh\necho tool\n";

/// A project with a directory outside of it that is declared not to change, and allowed.
fn with_tools() -> World {
    let world = World::new();
    let tools = world.path().join("tools");
    std::fs::create_dir_all(tools.join("bin")).unwrap();
    for (name, text, mode) in [("tool", TOOL, 0o755), ("data", "data\n", 0o644), ("same", "data\n", 0o640)] {
        std::fs::write(tools.join("bin").join(name), text).unwrap();
        std::fs::set_permissions(tools.join("bin").join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    world.write("vrift.toml", format!("[tier1]\npaths = ['{}', 'vendor']\n", tools.display()));
    world.write("vendor/v", "vendored\n");
    world.write("mine", "mine\n");
    // said, it need not wait until all is on the disk
    let user = world.home.join(".config/vrift");
    std::fs::create_dir_all(&user).unwrap();
    std::fs::write(user.join("config.toml"), "[protect]\nobjects = 'tier1'\n").unwrap();
    world.run(["sync"]).ok();
    world.run(["allow"]).ok();
    world
}

fn object(world: &World, text: &str) -> PathBuf {
    world.store.join("objects").join(vrift::cas::Digest::of(text.as_bytes()).object_path())
}

fn is_immutable(path: &Path) -> bool {
    immutable::is_set(std::fs::File::open(path).unwrap())
}

/// What its owner can do to a file: `write`, `chmod` and `rename`, each as far as it works.
fn can(path: &Path) -> Vec<&'static str> {
    let mut done = Vec::new();
    let mode = path.metadata().unwrap().permissions();
    if std::fs::OpenOptions::new().append(true).open(path).is_ok() {
        done.push("write");
    }
    let writable = PermissionsExt::from_mode(mode.mode() | 0o200);
    if std::fs::set_permissions(path, writable).is_ok() {
        done.push("chmod");
        if std::fs::OpenOptions::new().append(true).open(path).is_ok() {
            done.push("write after chmod");
        }
        std::fs::set_permissions(path, mode).unwrap();
    }
    let other = path.with_extension("x");
    if std::fs::rename(path, &other).is_ok() {
        std::fs::rename(&other, path).unwrap();
        done.push("rename");
    }
    done
}

/// Whether this process may make files immutable where the tests run; else said.
fn may() -> bool {
    match Means::find(&std::env::temp_dir(), &[Method::Immutable]) {
        (Some(Means::Immutable), _) => true,
        (_, why) => {
            eprintln!("skipped: {why:?}");
            false
        }
    }
}

/// Whether files of a tree share blocks with objects, and are never linked to them.
fn reflinks(world: &World) -> bool {
    let page: serde_json::Value = serde_json::from_str(&world.run(["doctor", "--json"]).ok()).unwrap();
    let mut checks = page["checks"].as_array().unwrap().iter();
    checks.any(|check| check["name"] == "reflink" && check["found"] == "works")
}

fn run(world: &World, settings: &[(&str, &str)], words: &[&str]) -> Ran {
    Ran(world.vrift().envs(settings.iter().copied()).args(words).output().unwrap())
}

#[test]
fn without_any_the_mode_stops_a_write_and_not_its_owner() {
    needs_sessions!();
    let world = with_tools();
    let none = [("VRIFT_PROTECT_OBJECTS", "none")];
    run(&world, &none, &["exec", "--projection", "copy", "--", "true"]).ok();
    let tool = object(&world, TOOL);
    assert!(!is_immutable(&tool));
    let root = rustix::process::geteuid().is_root();
    let all = ["write", "chmod", "write after chmod", "rename"];
    assert_eq!(can(&tool), if root { &all[..] } else { &all[1..] });
    // with vrift in between nobody gets there
    let script = format!(
        "test ! -e {}; echo more >> mine; (echo > vendor/v) 2>/dev/null || echo refused",
        tool.display()
    );
    assert_eq!(run(&world, &none, &["exec", "--", "sh", "-ec", &script]).ok(), "refused\n");
    assert_eq!(std::fs::read(object(&world, "mine\n")).unwrap(), b"mine\n");
}

#[test]
fn what_is_declared_not_to_change_is_immutable_and_all_works_as_before() {
    needs_sessions!();
    if !may() {
        return;
    }
    for projection in ["stub", "hardlink", "copy"] {
        let world = with_tools();
        let ran = world.run(["exec", "--projection", projection, "--", "true"]);
        if projection == "stub" && ran.code() != 0 {
            eprintln!("without stubs: {}", ran.stderr());
            continue;
        }
        ran.ok();
        for text in [TOOL, "data\n"] {
            assert!(is_immutable(&object(&world, text)), "{projection}: {text}");
            assert_eq!(can(&object(&world, text)), [] as [&str; 0]);
        }
        assert!(!is_immutable(&object(&world, "mine\n")));
        // in the project: not where a link of the project's own tree may be the object
        let links = projection == "hardlink" && !reflinks(&world);
        assert_eq!(is_immutable(&object(&world, "vendored\n")), !links, "{projection}");
        // contents that a run writes and that are there already, for a path of its own
        let script = format!(
            "cp {tools}/bin/tool copy; printf 'data\\n' > d; echo x >> mine; ./copy; {tools}/bin/tool; cat vendor/v",
            tools = world.path().join("tools").display()
        );
        let options = ["exec", "--unlock", "vendor", "--projection", projection, "--", "sh", "-ec"];
        let written = format!("{script}; echo more >> vendor/v; rm -f vendor/new");
        assert_eq!(
            world.run(options.iter().copied().chain([written.as_str()])).ok(),
            "tool\ntool\nvendored\n"
        );
        let read = [
            "exec",
            "--projection",
            projection,
            "--",
            "sh",
            "-ec",
            "echo y >> copy; echo z >> d; cat d mine vendor/v",
        ];
        assert_eq!(world.run(read).ok(), "data\nz\nmine\nx\nvendored\nmore\n", "{projection}");
        world.run(["verify", "--deep"]).ok();
        // another file of it: linked to the trees made anew, and set again
        std::fs::write(world.path().join("tools/bin/more"), "more data\n").unwrap();
        world.run(["exec", "--projection", projection, "--", "true"]).ok();
        assert!([TOOL, "data\n", "more data\n"].iter().all(|text| is_immutable(&object(&world, text))));
        // what is declared no more is no longer kept, and goes
        world.write("vrift.toml", "");
        world.run(["exec", "--projection", projection, "--", "rm", "-f", "copy", "d"]).ok();
        world.run(["gc", "--grace", "0"]).ok();
        assert!(!object(&world, "more data\n").exists(), "{projection}");
        world.run(["verify"]).ok();
        world.run(["store", "destroy", "--yes"]).ok();
        assert!(!world.store.exists(), "{projection}");
    }
}

/// To set the flag on a file writes it out: nobody who has not asked waits for that.
#[test]
fn unasked_a_start_does_not_wait_for_the_disk() {
    needs_sessions!();
    if !may() {
        return;
    }
    let world = with_tools();
    std::fs::remove_file(world.home.join(".config/vrift/config.toml")).unwrap();
    world.run(["exec", "true"]).ok();
    assert!(!is_immutable(&object(&world, TOOL)));
    std::fs::write(world.home.join(".config/vrift/config.toml"), "[protect]\nobjects = 'tier1'\n").unwrap();
    world.run(["exec", "true"]).ok();
    assert!(is_immutable(&object(&world, TOOL)));
}

#[test]
fn as_links_it_is_one_inode_for_all_projects() {
    needs_sessions!();
    let world = with_tools();
    let tools = world.path().join("tools");
    let second = world.path().join("second");
    std::fs::create_dir_all(second.join(".git")).unwrap();
    std::fs::write(second.join("vrift.toml"), format!("[tier1]\npaths = ['{}']\n", tools.display())).unwrap();
    let look = format!("cd {}/bin; stat -c '%n %a %Y' *; ./tool", tools.display());
    let expected = "data 444 315619200\nsame 640 0\ntool 555 315619200\ntool\n";
    for (project, verb) in
        [(&world.project, "exec"), (&second, "sync"), (&second, "allow"), (&second, "exec")]
    {
        let mut words = vec![verb];
        if verb == "exec" {
            words.extend(["--projection", "hardlink", "--", "sh", "-ec", &look]);
        }
        let said = Ran(world.vrift().current_dir(project).args(words).output().unwrap()).ok();
        if verb == "exec" {
            // only who may read it reads it: that one is as on the host
            let same = std::fs::metadata(tools.join("bin/same")).unwrap().mtime().to_string();
            assert_eq!(said, expected.replace("640 0", &format!("640 {same}")));
        }
    }
    // its own name, and one in each project
    assert_eq!(object(&world, TOOL).metadata().unwrap().nlink(), 3);
    world.run(["verify", "--deep"]).ok();
    // a path that can be written has a file of its own
    let script =
        format!("cp -p {}/bin/data mine2; chmod u+w mine2; echo x >> mine2; cat mine2", tools.display());
    assert_eq!(world.run(["exec", "--projection", "hardlink", "--", "sh", "-ec", &script]).ok(), "data\nx\n");
    assert_eq!(std::fs::read(object(&world, "data\n")).unwrap(), b"data\n");
}

#[test]
fn on_request_all_contents_are_and_stubs_are_written_as_before() {
    needs_sessions!();
    if !may() {
        return;
    }
    let world = with_tools();
    let all = [("VRIFT_PROTECT_OBJECTS", "all")];
    let kind = run(&world, &all, &["exec", "--", "stat", "-c", "%h", "mine"]);
    kind.ok();
    assert!(!is_immutable(&object(&world, "mine\n")));
    let said = run(&world, &all, &["gc", "--json"]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["protected"]["by"], "chattr +i");
    let shared = object(&world, "mine\n").metadata().unwrap().nlink() > 1;
    assert_eq!(is_immutable(&object(&world, "mine\n")), !shared);
    let script = "echo more >> mine; mv mine moved; cat moved; rm moved";
    assert_eq!(run(&world, &all, &["exec", "--", "sh", "-ec", script]).ok(), "mine\nmore\n");
    run(&world, &all, &["undo"]).ok();
    assert_eq!(run(&world, &all, &["exec", "--projection", "hardlink", "--", "cat", "mine"]).ok(), "mine\n");
    run(&world, &all, &["verify", "--deep"]).ok();
    assert!(world.run(["doctor"]).ok().contains("chattr +i"));
}

/// As an ordinary user, by the program that was given the capability.
#[test]
fn an_ordinary_user_has_it_by_the_helper() {
    needs_sessions!();
    if !may() {
        return;
    }
    let world = with_tools();
    let (bin, user) = (world.path().join("bin"), world.path().join("user"));
    for dir in [&bin, &user, &user.join("project"), &user.join("project/.git"), &user.join("tools")] {
        std::fs::create_dir(dir).unwrap();
    }
    for program in [env!("CARGO_BIN_EXE_vrift"), env!("CARGO_BIN_EXE_vrift-immutable")] {
        std::fs::copy(program, bin.join(Path::new(program).file_name().unwrap())).unwrap();
    }
    let helper = bin.join("vrift-immutable");
    let given = Command::new("setcap").arg("cap_linux_immutable=ep").arg(&helper).output();
    if !given.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: setcap is not there, or refused");
        return;
    }
    std::fs::write(user.join("tools/t"), "tier1\n").unwrap();
    std::fs::write(user.join("project/mine"), "mine\n").unwrap();
    std::fs::write(
        user.join("project/vrift.toml"),
        format!("[tier1]\npaths = ['{}']\n", user.join("tools").display()),
    )
    .unwrap();
    // gets at it whatever is above
    let chowned = Command::new("chown").args(["-R", "1000:1000"]).arg(&user).status().unwrap();
    assert!(chowned.success());
    for dir in world.path().ancestors().take_while(|dir| dir.starts_with(std::env::temp_dir())) {
        let mode = dir.metadata().unwrap().mode();
        if dir != std::env::temp_dir() {
            std::fs::set_permissions(dir, PermissionsExt::from_mode(mode | 0o055)).unwrap();
        }
    }
    let store = user.join("store");
    let as_user = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]).args(words);
        command.current_dir(user.join("project")).env("HOME", &user).env("VRIFT_STORE", &store);
        command.env("VRIFT_GC_AUTO", "false").env_remove("VRIFT_RUN_PROJECTION");
        command.env("VRIFT_PROTECT_OBJECTS", "tier1");
        Ran(command.output().unwrap())
    };
    let vrift = bin.join("vrift");
    let vrift = vrift.to_str().unwrap();
    let reached = as_user(&[vrift, "exec", "true"]);
    if reached.code() != 0 {
        eprintln!("skipped: an ordinary user does not get here: {}", reached.stderr());
        return;
    }
    as_user(&[vrift, "allow"]).ok();
    let tool = store.join("objects").join(vrift::cas::Digest::of(b"tier1\n").object_path());
    let ran = as_user(&[
        vrift,
        "exec",
        "--projection",
        "copy",
        "--",
        "cat",
        user.join("tools/t").to_str().unwrap(),
    ]);
    assert_eq!(ran.ok(), "tier1\n");
    assert!(is_immutable(&tool), "{}", as_user(&[vrift, "doctor"]).stdout());
    assert!(as_user(&[vrift, "doctor"]).stdout().contains("by vrift-immutable"));
    let script =
        format!("chmod u+w {0} || echo >> {0} || mv {0} {0}x || rm -f {0} || echo refused", tool.display());
    assert_eq!(as_user(&["sh", "-c", &script]).stdout(), "refused\n");
    // it touches nothing else: neither what is no object, nor what is another's
    let helper = helper.to_str().unwrap();
    let elsewhere = format!("printf '../format.json\\0' | {helper} set {}", store.display());
    assert_ne!(as_user(&["sh", "-c", &elsewhere]).code(), 0);
    let no_store = format!("printf 'aa/aaaaaaaaaaaaaaaaaaaa\\0' | {helper} set {}", user.display());
    assert_ne!(as_user(&["sh", "-c", &no_store]).code(), 0);
    // inside of a run it has nothing to offer
    let inside = as_user(&[vrift, "exec", "--", helper, "try", "."]);
    assert_ne!(inside.code(), 0);
    // and what it set goes with the object
    std::fs::write(user.join("project/vrift.toml"), "").unwrap();
    as_user(&[vrift, "exec", "true"]).ok();
    as_user(&[vrift, "gc", "--grace", "0"]).ok();
    assert!(!tool.exists());
    std::fs::write(
        user.join("project/vrift.toml"),
        format!("[tier1]\npaths = ['{}']\n", user.join("tools").display()),
    )
    .unwrap();
    as_user(&[vrift, "exec", "true"]).ok();
    as_user(&[vrift, "store", "destroy", "--yes"]).ok();
    assert!(!store.exists());
}

#[test]
fn by_verity_nobody_writes_where_the_filesystem_has_it() {
    needs_sessions!();
    let world = with_tools();
    let verity = [("VRIFT_PROTECT_BY", "verity"), ("VRIFT_PROTECT_OBJECTS", "all")];
    run(&world, &verity, &["exec", "--", "true"]).ok();
    if let (None, why) = Means::find(&world.store, &[Method::Verity]) {
        // said as it is, and nobody's start fails by it
        assert!(run(&world, &verity, &["doctor"]).ok().contains("fs-verity:"));
        eprintln!("skipped: {why:?}");
        return;
    }
    let said = run(&world, &verity, &["gc", "--json"]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["protected"]["by"], "fs-verity");
    for text in [TOOL, "mine\n", "vendored\n"] {
        assert_eq!(can(&object(&world, text)), ["chmod", "rename"], "{text}");
    }
    let script = "echo more >> mine; mv mine moved; cat moved vendor/v; rm moved";
    assert_eq!(run(&world, &verity, &["exec", "--", "sh", "-ec", script]).ok(), "mine\nmore\nvendored\n");
    run(&world, &verity, &["verify", "--deep"]).ok();
    run(&world, &verity, &["gc", "--grace", "0"]).ok();
    run(&world, &verity, &["store", "destroy", "--yes"]).ok();
}
