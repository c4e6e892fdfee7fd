//! States leave the store and come into another: export, tar, bundle.

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use support::{World, listing};

/// A project with a name of every kind, and odd ones.
fn every_kind() -> World {
    let world = World::new();
    let script = r#"
        set -e
        long=$(printf 'n%.0s' $(seq 200))
        mkdir -p "a/$long" empty closed 'sp ace'
        printf 'x' > "a/$long/$long"
        ln a/$long/$long linked; ln linked a/again
        : > nothing
        ln -s "$long/$long" long-link; ln -s ../outside link
        mkfifo pipe
        printf '\001\002' > bin; chmod 4755 bin; chmod 600 'sp ace'/../linked
        printf 'one\ntwo\n' > 'sp ace/new
line'
        touch -d '1969-12-31 23:59:58.25 UTC' nothing
        touch -h -d '2001-02-03 04:05:06.789012345 UTC' link
        printf 'deep' > closed/f; chmod 444 closed/f; touch -d '2020-01-01 00:00:00.1' closed; chmod 555 closed
    "#;
    assert!(world.command("sh").args(["-c", script]).status().unwrap().success());
    std::fs::write(world.project.join(OsStr::from_bytes(b"bad\xff")), "bytes").unwrap();
    let set = |name: &str, value: &str| {
        let mut command = world.command("setfattr");
        assert!(command.args(["-n", name, "-v", value, "bin"]).status().unwrap().success());
    };
    set("user.kind", "binary");
    set("user.overlay.redirect", "/not/a/stub");
    assert!(world.command("chmod").args(["555", "."]).status().unwrap().success());
    world
}

fn xattrs(path: &Path) -> String {
    let output = Command::new("getfattr").args(["-d", "-m", "-", "--absolute-names"]).arg(path).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// Closed directories can be removed with the world.
fn open_up(top: &Path) {
    Command::new("chmod").args(["-R", "u+rwX"]).arg(top).status().unwrap();
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    let (one_list, other_list) = (listing(one), listing(other));
    for (a, b) in one_list.iter().zip(&other_list) {
        assert_eq!(a, b);
    }
    assert_eq!(one_list.len(), other_list.len());
    assert_eq!(xattrs(&one.join("bin")), xattrs(&other.join("bin")));
    assert!(xattrs(&one.join("bin")).contains("user.overlay.redirect"));
}

#[test]
fn an_exported_directory_is_as_the_root() {
    let world = every_kind();
    world.run(["sync"]).ok();
    let dest = world.path().join("out");
    world.run(["export", "main", dest.to_str().unwrap()]).ok();
    same(&world.project, &dest);
    // an empty directory may be there, any other is refused and left as it is
    let empty = world.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    world.run([OsStr::new("export"), OsStr::new("host"), empty.as_os_str()]).ok();
    same(&world.project, &empty);
    let before = listing(&dest);
    let error = world.run(["export", "main", dest.to_str().unwrap()]).fails(1);
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(listing(&dest), before);
    let error = world.run(["export", "main", "/proc/none/x"]).fails(1);
    assert!(error.contains("/proc/none/x"), "{error}");
    [&dest, &empty, &world.project].into_iter().for_each(|top| open_up(top));
}

/// Whatever is done to what `export --link` wrote, the store has what it had.
#[test]
fn what_is_done_to_an_export_stays_there() {
    let world = every_kind();
    world.run(["sync"]).ok();
    let dest = world.path().join("out");
    let said = world.run(["export", "--link", "main", dest.to_str().unwrap()]);
    let how = said.stderr();
    said.ok();
    assert!(how.contains("reflinks"), "it says which it was: {how}");
    same(&world.project, &dest);
    let before: Vec<_> =
        world.objects().iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let spoil = "chmod -R u+w . && find . -type f -exec sh -c 'for f; do echo spoilt > \"$f\"; done' - {} +";
    assert!(world.command("sh").args(["-c", spoil]).current_dir(&dest).status().unwrap().success());
    assert_eq!(std::fs::read(dest.join("a/again")).unwrap(), b"spoilt\n");
    for (path, content) in before {
        assert_eq!(std::fs::read(&path).unwrap(), content, "{}", path.display());
    }
    world.run(["verify", "--deep"]).ok();
    [&dest, &world.project].into_iter().for_each(|top| open_up(top));
}

#[test]
fn an_export_of_hard_links_is_the_stores_own_read_only() {
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    let script = r#"
        set -e
        mkdir d; echo plain > d/f; echo run > d/x; chmod 755 d/x; echo secret > s; chmod 600 s
        cp -p d/f d/same; cp d/f d/later; touch -d 2020-01-01 d/later; : > nothing
        echo one > h; ln h d/h; cp d/x su; chmod 4755 su; echo attr > a; setfattr -n user.k -v v a
    "#;
    assert!(world.command("sh").args(["-c", script]).status().unwrap().success());
    world.run(["sync"]).ok();
    let dest = world.path().join("out");
    let said = world.run(["export", "--link=hard", "main", dest.to_str().unwrap()]);
    assert!(said.stderr().contains("read-only links"), "{}", said.stderr());
    let objects: std::collections::HashSet<u64> =
        world.objects().iter().map(|path| path.metadata().unwrap().ino()).collect();
    for path in ["d/f", "d/x", "s", "nothing", "h", "d/h", "su", "a", "d/same", "d/later"] {
        let (here, there) =
            (world.project.join(path).metadata().unwrap(), dest.join(path).metadata().unwrap());
        assert_eq!(there.mode(), here.mode() & !0o222, "{path}");
        assert_eq!((there.mtime(), there.mtime_nsec()), (here.mtime(), here.mtime_nsec()), "{path}");
        let content = std::fs::read(world.project.join(path)).unwrap();
        assert_eq!(std::fs::read(dest.join(path)).unwrap(), content, "{path}");
        let linked = ["d/f", "d/x", "s", "d/same", "d/later"].contains(&path);
        let is_object = objects.contains(&there.ino());
        // of one content with two mtimes the first is the object
        assert!(is_object == linked || path.starts_with("d/"), "{path}");
    }
    let of = |path: &str| objects.contains(&dest.join(path).metadata().unwrap().ino());
    assert!(of("d/f") != of("d/later") && of("d/x") && of("s"), "what can be linked is");
    assert_eq!(dest.join("h").metadata().unwrap().ino(), dest.join("d/h").metadata().unwrap().ino());
    if !rustix::process::geteuid().is_root() {
        assert!(std::fs::write(dest.join("d/f"), "no").is_err());
    }
    world.run(["verify", "--deep"]).ok();
    // replacing and removing is harmless, and the store stays in order
    assert!(
        world
            .command("sh")
            .args(["-c", "sed -i s/plain/mine/ d/f"])
            .current_dir(&dest)
            .status()
            .unwrap()
            .success()
    );
    std::fs::remove_dir_all(&dest).unwrap();
    world.run(["verify", "--deep"]).ok();
    // who gives himself permission damages the store, and verify says so
    world.run(["export", "--link=hard", "main", dest.to_str().unwrap()]).ok();
    let spoil = "chmod u+w s && echo sECRET > s";
    assert!(world.command("sh").args(["-c", spoil]).current_dir(&dest).status().unwrap().success());
    assert_eq!(world.run(["verify", "--deep"]).code(), 1);
    world.run(["export", "--link=soft", "main", "x"]).fails(2);
    world.run(["export", "--link", "--tar", "main", "x"]).fails(2);
}

/// Links lead nowhere from another filesystem: copies, and it is said.
#[test]
fn an_export_of_hard_links_to_another_filesystem_is_copies() {
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    world.write("f", "content");
    world.run(["sync"]).ok();
    let shm = Path::new("/dev/shm");
    let here = world.path().metadata().unwrap().dev();
    if !shm.metadata().is_ok_and(|there| there.dev() != here) {
        return support::skipped("there is no second filesystem at /dev/shm");
    }
    let top = tempfile::Builder::new().prefix("vrift-test-").tempdir_in(shm).unwrap();
    let dest = top.path().join("out");
    let said = world.run(["export", "--link=hard", "main", dest.to_str().unwrap()]);
    assert!(said.stderr().contains("links are not possible there"), "{}", said.stderr());
    assert_eq!(std::fs::read(dest.join("f")).unwrap(), b"content");
    assert_eq!(dest.join("f").metadata().unwrap().mode() & 0o777, 0o444);
    world.run(["verify", "--deep"]).ok();
}

#[test]
fn a_tar_archive_unpacks_to_the_root() {
    let world = every_kind();
    world.run(["commit", "v1"]).ok();
    let (archive, dest) = (world.path().join("v1.tar"), world.path().join("out"));
    world.run(["export", "--tar", "v1", archive.to_str().unwrap()]).ok();
    let piped = world.run(["export", "--tar", "v1", "-"]);
    assert_eq!(piped.0.stdout, std::fs::read(&archive).unwrap());
    std::fs::create_dir(&dest).unwrap();
    let mut tar = world.command("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "-xpf"]).arg(&archive).arg("-C").arg(&dest);
    let unpacked = tar.output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    same(&world.project, &dest);
    // a file that cannot be written leaves nothing behind
    world.run(["export", "--tar", "v1", dest.to_str().unwrap()]).fails(1);
    assert_eq!(std::fs::read_dir(world.path()).unwrap().flatten().filter(|e| e.path().is_file()).count(), 1);
    [&dest, &world.project].into_iter().for_each(|top| open_up(top));
}

#[test]
fn a_bundle_carries_a_snapshot_to_another_store() {
    needs_sessions!();
    let (here, there) = (every_kind(), World::new());
    here.run(["commit", "-m", "all of it", "v1"]).ok();
    let file = here.path().join("v1.bundle");
    here.run(["bundle", "create", file.to_str().unwrap(), "v1"]).ok();
    there.write("other", "stays");
    there.run(["bundle", "load", file.to_str().unwrap()]).ok();
    let dest = there.path().join("out");
    there.run(["export", "v1", dest.to_str().unwrap()]).ok();
    same(&here.project, &dest);
    assert_eq!(there.sh("cat other; test -e bin || echo not yet").ok(), "staysnot yet\n");
    there.run(["restore", "v1"]).ok();
    there.sh("test ! -e other && cmp a/again linked && test -u bin").ok();
    // again: it is there already, under its name; another name is another snapshot
    there.run(["bundle", "load", file.to_str().unwrap()]).ok();
    there.run(["bundle", "load", file.to_str().unwrap(), "v2"]).ok();
    let list = there.run(["snapshot", "list"]).ok();
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("all of it"), "{list}");
    there.run(["bundle", "load", file.to_str().unwrap(), "main"]).fails(1);
    [&dest, &here.project].into_iter().for_each(|top| open_up(top));
}

#[test]
fn a_damaged_bundle_is_refused_whole() {
    let (here, there) = (World::new(), World::new());
    for n in 0..20 {
        here.write(&format!("d{n}/f"), format!("content {n}\n").repeat(50));
    }
    here.run(["sync"]).ok();
    let file = here.path().join("b");
    here.run(["bundle", "create", file.to_str().unwrap()]).ok();
    let whole = std::fs::read(&file).unwrap();
    let attempt = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        there.run(["bundle", "load", file.to_str().unwrap()])
    };
    // a size that is a lie is not believed: hashing that many zeros would take for ever
    let record = whole.windows(5).position(|bytes| bytes == b"conte").unwrap() - 16 - 9;
    let mut lie = whole.clone();
    lie[record + 5] = 0x20;
    let error = attempt(&lie).fails(1);
    assert!(error.contains("shorter than it says"), "{error}");
    for part in 0..24 {
        let at = part * whole.len() / 24;
        let error = attempt(&whole[..at]).fails(1);
        assert!(error.contains("bundle") && error.contains("hint"), "cut at {at}: {error}");
        let mut bent = whole.clone();
        bent[at] ^= 0x20;
        attempt(&bent).fails(1);
    }
    assert!(!there.run(["snapshot", "list"]).stdout().contains("main"));
    assert_eq!(there.run(["snapshot", "list"]).stdout(), "");
    attempt(&whole).ok();
    // `main` is a workspace there: the snapshot gets a name of its own
    assert!(there.run(["snapshot", "list"]).ok().starts_with("s1"));
}
