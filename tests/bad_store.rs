//! What is wrong with the store that vrift is given, or with the limits it works under: each is a
//! message with operation, path, cause and a hint, and nothing is changed or lost.

mod support;

#[path = "support/refused.rs"]
mod refused;

use std::os::unix::fs::PermissionsExt;

use refused::*;
use rusqlite::Connection;
use support::{Ran, World, in_namespaces};
use vrift::manifest::schema::MIGRATIONS;

#[test]
fn a_store_of_a_newer_format_is_refused_read_or_used() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host");
    world.sh("echo in > b").ok();
    let path = world.store.join("format.json");
    let known: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let with = |list: &str| {
        let mut format = known.clone();
        let features = format[list].as_array_mut().unwrap();
        features.push("from-the-future".into());
        std::fs::write(&path, format.to_string()).unwrap();
    };
    let readers: [&[&str]; 6] =
        [&["status"], &["diff"], &["log"], &["runs"], &["snapshot", "list"], &["project", "list"]];
    let before = || std::fs::read(manifest(&world)).unwrap();
    checkpoint(&manifest(&world));
    let untouched = before();

    with("compatible");
    assert_eq!(world.sh("cat b").ok(), "in\n");
    checkpoint(&manifest(&world));
    let untouched_since = before();
    assert!(!untouched.is_empty());

    with("read_only_compatible");
    for verb in readers {
        world.run(verb).ok();
    }
    assert!(world.run(["diff"]).ok().contains("+in"));
    for verb in [&["exec", "true"][..], &["sync"], &["commit"], &["undo"], &["project", "forget", "."]] {
        let code = if verb[0] == "exec" { 125 } else { 1 };
        refused(
            world.run(verb),
            code,
            &["newer format (feature `from-the-future`): this vrift may only read it"],
        );
    }
    assert_eq!(before(), untouched_since);

    with("incompatible");
    for verb in readers.iter().copied().chain([&["sync"][..]]) {
        refused(world.run(verb), 1, &["newer format (feature `from-the-future`)", "--store DIR"]);
    }
    assert!(world.run(["doctor"]).fails(1).is_empty(), "its page is on standard output");
    std::fs::write(&path, r#"{"version": 99}"#).unwrap();
    refused(world.exec(["true"]), 125, &["version 99"]);
    for garbage in ["", "{", "\0\0\0"] {
        std::fs::write(&path, garbage).unwrap();
        refused(world.exec(["true"]), 125, &["format.json"]);
    }
    std::fs::write(&path, known.to_string()).unwrap();
    assert_eq!(world.sh("cat a b").ok(), "hostin\n");
}

#[test]
fn a_manifest_of_another_version_is_refused_or_migrated() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world.exec(["true"]).ok();
    let path = manifest(&world);
    checkpoint(&path);
    let version = |number: i64| {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", number).unwrap();
        drop(connection);
        checkpoint(&path);
    };
    version(99);
    let newer = std::fs::read(&path).unwrap();
    for verb in [&["exec", "true"][..], &["status"], &["sync"]] {
        let code = if verb[0] == "exec" { 125 } else { 1 };
        refused(world.run(verb), code, &["written by a newer vrift (version 99)", "use the newer vrift"]);
    }
    assert_eq!(std::fs::read(&path).unwrap(), newer);

    // The first version's, with the facts of this project.
    let facts: Vec<(String, Vec<u8>)> = {
        let connection = Connection::open(&path).unwrap();
        let mut query = connection.prepare("SELECT key, value FROM meta").unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    std::fs::remove_file(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(MIGRATIONS[0]).unwrap();
    for (key, value) in facts {
        connection.execute("INSERT INTO meta VALUES(?1, ?2)", (key, value)).unwrap();
    }
    connection.execute("INSERT INTO workspace(name, created) VALUES('main', 0)", []).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    assert_eq!(world.sh("cat a; echo in > b").ok(), "host\n");
    let connection = Connection::open(&path).unwrap();
    let now: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(now, MIGRATIONS.len() as i64);
}

#[test]
fn a_damaged_manifest_is_said_and_hurts_no_other_project() {
    needs_sessions!();
    let world = World::new();
    world.sh("seq 20000 > numbers; mkdir d; for i in $(seq 100); do echo $i > d/$i; done").ok();
    let path = manifest(&world);
    checkpoint(&path);
    let good = std::fs::read(&path).unwrap();
    let other = world.path().join("other");
    std::fs::create_dir_all(other.join(".git")).unwrap();
    let garbage: Vec<u8> = (0..good.len()).map(|at| (at * 7 + 13) as u8).collect();
    let header_only = [&good[..100], &garbage[100..]].concat();
    let later_pages = [&good[..4096], &garbage[4096..]].concat();
    let half = good[..good.len() / 2].to_vec();
    for (what, bytes) in [
        ("garbage", garbage.clone()),
        ("a whole header", header_only),
        ("a whole first page", later_pages),
        ("half", half),
        ("nothing", Vec::new()),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
        }
        let said = refused(world.exec(["true"]), 125, &["manifest", "backup", "mv "]);
        assert!(said.contains(path.parent().unwrap().to_str().unwrap()), "{what}: {said}");
        assert!(world.run(["status"]).code() == 1, "{what}");
        let listed = world.run(["project", "list"]).ok();
        assert_eq!(listed.lines().count(), if what == "garbage" { 1 } else { 2 }, "{what}: {listed}");
        world.run(["-C", other.to_str().unwrap(), "exec", "true"]).ok();
    }
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
    }
    std::fs::remove_file(&path).unwrap();
    refused(world.exec(["true"]), 125, &["used before", "mv "]);
    std::fs::write(&path, &good).unwrap();
    assert_eq!(world.sh("tail -n 1 numbers; ls d | wc -l").ok(), "20000\n100\n");
}

#[test]
fn a_store_that_cannot_be_written_is_said_and_is_as_it_was() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo in > a").ok();
    let script = "mount --bind $VRIFT_STORE $VRIFT_STORE && mount -o remount,bind,ro $VRIFT_STORE || exit 77; \
                  $V exec sh -c 'echo lost > a'";
    let mut command = world.command("unshare");
    command.args(["-Urm", "sh", "-c", script]).env("V", env!("CARGO_BIN_EXE_vrift"));
    let ran = Ran(command.output().unwrap());
    if ran.code() != 77 && ran.code() != 1 {
        refused(ran, 125, &["Read-only file system", "--store DIR"]);
    }
    if !rustix::process::geteuid().is_root() {
        std::fs::set_permissions(&world.store, std::fs::Permissions::from_mode(0o0)).unwrap();
        refused(world.exec(["true"]), 125, &["Permission denied", "--store DIR"]);
        std::fs::set_permissions(&world.store, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(world.sh("cat a").ok(), "in\n");
}

#[test]
fn too_few_descriptors_fail_clearly_and_lose_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("d/e/f", "host\n");
    let limited = |limit: u32, args: &[&str]| {
        let mut command = world.command("bash");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_vrift")]);
        Ran(command.args(args).output().unwrap())
    };
    let check = |ran: &Ran, limit: u32| {
        let said = ran.stderr();
        assert!(!said.contains("panicked"), "{limit}: {said}");
        if ran.code() == 0 {
            return true;
        }
        assert_eq!(ran.code(), 125, "{limit}: {said}");
        assert!(
            said.contains("error: ") && said.contains("hint: ") && said.contains("ulimit -n"),
            "{limit}: {said}"
        );
        false
    };
    // A first run, at every limit.
    let mut worked = None;
    for limit in 4..64 {
        if check(&limited(limit, &["exec", "cat", "d/e/f"]), limit) && worked.is_none() {
            worked = Some(limit);
        }
    }
    let enough = worked.expect("no limit is enough");
    assert!(enough < 40, "a run needs {enough} descriptors");
    // Later runs, which write: what succeeded is there, what failed is there or not, never half.
    let mut written = Vec::new();
    for limit in (4..enough + 8).chain([64, 256]) {
        let script = format!("mkdir r{limit}; echo {limit} > r{limit}/a; echo {limit} > r{limit}/b");
        if check(&limited(limit, &["exec", "sh", "-c", &script]), limit) {
            written.push(limit);
        }
        assert_eq!(world.sh("cat d/e/f").ok(), "host\n");
    }
    world.run(["recover", "--keep"]).ok();
    for limit in 4..enough + 8 {
        let seen = world.sh(&format!("cat r{limit}/a r{limit}/b 2> /dev/null || true")).ok();
        let whole = format!("{limit}\n{limit}\n");
        assert!(seen == whole || (seen.is_empty() && !written.contains(&limit)), "{limit}: {seen}");
    }
    objects_are_whole(&world);
    assert!(world.staging().is_empty(), "{:?}", world.staging());
}

/// At each number of inodes from too few to enough: overlayfs that cannot make its work
/// directory mounts read-only without a word.
#[test]
fn a_store_out_of_inodes_is_said_at_whatever_stage_and_loses_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host");
    let script = "
        export VRIFT_STORE=$S/store; total=0
        for inodes in $(seq 8 2 110); do
            mount -t tmpfs -o size=64m,nr_inodes=$inodes none $S || exit 77
            $V exec sh -c 'mkdir n && for i in 1 2 3 4 5 6; do echo $i > n/$i || exit 9; done; echo x > n/whole' \
                > $S/../out 2>&1; code=$?
            case $code in
                0) total=$((total + 1));;
                125|9) grep -q 'hint: ' $S/../out || { echo $inodes: no hint; cat $S/../out; };;
                *) echo $inodes: status $code; cat $S/../out;;
            esac
            grep -q -e panicked -e Read-only $S/../out && { echo $inodes; cat $S/../out; }
            mount -o remount,nr_inodes=10000 none $S || exit 77
            $V exec sh -c 'cat a > /dev/null && if [ -e n/whole ]; then ls n | wc -l; else echo 0; fi' > $S/../out 2>&1 \
                || { echo $inodes: after it; cat $S/../out; }
            seen=$(tail -n 1 $S/../out)
            case $code-$seen in 0-7|125-*|9-0) ;; *) echo $inodes: $code but $seen names; cat $S/../out;; esac
            umount $S
        done
        [ $total -gt 0 ] || echo none was enough";
    let Some(ran) = in_namespaces(&world, script) else { return };
    assert_eq!(ran.stdout(), "", "{}", ran.stderr());
}

#[test]
fn too_few_descriptors_for_any_verb_fail_clearly_and_lose_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("d/e/f", "host\n");
    world.sh("echo in > in").ok();
    world.run(["commit", "v1"]).ok();
    world.run(["fork", "twig"]).ok();
    world.run(["exec", "-w", "twig", "sh", "-c", "echo twig > twig"]).ok();
    let out = world.path().join("out");
    let out = out.to_str().unwrap();
    let verbs: [&[&str]; 15] = [
        &["status"],
        &["diff"],
        &["log"],
        &["sync"],
        &["commit"],
        &["apply"],
        &["exec", "-w", "twig", "sh", "-c", "echo more >> twig"],
        &["merge", "twig"],
        &["undo"],
        &["restore", "v1"],
        &["export", "v1", out],
        &["bundle", "create", "bundle", "v1"],
        &["stats"],
        &["gc", "--grace", "0"],
        &["runs"],
    ];
    for (number, verb) in verbs.iter().enumerate() {
        let (mut worked, mut last) = (false, String::new());
        for limit in (3..40).chain([64, 256]) {
            std::fs::write(world.project.join("d/e/f"), format!("{number} {limit}\n")).unwrap();
            let _ = std::fs::remove_dir_all(out);
            let _ = std::fs::remove_file(world.project.join("bundle"));
            let mut command = world.command("bash");
            let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_vrift")]).args(*verb);
            let ran = Ran(command.output().unwrap());
            let (code, said) = (ran.code(), ran.stderr());
            assert!(!said.contains("panicked"), "{verb:?} {limit}: {said}");
            if code == 0 {
                worked = true;
                continue;
            }
            assert!([1, 125].contains(&code), "{verb:?} {limit}: {code}: {said}");
            assert!(said.contains("error: ") && said.contains("hint: "), "{verb:?} {limit}: {said}");
            last = said;
        }
        assert!(worked, "{verb:?}: no limit is enough: {last}");
        world.sh("cat in").ok();
    }
    world.run(["verify", "--deep"]).ok();
}

#[test]
fn too_few_descriptors_are_no_damage() {
    needs_sessions!();
    let world = World::new();
    world.write("d/e/f", "host\n");
    world.sh("echo in > in").ok();
    world.run(["fork", "twig"]).ok();
    world.run(["exec", "-w", "twig", "sh", "-c", "mkdir -p x/y/z; echo twig > x/y/z/f"]).ok();
    for deep in [&[][..], &["--deep"]] {
        let mut worked = false;
        for limit in (3..40).chain([64]) {
            let mut command = world.command("bash");
            let script = format!("ulimit -n {limit}; exec \"$0\" verify \"$@\"");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_vrift")]).args(deep);
            let ran = Ran(command.output().unwrap());
            let (code, told, said) = (ran.code(), ran.stdout(), ran.stderr());
            worked |= code == 0;
            assert_eq!(told, "", "{limit}: {said}");
            let is_it = said.contains("Too many open files") && said.contains("ulimit -n");
            assert!(code == 0 || code == 1 && is_it, "{limit}: {code} {said}");
        }
        assert!(worked, "no limit is enough");
    }
}
