//! Damage to a store, and what `vrift verify` says of it.

#![allow(dead_code)] // each test file uses its own part

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::World;

/// What `vrift verify` finds: (what, place, detail).
pub fn verify(world: &World, args: &[&str]) -> (Vec<(String, String, String)>, Value) {
    let ran = world.run(["verify", "--json"].iter().chain(args));
    let report: Value = serde_json::from_str(&ran.stdout()).unwrap_or_else(|_| panic!("{}", ran.stderr()));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_string();
    let found: Vec<_> = report["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (text(finding, "what"), text(finding, "place"), text(finding, "detail")))
        .collect();
    assert_eq!(ran.code(), i32::from(!found.is_empty()), "{}", ran.stderr());
    (found, report)
}

#[track_caller]
pub fn clean(world: &World) {
    let (found, _) = verify(world, &["--deep"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// A world with everything in it that can be damaged: kinds, links, attributes, a large
/// directory, a snapshot, a fork whose files lie in layers.
pub fn full() -> World {
    let world = World::new();
    world.write("src/a.c", "int a;\n");
    world.write("src/deep/b.c", "int b;\n");
    world.write("empty", "");
    world.write("host only", "as on the host\n");
    for number in 0..12 {
        world.write(&format!("many/{number}"), format!("{}\n", number % 7));
    }
    symlink("src/a.c", world.project.join("link")).unwrap();
    std::fs::hard_link(world.project.join("src/a.c"), world.project.join("hard")).unwrap();
    let script = "mkdir out; echo one > out/one; mkfifo out/pipe; chmod 600 out/one; ln out/one out/two; \
                  python3 -c \"import os; os.setxattr('out/one', 'user.x', b'y'); \
                  os.setxattr('src', 'user.overlay.opaque', b'y')\"";
    world.sh(script).ok();
    world.run(["commit", "v1"]).ok();
    world.run(["fork", "twig"]).ok();
    world
        .run(["exec", "-w", "twig", "sh", "-c", "echo twig > twig; rm -r src/deep; echo more >> out/one"])
        .ok();
    world.run(["exec", "-w", "twig", "sh", "-c", "rm many/3; mkdir src/deep; echo again > src/deep/c"]).ok();
    world
}

/// The manifest of the world's first project.
pub fn database(world: &World) -> Connection {
    for entry in std::fs::read_dir(world.store.join("projects")).unwrap().flatten() {
        let Ok(connection) = Connection::open(entry.path().join("manifest.db")) else { continue };
        let path: Vec<u8> =
            connection.query_row("SELECT value FROM meta WHERE key = 'path'", [], |row| row.get(0)).unwrap();
        if path == world.project.as_os_str().as_encoded_bytes() {
            return connection;
        }
    }
    panic!("no such project");
}

/// The object of a text.
pub fn object(world: &World, text: &str) -> PathBuf {
    let digest = vrift::cas::Digest::of(text.as_bytes());
    world.store.join("objects").join(digest.object_path())
}

pub fn overwrite(path: &Path, text: &str) {
    let mode = path.metadata().unwrap().permissions().mode();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The base that `main` is shown by.
pub fn base(world: &World) -> PathBuf {
    let query = "SELECT base FROM workspace WHERE name = 'main'";
    let id: i64 = database(world).query_row(query, [], |row| row.get(0)).unwrap();
    world.project_dir().join(format!("base/{id}"))
}

/// The topmost layer of `twig`.
pub fn layer(world: &World) -> PathBuf {
    let query = "SELECT layer FROM workspace WHERE name = 'twig'";
    let id: i64 = database(world).query_row(query, [], |row| row.get(0)).unwrap();
    world.project_dir().join(format!("layers/{id}"))
}

pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

/// Sets an mtime, of a link itself.
pub fn touch(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 7 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

/// Makes a damage and keeps the directory's time as it was.
pub fn quietly(dir: &Path, damage: impl FnOnce()) {
    let before = dir.metadata().unwrap().modified().unwrap();
    damage();
    let dir = std::fs::File::open(dir).unwrap();
    dir.set_times(std::fs::FileTimes::new().set_modified(before)).unwrap();
}

/// Kind, mode, time, size, target and content of everything.
pub const LISTING: &str = "find . -path ./.git -prune -o -printf '%p %y %m %T@ %s %l\n' | sort; \
    find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 md5sum";

pub fn listings(world: &World) -> [String; 2] {
    [world.sh(LISTING).ok(), world.run(["exec", "-w", "twig", "sh", "-c", LISTING]).ok()]
}

/// Just this is found: words, and the ends of places.
#[track_caller]
pub fn finds(world: &World, args: &[&str], expected: &[(&str, &str)]) {
    let (found, _) = verify(world, args);
    let mut left: Vec<_> = expected.to_vec();
    for (what, place, detail) in &found {
        let it = left.iter().position(|(word, end)| word == what && place.ends_with(end));
        assert!(it.is_some(), "not expected: {what} {place}: {detail}");
        left.remove(it.unwrap());
    }
    assert!(left.is_empty(), "not found: {left:?}, but {found:#?}");
}

/// Damages, and sees that just this is found, that a repair puts it right, and that all is as
/// it was.
#[track_caller]
pub fn damaged(world: &World, args: &[&str], damage: impl FnOnce(), expected: &[(&str, &str)]) {
    let before = listings(world);
    damage();
    finds(world, args, expected);
    let (found, report) = verify(world, &[args, &["--repair"]].concat());
    assert!(found.is_empty(), "not repaired: {found:#?} {:#?} {:#?}", report["repaired"], report["left"]);
    assert!(!report["repaired"].as_array().unwrap().is_empty());
    clean(world);
    for (before, after) in before.iter().zip(&listings(world)) {
        let changed: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
        assert!(before == after, "{changed:#?} of {}", before.lines().count());
    }
}
