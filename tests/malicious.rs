//! A manifest and bundles as somebody hostile, or a broken disk, would write them: each verb
//! ends with an answer, and writes nothing outside of the store and the view.

mod support;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rusqlite::{Connection, params};
use support::{Ran, World, listing};
use vrift::cas::Digest;

/// Runs a verb for a minute at most; it must end by itself, and not by a panic.
#[track_caller]
fn answered(world: &World, what: &str, args: &[&str]) -> Ran {
    asked(world, args).unwrap_or_else(|wrong| panic!("{what}: {args:?}: {wrong}"))
}

fn asked(world: &World, args: &[&str]) -> Result<Ran, String> {
    let mut command = world.command("timeout");
    // memory that grows with what a number says, not with what is there, ends it
    let script = "ulimit -v 4000000; exec \"$0\" \"$@\"";
    command.args(["-s", "KILL", "300", "sh", "-c", script, env!("CARGO_BIN_EXE_vrift")]).args(args);
    let ran = Ran(command.stdin(Stdio::null()).output().unwrap());
    let said = ran.stderr();
    let known = [0, 1, 2, 125, 126, 127].contains(&ran.code());
    let silent = ran.code() != 0 && said.is_empty();
    if said.contains("panicked") || said.contains("overflowed its stack") || !known || silent {
        return Err(format!("{:?}: {said}", ran.0.status));
    }
    Ok(ran)
}

/// Who reads rows.
const ABOUT_ROWS: &[&[&str]] = &[
    &["status"],
    &["log", "--heads"],
    &["runs"],
    &["workspace", "list"],
    &["diff", "--conflict", "a"],
    &["exec", "--", "true"],
    &["exec", "-w", "fork", "--", "sh", "-c", "echo x > new"],
    &["fork", "another"],
    &["undo"],
    &["gc"],
];

/// Who reads trees.
const ABOUT_TREES: &[&[&str]] = &[
    &["diff", "--name-status", "one", "two"],
    &["diff", "host", "main"],
    &["apply", "--dry-run"],
    &["export", "main", "../dest"],
    &["export", "--tar", "two", "../dest.tar"],
    &["bundle", "create", "../dest.bundle"],
    &["exec", "--", "true"],
    &["restore", "one", "a"],
    &["restore", "two"],
    &["fork", "another"],
    &["sync"],
    &["gc"],
];

/// A project with two snapshots, a fork with layers, a conflict and a bystander outside.
struct Victim {
    world: World,
    outside: PathBuf,
    /// What was not answered as it should be.
    wrong: RefCell<Vec<String>>,
}

impl Victim {
    fn new() -> Self {
        let world = World::new();
        world.write("a", "host\n");
        world.write("d/b", "b\n");
        world.sh("mkdir -p e/f; echo c > e/f/c; ln -s a link").ok();
        world.run(["commit", "one"]).ok();
        world.run(["fork", "fork"]).ok();
        world.run(["exec", "-w", "fork", "sh", "-c", "echo fork > a; rm -r d"]).ok();
        world.sh("echo in > a").ok();
        world.edit("a", "edit\n");
        world.sh("echo more > g").ok();
        world.run(["commit", "two"]).ok();
        let outside = world.path().join("outside");
        std::fs::create_dir_all(outside.join("upper/work")).unwrap();
        std::fs::write(outside.join("precious"), "precious").unwrap();
        std::fs::write(outside.join("upper/precious"), "precious").unwrap();
        let connection = Connection::open(world.project_dir().join("manifest.db")).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        let spare = world.path().join("spare");
        std::fs::rename(&world.store, &spare).unwrap();
        Self { world, outside, wrong: RefCell::default() }
    }

    /// As it was, then changed by `change`, then asked everything.
    fn with(&self, what: &str, verbs: &[&[&str]], change: impl FnOnce(&Connection)) {
        let world = &self.world;
        let script = "chmod -R u+rwX store 2> /dev/null; rm -rf store dest*; cp -a spare store";
        let done = Command::new("sh").args(["-c", script]).current_dir(world.path()).status();
        assert!(done.unwrap().success());
        let connection = Connection::open(world.project_dir().join("manifest.db")).unwrap();
        connection.execute_batch("PRAGMA foreign_keys=OFF").unwrap();
        change(&connection);
        drop(connection);
        let before = (listing(&self.outside), listing(&world.project));
        let mut wrong = self.wrong.borrow_mut();
        for verb in verbs {
            wrong.extend(asked(world, verb).err().map(|wrong| format!("{what}: {verb:?}: {wrong}")));
        }
        if (listing(&self.outside), listing(&world.project)) != before {
            wrong.push(format!("{what}: something outside was changed"));
        }
    }

    #[track_caller]
    fn check(self) {
        let wrong = self.wrong.into_inner();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn rows_that_lie_are_answered_and_reach_nothing_outside() {
    needs_sessions!();
    let victim = Victim::new();
    let outside = victim.outside.display().to_string();
    let rows = [
        // digests
        "UPDATE workspace SET head = x'00'",
        "UPDATE workspace SET head = zeroblob(32)",
        "UPDATE workspace SET head = 'text'",
        "UPDATE workspace SET head = NULL",
        "UPDATE workspace SET head = zeroblob(1000000)",
        "UPDATE workspace SET host_base = x'0102'",
        "UPDATE head SET root = x''",
        "UPDATE snapshot SET root = zeroblob(33)",
        "UPDATE layer SET root = zeroblob(32), under = zeroblob(31)",
        "UPDATE base SET root = zeroblob(32)",
        "UPDATE base SET target = zeroblob(32)",
        "UPDATE OR REPLACE tree SET digest = x'00' || rowid",
        "UPDATE tree SET body = x'7672740149ffffffffff7f'",
        "UPDATE tree SET body = (SELECT body FROM tree t WHERE t.rowid = (tree.rowid % 3) + 1)",
        "DELETE FROM tree",
        "DELETE FROM base",
        "DELETE FROM layer",
        "DELETE FROM workspace",
        // numbers
        "UPDATE workspace SET base = -1, layer = -9223372036854775808",
        "UPDATE workspace SET base = 9223372036854775807",
        "UPDATE layer SET base = 9223372036854775807",
        "UPDATE layer SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM layer); UPDATE workspace SET layer = 9223372036854775807 WHERE layer NOT NULL",
        "UPDATE layer SET names = -1, bytes = -9223372036854775808",
        "UPDATE layer SET names = 9223372036854775807, bytes = 9223372036854775807",
        "UPDATE base SET names = -1, generation = -1",
        "UPDATE base SET generation = 9223372036854775807, names = 9223372036854775807",
        "UPDATE head SET at = 9223372036854775807",
        "UPDATE head SET at = -9223372036854775808, run = -1, back = -1",
        "UPDATE snapshot SET at = 9223372036854775807, conflicts = -1",
        "UPDATE run SET started = -9223372036854775808, ended = 9223372036854775807, status = -2147483649",
        "UPDATE run SET argv = zeroblob(3), cwd = x'2f00ff'",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        // circles
        "UPDATE layer SET below = id",
        "UPDATE snapshot SET parent = id",
        "UPDATE snapshot SET parent = (SELECT max(id) FROM snapshot)",
        "UPDATE workspace SET parent = id",
        "UPDATE head SET back = id",
        // names and kinds
        "UPDATE OR REPLACE workspace SET name = '../../outside' WHERE name = 'fork'",
        "UPDATE OR REPLACE workspace SET name = x'ff00' WHERE name = 'fork'",
        "UPDATE OR REPLACE workspace SET name = '' WHERE name = 'fork'",
        "UPDATE OR REPLACE workspace SET name = 'main/../..' WHERE name = 'main'",
        "UPDATE snapshot SET name = '../x' || id, message = x'1b5b324a'",
        "UPDATE base SET projection = '../../../outside'",
        "UPDATE head SET cause = x'00'",
        "UPDATE OR REPLACE conflict SET path = '../../outside/precious'",
        "UPDATE OR REPLACE conflict SET path = '/etc/passwd', base = x'ff'",
        "UPDATE OR REPLACE conflict SET path = x'00', ours = x'', theirs = x''",
        "UPDATE conflict SET ours = zeroblob(100000), theirs = x'0102030405', against = x'ff'",
        "UPDATE OR REPLACE host_stamp SET dir = '../outside'",
        "UPDATE host_stamp SET body = x'ffff', tree = zeroblob(32)",
        "UPDATE host_stamp SET tree = x'00'",
        "UPDATE meta SET value = x''",
        "UPDATE meta SET value = x'00'",
        "UPDATE meta SET value = zeroblob(100000)",
        "DELETE FROM meta",
    ];
    for row in rows {
        victim.with(row, ABOUT_ROWS, |connection| connection.execute_batch(row).unwrap());
    }
    // a take-in that would be finished: its staging is removed, and only staging is
    let up = "../".repeat(4) + "outside";
    for staging in [outside.as_str(), &up, "..", ".", "", "a/../../../outside", "\u{0}", "s1\n"] {
        let row = "INSERT INTO pending(workspace, staging, from_root, to_root) \
                   SELECT id, ?1, head, head FROM workspace";
        victim.with(&format!("{row} {staging:?}"), ABOUT_ROWS, |connection| {
            connection.execute(row, [staging]).unwrap();
        });
    }
    victim.check();
}

/// What an entry is made of, unchecked.
fn entry(kind: u8, name: &[u8], mode: u16, rest: &[u8]) -> Vec<u8> {
    let mode = mode.to_le_bytes();
    [&[kind][..], &varint(name.len() as u64), name, &mode, &[0, 0, 0, 0], rest].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn list(entries: &[Vec<u8>]) -> Vec<u8> {
    [b"vrt\x01L", &varint(entries.len() as u64)[..], &entries.concat()].concat()
}

fn root_of(tree: &[u8; 32]) -> Vec<u8> {
    [b"vrt\x01R", &entry(5, b"", 0o755, tree)[..]].concat()
}

/// Bodies of which the last is the root.
fn hostile_trees(depth: usize) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut all: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    let mut one = |what: &str, entries: &[Vec<u8>]| {
        let body = list(entries);
        let root = root_of(Digest::of(&body).as_bytes());
        all.push((what.into(), vec![body, root]));
    };
    let empty = [Digest::of(b"").as_bytes().to_vec(), varint(0)].concat();
    let long = vec![b'n'; 256];
    for name in
        [&b".."[..], b".", b"", b"../../outside/new", b"/etc/x", b"a/b", b"a\0b", b"x\0../../outside", &long]
    {
        one(&format!("a file {name:?}"), &[entry(1, name, 0o644, &empty)]);
        one(&format!("a fifo {name:?}"), &[entry(4, name, 0o644, &[])]);
        one(&format!("a link {name:?}"), &[entry(3, name, 0o777, &[2, b'/', b'x'])]);
        one(&format!("a directory {name:?}"), &[entry(5, name, 0o755, Digest::of(&list(&[])).as_bytes())]);
    }
    let twice = entry(1, b"a", 0o644, &empty);
    one("a name twice", &[twice.clone(), twice]);
    // the link comes first, and then what would be written through it
    let through = [
        entry(3, b"d", 0o777, &[8, b'.', b'.', b'/', b'o', b'u', b't', b's', b'i']),
        entry(5, b"d", 0o755, Digest::of(&list(&[])).as_bytes()),
    ];
    one("a link and a directory of one name", &through);
    let missing = [Digest::of(b"nowhere").as_bytes().to_vec(), varint(7)].concat();
    one("a content that is not there", &[entry(1, b"a", 0o644, &missing)]);
    let huge = [Digest::of(b"nowhere").as_bytes().to_vec(), varint((1 << 63) - 1)].concat();
    one("a content beyond all disks", &[entry(2, b"a", 0o644, &huge)]);
    one("a missing directory", &[entry(5, b"a", 0o755, Digest::of(b"nowhere").as_bytes())]);
    one("a set-user-ID directory of its own kind", &[entry(9, b"a", 0o7777, &[])]);
    one("a mode of more bits", &[entry(4, b"a", 0xffff, &[])]);
    all.push(("a count that is a lie".into(), vec![[b"vrt\x01L".to_vec(), varint(u64::MAX)].concat()]));
    all.push((
        "an index of itself".into(),
        vec![[b"vrt\x01I\x01\x01a\x80\x10".to_vec(), vec![0; 32]].concat()],
    ));
    let mut bodies = vec![list(&[])];
    for _ in 0..depth {
        let below = Digest::of(bodies.last().unwrap());
        bodies.push(list(&[entry(5, b"d", 0o755, below.as_bytes())]));
    }
    let top = Digest::of(bodies.last().unwrap());
    bodies.push(root_of(top.as_bytes()));
    all.push(("a deep tree".into(), bodies));
    all
}

#[test]
fn trees_that_lie_are_answered_and_reach_nothing_outside() {
    needs_sessions!();
    let victim = Victim::new();
    // which of many directories is ignored, on the host, is asked of each in turn
    for (what, bodies) in hostile_trees(200) {
        victim.with(&what, ABOUT_TREES, |connection| {
            for body in &bodies {
                let row = "INSERT OR REPLACE INTO tree(digest, body) VALUES(?1, ?2)";
                connection.execute(row, params![Digest::of(body).as_bytes(), body]).unwrap();
            }
            let root = Digest::of(bodies.last().unwrap());
            connection.execute("UPDATE workspace SET head = ?1", [root.as_bytes()]).unwrap();
            connection
                .execute("UPDATE snapshot SET root = ?1 WHERE name = 'two'", [root.as_bytes()])
                .unwrap();
        });
    }
    // a directory that holds itself can only be a body under another's name
    let name = Digest::of(b"itself");
    let body = list(&[entry(5, b"d", 0o755, name.as_bytes())]);
    let root = root_of(name.as_bytes());
    victim.with("a circle", ABOUT_TREES, |connection| {
        let row = "INSERT INTO tree(digest, body) VALUES(?1, ?2)";
        connection.execute(row, params![name.as_bytes(), body]).unwrap();
        connection.execute(row, params![Digest::of(&root).as_bytes(), root]).unwrap();
        connection.execute("UPDATE workspace SET head = ?1", [Digest::of(&root).as_bytes()]).unwrap();
        connection
            .execute("UPDATE snapshot SET root = ?1 WHERE name = 'two'", [Digest::of(&root).as_bytes()])
            .unwrap();
    });
    victim.check();
}

/// A bundle of these bodies, with its checksum right.
fn bundle(bodies: &[Vec<u8>], header: Option<&[u8]>) -> Vec<u8> {
    let root = bodies.last().map_or(Digest::of(b""), |body| Digest::of(body));
    let usual = format!("{{\"root\":\"{}\",\"name\":\"evil\",\"message\":\"\"}}", root.hex());
    let header = header.unwrap_or(usual.as_bytes());
    let mut bytes = b"vrift-bundle\n\x01".to_vec();
    bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header);
    for body in bodies {
        bytes.push(b'T');
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(body);
    }
    let sum = Digest::of(&bytes);
    bytes.push(b'E');
    bytes.extend(sum.as_bytes());
    bytes
}

fn load(world: &World, what: &str, bytes: &[u8]) -> Ran {
    let file = world.path().join("evil.bundle");
    std::fs::write(&file, bytes).unwrap();
    answered(world, what, &["bundle", "load", file.to_str().unwrap()])
}

#[test]
fn bundles_that_lie_are_refused_and_reach_nothing_outside() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world.exec(["true"]).ok();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let before = listing(&world.project);
    for (what, bodies) in hostile_trees(3_000) {
        let ran = load(&world, &what, &bundle(&bodies, None));
        let deep = what.contains("deep");
        assert_eq!(ran.code(), if deep { 0 } else { 1 }, "{what}: {}", ran.stderr());
        if deep {
            for verb in
                [&["restore", "evil"][..], &["exec", "true"], &["undo"], &["snapshot", "delete", "evil"]]
            {
                answered(&world, &what, verb);
            }
        }
    }
    // names that no snapshot may have are not taken; what is printed of them is
    let good = vec![list(&[]), root_of(Digest::of(&list(&[])).as_bytes())];
    let root = Digest::of(&good[1]).hex();
    for name in ["../../outside", "host", "@1", "a/b", "", "-rf", "main", "\\u001b[2J", "\\u0000"] {
        let header = format!("{{\"root\":\"{root}\",\"name\":\"{name}\",\"message\":\"\\u001b[2J\"}}");
        load(&world, name, &bundle(&good, Some(header.as_bytes())));
        let list = world.run(["snapshot", "list"]).ok();
        assert!(!list.contains('\u{1b}') && !list.contains("outside"), "{list:?}");
    }
    for header in [&b""[..], b"{}", b"[[[[", b"{\"root\":1}", b"\xff", &[b'['; 100_000]] {
        assert_eq!(load(&world, "a header", &bundle(&good, Some(header))).code(), 1);
    }
    assert_eq!(listing(&world.project), before);
    assert!(listing(&outside).len() == 1);
    assert_eq!(world.exec(["cat", "a"]).ok(), "host\n");
}

/// Bodies with some bytes changed, in a bundle whose checksum is right, so that all of the
/// reader is met; and bundles with some bytes changed.
#[test]
fn mutated_bundles_are_answered() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world
        .sh("mkdir d; echo x > d/x; ln -s x d/l; mkfifo d/f; setfattr -n user.a -v b d/x 2>/dev/null; :")
        .ok();
    let file = world.path().join("whole.bundle");
    world.run(["bundle", "create", file.to_str().unwrap()]).ok();
    let whole = std::fs::read(&file).unwrap();
    let leaf = list(&[entry(3, b"l", 0o777, &[1, b'x']), entry(4, b"m", 0o644, &[])]);
    let top = list(&[entry(5, b"d", 0o755, Digest::of(&leaf).as_bytes())]);
    let mut runner = TestRunner::deterministic();
    let hits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    for round in 0..80 {
        let mut bytes = whole.clone();
        let mut bodies = vec![leaf.clone(), top.clone()];
        let target = if round % 2 == 0 { &mut bytes } else { &mut bodies[round / 2 % 2] };
        for (at, byte) in hits.new_tree(&mut runner).unwrap().current() {
            let at = at.index(target.len());
            target[at] = byte;
        }
        if round % 2 == 1 {
            bodies.push(root_of(Digest::of(&bodies[1]).as_bytes()));
            bytes = bundle(&bodies, None);
        }
        let ran = load(&world, &format!("round {round}"), &bytes);
        if ran.code() == 0 {
            answered(&world, "what was loaded", &["diff", "--name-status", "main", "evil"]);
        }
    }
    assert_eq!(world.exec(["cat", "a"]).ok(), "host\n");
    assert!(!Path::new("/etc/x").exists());
}
