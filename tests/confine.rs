//! The options that set a session apart from the machine, by their effects: what can be
//! written, what network there is, who one is, what a joiner gets.

mod support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use support::{Ran, World};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `vrift exec OPTIONS -- sh -c SCRIPT`; the options are words of one string.
fn sh(world: &World, options: &str, script: &str) -> Ran {
    let words = ["exec"].into_iter().chain(options.split_whitespace()).chain(["--", "sh", "-c", script]);
    world.run(words)
}

/// A live run that was opened with these options; it ends when its input does.
struct Opened(Child);

impl Opened {
    fn new(world: &World, options: &str) -> Self {
        let mut command = world.vrift();
        command.arg("exec").args(options.split_whitespace());
        command.args(["--", "sh", "-c", "echo ready; cat >/dev/null"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0u8; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn a_confined_home_is_read_only_but_for_declared_caches() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    std::fs::write(world.home.join(".profile"), "as it was").unwrap();
    let script = "echo x > ~/new; echo x > ~/.profile; rm ~/.profile; mkdir ~/.cargo; \
        echo x > ~/.foo/kept; echo x > ~/.npm/kept; echo x > kept; echo x > ../beside";
    let ran = sh(&world, "--confine home --cache ~/.foo --cache npm", script);
    assert_eq!(ran.stderr().matches("Read-only file system").count(), 4, "{}", ran.stderr());
    assert!(!world.home.join("new").exists() && !world.home.join(".cargo").exists());
    assert_eq!(std::fs::read_to_string(world.home.join(".profile")).unwrap(), "as it was");
    for kept in [".foo/kept", ".npm/kept", "../beside"] {
        assert_eq!(std::fs::read_to_string(world.home.join(kept)).unwrap(), "x\n", "{kept}");
    }
    assert_eq!(sh(&world, "", "cat kept; echo y > ~/new").ok(), "x\n");
    assert!(world.home.join("new").exists());
}

#[test]
fn a_cache_that_would_undo_the_confinement_is_refused() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    std::os::unix::fs::symlink(&world.home, world.home.join("me")).unwrap();
    for cache in ["/", "~/.", "~/..", "~/me", "cargoo"] {
        let error = sh(&world, &format!("--confine home --cache {cache}"), "echo x > ~/new").fails(125);
        assert!(error.contains("cache") && error.contains("hint:"), "{cache}: {error}");
    }
    assert!(!world.home.join("new").exists());
}

#[test]
fn a_run_confined_to_the_project_writes_only_there_to_tmp_and_to_binds() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    world.write("vrift.toml", "[paths]\nlive = ['data']\n");
    world.write("data/a", "host\n");
    let (bound, shown) = (world.path().join("bound"), world.path().join("shown"));
    for dir in [&bound, &shown, &world.path().join("at")] {
        std::fs::create_dir(dir).unwrap();
    }
    let mark = format!("/tmp/{}", world.path().file_name().unwrap().to_str().unwrap());
    let script = format!(
        "set -x; echo x > ../beside; echo x > ~/new; echo x > /var/tmp/vrift-no; echo x > ../shown/no; echo x > in/no; \
         echo x > kept; echo x > data/out; echo x > {mark}; echo x > ../at/kept; echo x > /dev/shm/vrift-no; \
         echo x > /dev/null; head -c1 /dev/zero | wc -c; test ! -e /dev/shm/other; cat data/a; \
         python3 -c 'import pty, os; m, s = pty.openpty(); os.write(s, b\"y\"); print(os.read(m, 1))'"
    );
    let options =
        format!("--confine host --bind {0}/bound:{0}/at --bind ../shown:in:ro", world.path().display());
    let ran = sh(&world, &options, &script);
    assert_eq!(ran.stderr().matches("Read-only file system").count(), 5, "{}", ran.stderr());
    assert!(!ran.stderr().contains("LD_PRELOAD"), "{}", ran.stderr());
    assert_eq!(ran.ok(), "1\nhost\nb'y'\n");
    for (path, there) in [
        ("beside", false),
        ("home/new", false),
        ("shown/no", false),
        ("project/kept", false),
        ("project/data/out", true),
        ("bound/kept", true),
    ] {
        assert_eq!(world.path().join(path).exists(), there, "{path}");
    }
    assert!(!Path::new("/var/tmp/vrift-no").exists() && !Path::new("/dev/shm/vrift-no").exists());
    std::fs::remove_file(mark).unwrap();
    assert_eq!(sh(&world, "", "cat kept").ok(), "x\n");
}

#[test]
fn a_build_works_in_a_run_confined_to_the_project() {
    needs_sessions!();
    let world = World::with_copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello"));
    let options = "--confine host --net none --private-tmp --setenv TMPDIR=/tmp";
    assert!(sh(&world, options, "make >/dev/null && ./hello").ok().contains("hello"));
}

#[test]
fn private_tmp_is_empty_writable_and_gone_afterwards() {
    needs_sessions!();
    for top in ["/tmp", "/var/tmp"] {
        // project and store lie in it, and are where they were
        let world = World::below(Path::new(top));
        world.write("a", "host\n");
        let own = world.path().file_name().unwrap().to_str().unwrap();
        let mine = format!("{top}/{own}-mine");
        let script = format!(
            "ls -A {top}; echo x > {mine}; cat {mine} a; echo in > b; ls ../store/inside.json; \
             ls -d ../store/objects 2>/dev/null; pwd"
        );
        let printed = sh(&world, "--private-tmp", &script).stdout();
        let expected = format!("{own}\nx\nhost\n../store/inside.json\n{}\n", world.project.display());
        assert_eq!(printed, expected);
        assert!(!Path::new(&mine).exists());
        assert_eq!(sh(&world, "", "cat b").ok(), "in\n");
    }
}

#[test]
fn without_a_network_there_is_loopback_and_nothing_else() {
    needs_sessions!();
    let world = World::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let reach = |options: &str| {
        let script = format!(
            "import socket\ns = socket.socket(); print(s.connect_ex(('127.0.0.1', {port})))\n\
             a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen()\n\
             b = socket.create_connection(a.getsockname()); print('loopback')\n\
             print(sorted(name for _, name in socket.if_nameindex()))"
        );
        world
            .run(["exec"].into_iter().chain(options.split_whitespace()).chain(["python3", "-c", &script]))
            .ok()
    };
    assert!(reach("").starts_with("0\nloopback\n"));
    for options in ["--net none", "--net own", "--net own --root"] {
        assert_eq!(reach(options), format!("{}\nloopback\n['lo']\n", libc::ECONNREFUSED), "{options}");
    }
    // who is root in an own network may add to it
    let add = "ip link add d0 type dummy 2>&1 && ip link show d0 | grep -c d0";
    assert!(sh(&world, "--net none --root", add).stdout().contains("not permitted"));
    let own = sh(&world, "--net own --root", add);
    assert!(own.stdout() == "1\n" || own.stdout().contains("Unknown device type"), "{}", own.stdout());
}

#[test]
fn who_is_root_inside_installs_and_unpacks() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let script = "id -u; id -g; install -d -o root -g root -m 755 dest; install -o root -g root -m 4755 a dest/a; \
        stat -c '%u %g %a' dest/a; tar -cf t.tar --owner=0 --group=0 dest; rm -r dest; tar -xpf t.tar; stat -c '%u %g %a' dest/a";
    assert_eq!(sh(&world, "--root", script).ok(), "0\n0\n0 0 4755\n0 0 4755\n");
    // owner is not kept, mode is
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!(sh(&world, "", "stat -c '%u %g %a' dest/a").ok(), format!("{uid} {gid} 4755\n"));
    let other = sh(&world, "--root", "chown 12345:12345 a");
    if is_root() {
        other.ok();
        // taken in, it is the caller's like everything
        assert_eq!(sh(&world, "", "stat -c '%u %g' a").ok(), "0 0\n");
        let script = "chown 12345 a; python3 -c 'import os; os.setgid(7); os.setuid(12345); open(\"a\", \"a\").write(\"y\")'; cat a";
        assert_eq!(sh(&world, "", script).ok(), "xy");
    } else {
        assert!(other.fails(1).contains("Invalid argument"));
    }
}

#[test]
fn the_environment_is_the_commands_own() {
    needs_sessions!();
    let world = World::new();
    let mut command = world.vrift();
    command.env("SECRET", "s").args(["exec", "--clear-env", "--setenv", "A=1", "--setenv", "A=2 =3"]);
    let printed = Ran(command.args(["--", "/usr/bin/env"]).output().unwrap()).ok();
    assert!(printed.contains("A=2 =3\n") && printed.contains("VRIFT_WORKSPACE=main\n"), "{printed}");
    assert!(!printed.contains("SECRET") && !printed.contains("HOME="), "{printed}");
    assert!(sh(&world, "--setenv A", "true").fails(2).contains("`A` is no value"));
    // each command has its own, in a joined session and in a run within a run too
    let opened = Opened::new(&world, "--setenv B=1");
    assert_eq!(sh(&world, "--setenv C=2", "echo $B-$C").ok(), "-2\n");
    opened.end();
    let nested = format!("{} exec --setenv D=4 sh -c 'echo $D'", env!("CARGO_BIN_EXE_vrift"));
    assert_eq!(sh(&world, "", &nested).ok(), "4\n");
}

#[test]
fn who_joins_gets_the_session_as_it_is_or_is_refused() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let opened = Opened::new(&world, "--confine home --net none --root");
    let script =
        "id -u; echo x > ~/new; python3 -c 'import socket; print([n for _, n in socket.if_nameindex()])'";
    let ran = sh(&world, "", script);
    assert_eq!(ran.stdout(), "0\n['lo']\n");
    assert!(ran.stderr().contains("Read-only"), "{}", ran.stderr());
    sh(&world, "--confine home --net none --root --setenv A=1", "true").ok();
    for (options, named) in [
        ("--confine none", "confine"),
        ("--confine host", "confine"),
        ("--net own", "net"),
        ("--private-tmp", "private-tmp"),
        ("--bind /usr:/mnt", "bind"),
        ("--bind /usr:usr", "rules for paths"),
        ("--limit pids=5", "limit"),
        ("--cache npm", "caches"),
        ("--config run.net=host", "net"),
        ("--config run.root=false", "root"),
    ] {
        let error = sh(&world, options, "echo ran").fails(125);
        assert!(error.contains(named) && error.contains("fork"), "{options}: {error}");
    }
    opened.end();
    assert!(!world.home.join("new").exists());
}

#[test]
fn a_profile_counts_when_it_is_named_and_what_widens_after_allow() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let toml = "[profile.ci]\nconfine = 'home'\nnet = 'none'\ncaches = ['~/.foo']\nsetenv = ['CI=1']\n";
    world.write("vrift.toml", toml);
    let script = "echo ${CI-unset}; grep -c : /proc/net/dev; echo x > ~/new; echo x > ~/.foo/x";
    let plain = sh(&world, "", "echo ${CI-unset}; echo x > ~/old");
    assert!(!plain.stderr().contains("allow"), "{}", plain.stderr());
    assert_eq!(plain.ok(), "unset\n");
    // what narrows counts at once
    let ran = sh(&world, "--profile ci", script);
    assert!(ran.stdout().starts_with("unset\n1\n"), "{}", ran.stdout());
    assert!(ran.stderr().contains("profile.ci.caches, profile.ci.setenv in vrift.toml"), "{}", ran.stderr());
    assert!(!world.home.join("new").exists() && !world.home.join(".foo").exists());
    world.run(["allow"]).ok();
    let ran = sh(&world, "--profile ci", script);
    assert!(ran.stdout().starts_with("1\n1\n"), "{}", ran.stdout());
    assert!(!world.home.join("new").exists() && world.home.join(".foo/x").exists());
    let error = sh(&world, "--profile cj", "true").fails(2);
    assert!(error.contains("no profile `cj`") && error.contains("`ci`"), "{error}");
    let shown = world.run(["config"]).ok();
    assert!(shown.contains("profile.ci.net = \"none\""), "{shown}");
}

#[test]
fn no_project_takes_back_what_the_user_says() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let user = world.home.join(".config/vrift");
    std::fs::create_dir_all(&user).unwrap();
    std::fs::write(user.join("config.toml"), "[run]\nconfine = 'home'\n").unwrap();
    world.write("vrift.toml", "[run]\nconfine = 'none'\n[profile.open]\nconfine = 'none'\n");
    world.run(["allow"]).ok();
    for options in ["", "--profile open"] {
        assert!(sh(&world, options, "echo x > ~/new").fails(2).contains("Read-only"), "{options}");
    }
    sh(&world, "--confine none", "echo x > ~/new").ok();
}

#[test]
fn a_bind_never_shows_the_store() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let (top, store) = (world.path().display(), world.store.display());
    std::fs::create_dir_all(world.path().join("at")).unwrap();
    sh(&world, "", "echo secret > a").ok();
    for options in [format!("--bind {top}:{top}/at"), format!("--bind {top}:{top}/at:ro --confine host")] {
        let ran = sh(&world, &options, "ls ../at/home; ls -A ../at/store; cat ../at/project/a").ok();
        assert!(
            ran.contains("inside.json") && !ran.contains("objects") && ran.ends_with("secret\n"),
            "{ran}"
        );
    }
    for options in [
        format!("--bind {top}:in"),
        format!("--bind {store}/objects:in"),
        format!("--bind {store}/objects:{top}/at"),
        format!("--bind /usr:{store}"),
        format!("--bind /usr:{top}"),
        format!("--bind /usr:{}", world.project.display()),
        format!("--bind {top}/project:{top}/store/x"),
        "--bind /usr:/no/such/place".into(),
        "--bind /usr/bin/env:/mnt".into(),
        "--bind /:/mnt --confine host".into(),
    ] {
        let error = sh(&world, &options, "ls -A ../store ../at in").fails(125);
        assert!(error.contains("error:"), "{options}: {error}");
    }
}

#[test]
fn a_limit_that_cannot_be_held_is_refused_with_the_reason() {
    needs_sessions!();
    let world = World::new();
    let ran = sh(
        &world,
        "--limit pids=30",
        "sh -c 'for i in $(seq 40); do sleep 5 & done' 2>&1; cat /proc/self/cgroup",
    );
    if ran.code() == 125 {
        let error = ran.stderr();
        assert!(error.contains("cannot limit `pids=30`") && error.contains("systemd-run"), "{error}");
        assert!(world.staging().is_empty());
    } else {
        // delegated here: the fork fails, and the group goes with the session
        let printed = ran.stdout();
        assert!(printed.contains("fork") && printed.contains("vrift-"), "{printed}");
    }
    for (limit, why) in [("pids=0", "as in"), ("cpu=1", "none of mem"), ("", "as in")] {
        let mut command = world.vrift();
        let ran = Ran(command.args(["exec", "--limit", limit, "true"]).output().unwrap());
        assert!(ran.fails(2).contains(why), "{limit}");
    }
}

#[test]
fn the_plan_shows_every_step() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let options =
        "exec --dry-run --confine host --net none --private-tmp --cache go --bind /usr:/mnt:ro true";
    let plan = world.run(options.split_whitespace()).ok();
    for step in [
        "private-mounts",
        "read-only `/` but",
        "go/pkg/mod",
        "bind `/usr` at `/mnt` read-only",
        "fresh `/tmp`",
        "fresh `/dev`",
        "loopback",
    ] {
        assert!(plan.contains(step), "{step}: {plan}");
    }
    assert!(!world.home.join("go").exists());
}

/// Mounts something on the host for as long as it lives.
struct HostMount(std::path::PathBuf);

impl HostMount {
    fn new(args: &[&str], at: &Path) -> Option<Self> {
        let mounted = std::process::Command::new("mount").args(args).arg(at).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_path_buf()))
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_the_host_mounts_later_does_not_open_a_confined_session() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let at = world.path().join("later");
    std::fs::create_dir(&at).unwrap();
    // what propagates comes from a shared mount
    let Some(_shared) = HostMount::new(&["--bind", at.to_str().unwrap()], &at) else {
        return eprintln!("skipped: mounting on the host is root's");
    };
    let share = std::process::Command::new("mount").arg("--make-shared").arg(&at).status();
    assert!(share.unwrap().success());
    std::fs::create_dir(at.join("fs")).unwrap();
    for (options, appears) in [("", true), ("--confine host", false), ("--confine home", false)] {
        let mut command = world.vrift();
        command.arg("exec").args(options.split_whitespace()).args(["--", "sh", "-c"]);
        let script = "echo ready; read line; test -e ../later/fs/mark && echo seen; echo x > ../later/fs/written; true";
        let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0u8; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        let mounted = HostMount::new(&["-t", "tmpfs", "none"], &at.join("fs")).unwrap();
        std::fs::write(at.join("fs/mark"), "").unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout) == "seen\n", appears, "{options}");
        assert_eq!(at.join("fs/written").exists(), appears, "{options}");
        drop(mounted);
        let _ = std::fs::remove_file(at.join("fs/written"));
    }
}

#[test]
fn a_store_that_is_seen_twice_is_covered_twice() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let again = world.path().join("again");
    std::fs::create_dir(&again).unwrap();
    sh(&world, "", "echo secret > a").ok();
    let Some(_mount) = HostMount::new(&["--bind", world.path().to_str().unwrap()], &again) else {
        return eprintln!("skipped: mounting on the host is root's");
    };
    let printed = sh(&world, "", "ls -A ../again/store ../again/again; cat a").ok();
    assert!(!printed.contains("objects") && printed.ends_with("secret\n"), "{printed}");
}
