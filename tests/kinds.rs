//! Every kind of name is the same inside as outside: by kind, content, mode, mtime to the
//! nanosecond, xattrs, link groups and sparseness; also after all of it was rewritten
//! inside, and in the run after that.

mod support;

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use support::World;
use vrift::os::dir::{Dir, Stat, stat_fd};
use vrift::os::xattr;

const DEPTH: usize = 3000;

/// One line a name, in the order of the paths. Whoever runs it must be able to read all.
fn list(root: &Path) -> String {
    let mut stack = vec![(Arc::new(Dir::open(root).unwrap()), c".".to_owned(), Vec::new())];
    let mut lines: Vec<(Vec<u8>, String, Option<u64>)> = Vec::new();
    while let Some((parent, name, path)) = stack.pop() {
        let dir = Arc::new(parent.child(&name).unwrap());
        drop(parent);
        lines.push((path.clone(), meta(&dir.stat_self().unwrap()) + &xattrs(&*dir), None));
        for inner in dir.names().unwrap() {
            let path = [&path[..], b"/", inner.name.to_bytes()].concat();
            let stat = dir.stat(&inner.name).unwrap();
            let group = (stat.nlink > 1).then_some(stat.ino);
            match stat.kind {
                FileType::Directory => stack.push((dir.clone(), inner.name, path)),
                FileType::RegularFile => lines.push((path, file(&dir, &inner.name, &stat), group)),
                FileType::Symlink => {
                    let target = dir.read_link(&inner.name).unwrap();
                    lines.push((path, meta(&stat) + &format!("{:?}", OsStr::from_bytes(&target)), group));
                }
                FileType::Socket => {}
                _ => lines.push((path, meta(&stat), group)),
            }
        }
    }
    lines.sort();
    // a link to a file that no name of the tree has besides is no group
    let mut names: HashMap<u64, usize> = HashMap::new();
    lines.iter().filter_map(|(.., ino)| *ino).for_each(|ino| *names.entry(ino).or_default() += 1);
    lines.iter_mut().for_each(|(.., group)| *group = group.filter(|ino| names[ino] > 1));
    let mut groups = HashMap::new();
    let shown = lines.into_iter().map(|(path, line, ino)| {
        let next = groups.len();
        let group = ino.map(|ino| *groups.entry(ino).or_insert(next));
        // The path of a deep one by its length and end: it has thousands of components.
        let end = OsStr::from_bytes(&path[path.len().saturating_sub(300)..]);
        format!("{:?} {} {line} {group:?}\n", end, path.len())
    });
    shown.collect()
}

fn meta(stat: &Stat) -> String {
    format!("{:?} {:o} {}.{:09} ", stat.kind, stat.mode, stat.mtime.0, stat.mtime.1)
}

/// Blocks are looked at after the file was opened: until then an overlay guesses them.
fn file(dir: &Dir, name: &CString, stat: &Stat) -> String {
    let file = dir.open_file(name).unwrap();
    let digest = vrift::cas::sparse::digest(&file, stat.size).unwrap();
    let held = stat_fd(&file).unwrap().blocks * 512;
    let sparse = held + (1 << 20) < stat.size;
    format!("{}{} {digest} sparse={sparse}{}", meta(stat), stat.size, xattrs(&file))
}

fn xattrs(fd: impl std::os::fd::AsFd) -> String {
    let mut names = xattr::list(&fd).unwrap();
    names.retain(|name| !name.to_bytes().starts_with(b"security."));
    names.sort();
    let value = |name: &CString| format!(" {name:?}={:?}", xattr::get(&fd, name).unwrap().unwrap());
    names.iter().map(value).collect()
}

/// Not a test: what the runs below call inside.
#[test]
#[ignore = "run by the other tests of this file"]
fn lister() {
    let root = PathBuf::from(std::env::var_os("KINDS_ROOT").unwrap());
    std::fs::write(std::env::var_os("KINDS_TO").unwrap(), list(&root)).unwrap();
}

fn inside(world: &World, before: &str) -> String {
    let to = world.path().join("listing");
    let script = format!("{before}\nexec \"$0\" lister --exact --ignored --nocapture -q");
    let ran = world
        .vrift()
        .args(["exec", "--", "sh", "-ec", &script])
        .arg(std::env::current_exe().unwrap())
        .env("KINDS_ROOT", &world.project)
        .env("KINDS_TO", &to)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    std::fs::read_to_string(to).unwrap()
}

#[track_caller]
fn assert_same(expected: &str, found: &str) {
    let pairs = expected.lines().zip(found.lines());
    for (expected, found) in pairs {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

fn set_mtime(dir: &Path, name: &str, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    let at = rustix::fs::open(dir, OFlags::DIRECTORY, Mode::empty()).unwrap();
    rustix::fs::utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let name = CString::new(name).unwrap();
    xattr::set(std::fs::File::open(path).unwrap(), &name, value).unwrap();
}

/// A directory with one of everything.
fn fixture(world: &World) {
    let top = &world.project;
    for name in [".dot", "dir/.hidden", "plain", "dir/empty/../in", "nul"] {
        world.write(name, name.as_bytes());
    }
    std::fs::create_dir_all(top.join("dir/empty/deeper")).unwrap();
    world.write("zero", "");
    for (target, name) in [("nowhere", "dangling"), ("/etc", "absolute"), ("loop", "loop"), ("..", "dir/up")]
    {
        symlink(target, top.join(name)).unwrap();
    }
    symlink(OsStr::from_bytes(b"\xff\n"), top.join("to-odd")).unwrap();
    // Link groups: within a directory, across, of links and of FIFOs.
    for (from, to) in [("plain", "plain2"), ("plain", "dir/plain3"), (".dot", "dir/dot2"), ("zero", "zero2")]
    {
        std::fs::hard_link(top.join(from), top.join(to)).unwrap();
    }
    std::fs::hard_link(top.join("dangling"), top.join("dir/dangling2")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, top.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0)
        .unwrap();
    // Holes: small, large, and so large that the digest is of its own kind (rule 6).
    for (name, size) in [("holes", 64 << 20), ("large-holes", 3u64 << 30)] {
        let file = std::fs::File::create(top.join(name)).unwrap();
        file.set_len(size).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", size / 2 + 7).unwrap();
    }
    // Names.
    std::fs::create_dir(top.join("names")).unwrap();
    for name in
        [&b"new\nline"[..], b"\xff\xfe", b" ", b"-rf", b"a\\b", b"t\tb\"q'", &[b'n'; 255], &[0xc3; 255]]
    {
        std::fs::write(top.join("names").join(OsStr::from_bytes(name)), name).unwrap();
    }
    for number in 0..3000 {
        world.write(&format!("many/{number}"), number.to_string());
    }
    // Modes, setuid, setgid, sticky.
    for mode in [0o4755, 0o2755, 0o1777, 0o6711, 0o400, 0o555, 0o777] {
        world.write(&format!("modes/f{mode:o}"), "x");
        set_mode(&top.join(format!("modes/f{mode:o}")), mode);
        std::fs::create_dir(top.join(format!("modes/d{mode:o}"))).unwrap();
        set_mode(&top.join(format!("modes/d{mode:o}")), mode | 0o500);
    }
    world.write("modes/closed/in", "below 0555");
    set_mode(&top.join("modes/closed"), 0o555);
    // Attributes; forged ones of the overlay's own are only names (rule 8).
    world.write("forged", "mine");
    set_xattr(&top.join("forged"), "user.overlay.metacopy", b"");
    set_xattr(&top.join("forged"), "user.overlay.redirect", b"/xx/yyyyyyyyyyyyyyyyyyyy");
    set_xattr(&top.join("forged"), "user.overlay.overlay.deep", b"twice");
    world.write("opaque/in", "seen");
    set_xattr(&top.join("opaque"), "user.overlay.opaque", b"y");
    set_xattr(&top.join("opaque/in"), "user.overlay.whiteout", b"y");
    set_xattr(&top.join("plain"), "user.note", &[0, 1, 255]);
    set_xattr(&top.join("dir"), "user.long", &[b'v'; 700]);
    acls(world);
    deep(&Dir::open(top).unwrap());
    // Times; directories last.
    set_mtime(top, "plain", -1_000_000_000, 123_456_789);
    set_mtime(top, "zero", 0, 1);
    set_mtime(top, "fifo", 5_000_000_000, 999_999_999);
    set_mtime(top, "dangling", -1, 500_000_000);
    set_mtime(top, "dir/empty", 1, 2);
    set_mtime(top, "dir", -2, 3);
    set_mtime(top, "many", 7, 8);
}

/// Entries that name the caller: others have no number inside for an ordinary user.
fn acls(world: &World) {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    world.write("acl/file", "x");
    std::fs::create_dir(world.project.join("acl/dir")).unwrap();
    let set = |flag: &str, path: &str| {
        let entries = format!("u:{user}:r,g:{group}:rx");
        let path = world.project.join(path);
        Command::new("setfacl").args([flag, &entries]).arg(path).status().is_ok_and(|status| status.success())
    };
    if !(set("-m", "acl/file") && set("-dm", "acl/dir")) {
        eprintln!("skipped: setfacl does not work here");
    }
}

/// A chain deeper than any path, with a file at its end.
fn deep(top: &Dir) {
    let mut dir = top.again().unwrap();
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&dir, c"deep", Mode::RWXU).unwrap();
        dir = dir.child(c"deep").unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = rustix::fs::openat(&dir, c"bottom", flags, Mode::RUSR).unwrap();
    rustix::io::write(file, b"bottom").unwrap();
}

#[test]
fn every_kind_is_the_same_inside_rewritten_and_in_the_next_run() {
    needs_sessions!();
    let world = World::new();
    fixture(&world);
    let socket = std::os::unix::net::UnixListener::bind(world.project.join("socket")).unwrap();
    let first = world.exec(["true"]);
    assert!(first.stderr().contains("left out `socket`: a socket"), "{}", first.stderr());
    first.ok();
    let outside = list(&world.project);
    assert!(outside.lines().count() > 6000, "{}", outside.lines().count());
    assert_same(&outside, &inside(&world, ""));
    // Rewritten inside: copied aside and put in the place of the first; but for the chain,
    // which is too deep for cp's paths.
    let all = "find . -mindepth 1 -maxdepth 1 ! -name deep -print0";
    let aside = world.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let rewrite = format!(
        "touch -r . ../stamp; {all} | xargs -0 cp -a --sparse=always -t ../aside; chmod u+w modes/closed; \
         {all} | xargs -0 rm -rf; (cd ../aside; {all} | xargs -0 cp -a --sparse=always -t ../project); \
         touch -r ../stamp ."
    );
    assert_same(&outside, &inside(&world, &rewrite));
    assert_same(&outside, &inside(&world, ""));
    assert_same(&outside, &list(&world.project));
    drop(socket);
    for closed in [world.project.join("modes/closed"), aside.join("modes/closed")] {
        set_mode(&closed, 0o755); // so that it can be removed
    }
}

#[test]
fn modes_that_stop_a_plain_walk_are_taken_in() {
    needs_sessions!();
    let world = World::new();
    world.write("low/file", "from the host");
    world
        .sh("echo secret > f; mkdir -p d/in e; echo x > d/in/x; echo y > e/y; echo more >> low/file; \
             chmod 0 f d/in/x d/in d; chmod 0555 e; chmod 0 low/file low")
        .ok();
    for _ in 0..2 {
        assert_eq!(world.sh("stat -c %a f d e low").ok(), "0\n0\n555\n0\n");
        world.sh("touch other").ok();
    }
    let opened = "chmod 700 d low; chmod 700 d/in; chmod 600 f d/in/x low/file; cat f d/in/x e/y low/file";
    assert_eq!(world.sh(opened).ok(), "secret\nx\ny\nfrom the hostmore\n");
}

#[test]
fn an_acl_that_names_somebody_else_stops_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("file", "x");
    let set =
        Command::new("setfacl").args(["-m", "u:12345:r,g:54321:rw"]).arg(world.project.join("file")).status();
    if !set.is_ok_and(|status| status.success()) {
        eprintln!("skipped: setfacl does not work here");
        return;
    }
    assert_eq!(world.sh("cat file; stat -c %a file; echo y >> file").ok(), "x664\n");
    assert_eq!(world.sh("cat file; stat -c %a file").ok(), "xy\n664\n");
}

#[test]
fn what_a_socket_took_the_place_of_does_not_come_back() {
    needs_sessions!();
    let world = World::new();
    world.write("dir/file", "from the host");
    let python = "import os, stat; os.mknod('dir/file', stat.S_IFSOCK | 0o644)";
    let script = format!("rm dir/file; python3 -c \"{python}\"; test -S dir/file");
    world.sh(&script).ok();
    assert_eq!(world.sh("ls -A dir").ok(), "");
}

#[test]
fn an_acl_of_a_fifo_is_kept() {
    needs_sessions!();
    let world = World::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.project.join("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    let user = rustix::process::geteuid().as_raw();
    let set =
        Command::new("setfacl").arg("-m").arg(format!("u:{user}:r")).arg(world.project.join("fifo")).status();
    if !set.is_ok_and(|status| status.success()) {
        eprintln!("skipped: setfacl does not work here");
        return;
    }
    let wanted = format!("user:{user}:r--");
    for _ in 0..2 {
        assert!(world.sh("getfacl -cn fifo; touch other").ok().contains(&wanted));
    }
}

#[test]
fn a_project_that_its_owner_may_not_write_to_is_run_in_again_and_again() {
    needs_sessions!();
    let world = World::new();
    world.write("file", "x");
    set_mode(&world.project, 0o555);
    for _ in 0..3 {
        assert_eq!(world.sh("cat file; stat -c %a .").ok(), "x555\n");
    }
    world.sh("chmod 755 . && echo y > file").ok();
    assert_eq!(world.sh("cat file; stat -c %a .").ok(), "y\n755\n");
    set_mode(&world.project, 0o755); // so that it can be removed
}
