//! What others on the machine, a hostile repository and a hostile tree reach: nothing but
//! what SECURITY.md says.

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use support::{Ran, World, listing};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A session that lives until it is told to end.
struct Live(Child);

impl Live {
    fn new(world: &World, umask: &str) -> Self {
        let script =
            format!("umask {umask}; exec \"$0\" exec -- sh -c 'echo up; read line || :; echo end > ended'");
        let mut command = world.command("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_vrift")]).stderr(Stdio::piped());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        Self(child)
    }

    fn end(mut self) -> Ran {
        drop(self.0.stdin.take());
        Ran(self.0.wait_with_output().unwrap())
    }
}

#[test]
fn the_store_and_its_sockets_are_the_owners_alone_whatever_the_umask() {
    needs_sessions!();
    for umask in ["000", "002", "022", "027", "077"] {
        for there in [false, true] {
            let world = World::new();
            world.write("a", "x");
            if there {
                // one who makes the directory first gets it closed
                std::fs::create_dir(&world.store).unwrap();
                std::fs::set_permissions(&world.store, PermissionsExt::from_mode(0o777)).unwrap();
            }
            let live = Live::new(&world, umask);
            let mode = |path: &Path| path.symlink_metadata().unwrap().mode();
            assert_eq!(mode(&world.store) & 0o7777, 0o700, "{umask}");
            let mut sockets = 0;
            for entry in walkdir::WalkDir::new(&world.store).max_depth(5).into_iter().flatten() {
                let (path, mode) = (entry.path(), mode(entry.path()));
                let relative = path.strip_prefix(&world.store).unwrap();
                let kind = entry.file_type();
                if std::os::unix::fs::FileTypeExt::is_socket(&kind) {
                    sockets += 1;
                    assert_eq!(mode & 0o7777, 0o600, "{umask}: {}", path.display());
                }
                // what is between the store and an upper, a lower or an object
                let above = ["objects", "projects", "psfs"].iter().any(|name| relative == Path::new(name));
                let project = relative.starts_with("projects") && relative.components().count() <= 3;
                if kind.is_dir() && (above || project) {
                    assert_eq!(mode & 0o077, 0, "{umask}: {}", path.display());
                }
            }
            assert!(sockets >= 1);
            live.end().ok();
        }
    }
}

fn socket_of(world: &World) -> PathBuf {
    world.staging().into_iter().map(|dir| dir.join("socket")).find(|path| path.exists()).unwrap()
}

fn dial(path: &Path) -> std::io::Result<std::os::fd::OwnedFd> {
    let dir = std::fs::File::open(path.parent().unwrap())?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // the path itself may be longer than an address can be
    let address = format!("/proc/self/fd/{}/socket", std::os::fd::AsRawFd::as_raw_fd(&dir));
    rustix::net::connect(&socket, &SocketAddrUnix::new(address)?)?;
    Ok(socket)
}

#[test]
fn garbage_on_the_sessions_socket_ends_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let live = Live::new(&world, "022");
    let socket = socket_of(&world);
    let mut runner = TestRunner::deterministic();
    // tags that ask, with numbers that are none; what ends the session is left out: it is
    // the same user's right
    let words = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        (0u8..9, any::<[u8; 3]>(), any::<i32>())
            .prop_filter("STOP 0 ends all", |(tag, ..)| *tag != 6)
            .prop_map(|(tag, [flag, _, _], number)| [&[tag, flag, 0, 0][..], &number.to_ne_bytes()].concat()),
        Just(vec![0; 100_000]),
    ];
    let mut kept = Vec::new();
    for round in 0..400 {
        let Ok(connection) = dial(&socket) else { continue };
        let bytes = words.new_tree(&mut runner).unwrap().current();
        // HELLO makes a launcher of who says it, and its end is that launcher's
        if bytes.first() != Some(&2) {
            let _ = rustix::net::send(&connection, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
        if round % 4 == 0 {
            kept.push(connection);
        }
        if round % 100 == 0 {
            assert_eq!(world.exec(["cat", "a"]).ok(), "x");
        }
    }
    drop(kept);
    assert_eq!(world.exec(["cat", "a"]).ok(), "x");
    live.end().ok();
    assert_eq!(world.exec(["cat", "ended"]).ok(), "end\n");
}

/// The directory is shut; and with it opened, init looks who it is.
#[test]
fn another_user_cannot_connect() {
    needs_sessions!();
    if !is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    if !Path::new("/usr/bin/python3").exists() {
        return eprintln!("skipped: no python3 for other users");
    }
    let world = World::new();
    world.write("a", "x");
    let live = Live::new(&world, "022");
    let socket = socket_of(&world);
    let script = "import socket, sys, os\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
        os.chdir(os.path.dirname(sys.argv[1]))\n\
        s.connect('socket')\n\
        print(s.recv(4096)[0])";
    let as_other = || {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            "54321",
            "--regid",
            "54321",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            script,
        ]);
        Ran(command.arg(&socket).current_dir("/").output().unwrap())
    };
    let shut = as_other();
    assert!(shut.stderr().contains("PermissionError"), "{}", shut.stderr());
    let above: Vec<&Path> = socket.ancestors().take_while(|dir| dir.starts_with(world.path())).collect();
    for path in &above {
        let mode = path.metadata().unwrap().mode() | 0o777;
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    // REFUSED (wire.rs)
    assert_eq!(as_other().ok(), "5\n");
    std::fs::set_permissions(&world.store, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(world.exec(["cat", "a"]).ok(), "x");
    live.end().ok();
}

/// Everything by which a project's file could reach further.
#[test]
fn what_a_projects_file_widens_counts_only_as_it_was_allowed() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret\n").unwrap();
    let wide = format!(
        "[paths]\nbind = ['{0}:in']\n[run]\nbind = ['{0}:/mnt']\ncaches = ['{0}']\nconfine = 'home'\nroot = true\nsetenv = ['X=1']\n",
        outside.display()
    );
    let try_all = "id -u; echo ${X-unset}; cat in/secret /mnt/secret 2>/dev/null; true";
    let narrow = format!("{}\nunset\n", rustix::process::geteuid().as_raw());
    // inside: the file in the view is not asked, in this run or a later one
    world.write("vrift.toml", "");
    std::fs::create_dir(world.project.join("in")).unwrap();
    world.exec(["sh", "-c", "cat > vrift.toml"]);
    let mut command = world.vrift();
    command.args(["exec", "--", "sh", "-c", "cat > vrift.toml"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(wide.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let ran = world.sh(&format!("grep -q caches vrift.toml; {try_all}"));
    assert!(!ran.stderr().contains("allow"), "{}", ran.stderr());
    assert_eq!(ran.ok(), narrow);
    // nor does `allow` mean it: it is the host's copy that is allowed
    world.run(["allow"]).ok();
    assert_eq!(world.sh(try_all).ok(), narrow);
    // applied it is on the host, and counts no more than before; apply names it first
    let applied = world.run(["apply"]);
    assert!(applied.stderr().contains("vrift.toml"), "{}", applied.stderr());
    assert!(world.read("vrift.toml").contains("caches"));
    let ran = world.sh(try_all);
    for key in ["paths.bind", "run.bind", "run.caches", "run.root", "run.setenv"] {
        assert!(ran.stderr().contains(key), "{key} in {}", ran.stderr());
    }
    assert_eq!(ran.ok(), narrow);
    // a run that is confined cannot allow it
    world.sh(&format!("{} allow", env!("CARGO_BIN_EXE_vrift"))).fails(1);
    assert_eq!(world.sh(try_all).ok(), narrow);
    // what was allowed counts, until one byte of it is another
    world.run(["allow"]).ok();
    assert_eq!(world.sh(try_all).ok(), "0\n1\nsecret\nsecret\n");
    world.write("vrift.toml", format!("{wide}#"));
    assert_eq!(world.sh(try_all).ok(), narrow);
}

/// A project whose `d` is a directory with a file in one snapshot, and leads outside in another.
fn torn(world: &World) -> PathBuf {
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("x"), "outside\n").unwrap();
    world.sh("mkdir d; echo inside > d/x; echo new > d/y").ok();
    world.run(["commit", "dir"]).ok();
    world.sh(&format!("rm -r d; ln -s {0} d; ln -s {0}/x x; ln -s ../outside up", outside.display())).ok();
    world.run(["commit", "link"]).ok();
    outside
}

#[test]
fn restore_apply_and_export_stay_inside() {
    needs_sessions!();
    let world = World::new();
    let outside = torn(&world);
    let before = listing(&outside);
    // over the link comes the directory, and what is in it
    world.run(["restore", "dir", "d/x"]).ok();
    assert_eq!(world.exec(["sh", "-c", "cat d/x; [ ! -L d ] && echo dir"]).ok(), "inside\ndir\n");
    world.run(["restore", "link"]).ok();
    world.run(["apply"]).ok();
    assert!(world.project.join("d").is_symlink());
    world.run(["restore", "dir"]).ok();
    let ran = world.run(["apply"]);
    assert_eq!(listing(&outside), before, "{}", ran.stderr());
    // and over the host's link that nobody knew of
    let made = world.project.join("d");
    let _ = std::fs::remove_dir_all(&made);
    let _ = std::fs::remove_file(&made);
    symlink(&outside, &made).unwrap();
    for how in ["abort", "overwrite", "both", "keep-host", "merge"] {
        world.run(["apply", "--on-conflict", how, "d"]);
        assert_eq!(listing(&outside), before, "{how}");
    }
    // a directory that is exported into holds nothing, and no link stands in its place
    for (root, dest) in [("dir", "dest1"), ("link", "dest2")] {
        let dest = world.path().join(dest);
        world.run(["export", root, dest.to_str().unwrap()]).ok();
        assert_eq!(listing(&outside), before);
    }
    let dest = world.path().join("dest3");
    std::fs::create_dir(&dest).unwrap();
    symlink(&outside, dest.join("d")).unwrap();
    world.run(["export", "dir", dest.to_str().unwrap()]).fails(1);
    symlink(&outside, world.path().join("dest4")).unwrap();
    world.run(["export", "dir", world.path().join("dest4").to_str().unwrap()]);
    assert_eq!(listing(&outside), before);
    // paths that lead out are refused
    for path in ["../outside/x", "..", "d/../../outside/x", outside.to_str().unwrap(), "/etc/passwd"] {
        for verb in [&["restore", "dir"][..], &["apply"], &["resolve", "--host"]] {
            let ran = world.run(verb.iter().copied().chain([path]));
            assert!(ran.code() == 1 || ran.code() == 2, "{verb:?} {path}: {}", ran.stderr());
            assert!(!ran.stderr().contains("panicked"), "{}", ran.stderr());
        }
    }
    assert_eq!(listing(&outside), before);
}

#[test]
fn an_archive_has_no_name_that_leads_out() {
    needs_sessions!();
    let world = World::new();
    torn(&world);
    world.sh("mkdir -p '...'; : > '...'/'..a'; : > ' '; : > '-rf'; mkdir a; ln a/../-rf hard").ok();
    world.run(["commit", "all"]).ok();
    for root in ["dir", "link", "all"] {
        let file = world.path().join(format!("{root}.tar"));
        world.run(["export", "--tar", root, file.to_str().unwrap()]).ok();
        let script = "import sys, tarfile\n\
            for member in tarfile.open(sys.argv[1]):\n\
            \x20   names = [member.name] + ([member.linkname] if member.islnk() else [])\n\
            \x20   assert all(not name.startswith('/') and '..' not in name.split('/') for name in names), member\n\
            print('ok')";
        assert_eq!(
            Ran(world.command("python3").args(["-c", script]).arg(&file).output().unwrap()).ok(),
            "ok\n"
        );
    }
}
