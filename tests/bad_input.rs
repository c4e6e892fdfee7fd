//! What is wrong with what vrift is given: each is a message with operation, path, cause and
//! a hint, and nothing is changed or lost.

mod support;

#[path = "support/refuse.rs"]
mod refuse;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use refuse::{Refusal, refuse, refuse_flags, without};
use rusqlite::Connection;
use support::{Ran, World, in_namespaces};
use vrift::cas::Digest;
use vrift::manifest::schema::MIGRATIONS;

/// The command failed, and says each of these and what to do.
#[track_caller]
fn refused(ran: Ran, code: i32, parts: &[&str]) -> String {
    let said = ran.fails(code);
    for part in ["error: ", "hint: "].iter().chain(parts) {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// `manifest.db` of the store's only project.
fn manifest(world: &World) -> PathBuf {
    world.project_dir().join("manifest.db")
}

/// Everything in it is in the one file afterwards.
fn checkpoint(manifest: &Path) {
    let connection = Connection::open(manifest).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", manifest.display()));
    }
}

/// Every object is what its name says.
#[track_caller]
fn objects_are_whole(world: &World) {
    for object in world.objects() {
        let name = object.strip_prefix(world.store.join("objects")).unwrap().to_str().unwrap().to_string();
        assert_eq!(Digest::of(&std::fs::read(&object).unwrap()).object_path(), name);
    }
}

#[test]
fn a_missing_directory_and_a_file_in_its_place_are_said() {
    let world = World::new();
    world.write("file", "x");
    for args in [&["-C", "nowhere", "exec", "true"][..], &["enter", "nowhere"], &["-C", "nowhere", "status"]]
    {
        let code = if args.contains(&"status") { 1 } else { 125 };
        refused(world.run(args), code, &["cannot go to `nowhere`: No such file or directory"]);
    }
    for args in [&["-C", "file", "exec", "true"][..], &["enter", "file"]] {
        refused(world.run(args), 125, &["cannot go to `file`: Not a directory"]);
    }
    for length in [256, 4096, 5000] {
        let long = "n".repeat(length);
        refused(world.run(["-C", &long, "exec", "true"]), 125, &["File name too long"]);
        refused(world.run(["--store", &long, "exec", "true"]), 125, &["File name too long"]);
    }
    for store in ["/dev/null", "file", "file/below", "/proc/nothing"] {
        refused(world.run(["--store", store, "exec", "true"]), 125, &["--store DIR"]);
    }
    let mut gone = world.command("sh");
    gone.args(["-c", "mkdir gone; cd gone; rmdir ../gone; exec $0 exec true", env!("CARGO_BIN_EXE_vrift")]);
    refused(Ran(gone.output().unwrap()), 125, &["current directory"]);
    assert!(!world.store.exists(), "nothing of this makes a store");
}

#[test]
fn what_cannot_be_a_project_makes_no_store() {
    let mut world = World::new();
    world.store = world.project.join("store");
    refused(world.exec(["true"]), 125, &["the store lies in it"]);
    assert!(!world.store.exists());
    world.store = world.path().join("store");
    refused(world.run(["-C", world.home.to_str().unwrap(), "exec", "true"]), 125, &["home directory"]);
    refused(world.run(["-C", "/", "exec", "true"]), 125, &["root directory"]);
    assert!(!world.store.exists());
}

#[test]
fn names_that_are_no_text_are_kept_and_shown_on_one_line() {
    needs_sessions!();
    let world = World::new();
    let names = [&b"new\nline"[..], b"\xff\xfe", b"\x1b[31mred", b" ", b"-rf", b"`id`", b"\t"];
    for name in names {
        std::fs::write(world.project.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let inside =
        "for f in ./*; do cat \"$f\" > /dev/null || exit 1; echo more >> \"$f\"; cp \"$f\" \"$f.copy\"; done";
    world.sh(inside).ok();
    let seen = world.sh("ls | wc -c; cat ./*.copy | wc -c").ok();
    let bytes: usize = names.iter().map(|name| 2 * name.len() + 1 + 1 + 5).sum();
    assert_eq!(seen.split_whitespace().next().unwrap(), bytes.to_string());
    let status = world.run(["status"]).ok();
    assert_eq!(status.lines().count(), 1 + 2 * names.len(), "{status}");
    assert!(status.contains("new\\nline.copy") && status.contains("\\xff\\xfe"), "{status}");
    assert!(!status.contains('\x1b'), "no control character reaches the terminal");
    serde_json::from_str::<serde_json::Value>(&world.run(["status", "--json"]).ok()).unwrap();
    world.run(["diff"]).ok();
    world.run(["doctor", "new\nline"]).ok();
    assert_eq!(
        std::fs::read_dir(&world.project).unwrap().count(),
        names.len() + 1,
        "the host's are as they were"
    );
}

#[test]
fn a_tree_deeper_than_any_path_is_kept() {
    needs_sessions!();
    let world = World::new();
    let name = "d".repeat(200);
    let down =
        format!("i=0; while [ $i -lt 40 ]; do mkdir -p {name} && cd -P {name} || exit 1; i=$((i+1)); done");
    // on the host, and deeper inside
    let made = world.command("sh").args(["-c", &format!("{down}; echo host > end")]).status().unwrap();
    assert!(made.success());
    assert_eq!(world.sh(&format!("{down}; cat end; echo in > end2")).ok(), "host\n");
    assert_eq!(world.sh(&format!("{down}; cat end end2; rm end")).ok(), "host\nin\n");
    assert_eq!(world.sh(&format!("{down}; ls")).ok(), "end2\n");
    assert_eq!(world.run(["status"]).code(), 0);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_whole_in_the_end() {
    needs_sessions!();
    let world = World::new();
    let (steady, moving) = (world.project.join("steady"), world.project.join("moving"));
    std::fs::write(&steady, "steady").unwrap();
    std::fs::write(&moving, vec![b'0'; 1 << 20]).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1u32.. {
                let letter = b'a' + (round % 26) as u8;
                // in place, shrunk to nothing, grown, replaced, gone
                match round % 4 {
                    0 => std::fs::write(&moving, vec![letter; 1 << 20]).unwrap(),
                    1 => std::fs::File::create(&moving).unwrap().set_len(u64::from(round * 100)).unwrap(),
                    2 => std::fs::remove_file(&moving).unwrap(),
                    _ => std::fs::write(&moving, vec![letter; 3 << 20]).unwrap(),
                }
                if stop.load(Ordering::Relaxed) {
                    return std::fs::write(&moving, "the end").unwrap();
                }
            }
        });
        for _ in 0..40 {
            let ran = world.sh("cat moving > /dev/null 2>&1; cat steady");
            assert_eq!(ran.stdout(), "steady", "{}", ran.stderr());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.sh("cat moving steady").ok(), "the endsteady");
    objects_are_whole(&world);
}

/// Many names in one directory: 100,000, or with VRIFT_HUGE=1 a million.
#[test]
fn a_directory_of_very_many_names_is_taken_in_and_changed() {
    needs_sessions!();
    let many = if std::env::var_os("VRIFT_HUGE").is_some() { 1_000_000 } else { 100_000 };
    let world = World::new();
    let dir = world.project.join("wide");
    std::fs::create_dir(&dir).unwrap();
    for number in 0..many {
        std::fs::File::create(dir.join(format!("{number}"))).unwrap();
    }
    assert_eq!(world.sh("ls -f wide | wc -l; echo in > wide/new; rm wide/7").ok(), format!("{}\n", many + 2));
    let status = world.run(["status"]).ok();
    assert!(
        status.contains("wide/new") && status.contains("wide/7") && status.lines().count() == 3,
        "{status}"
    );
    world.edit("wide/9", "host");
    let seen = world.sh("ls -f wide | wc -l; cat wide/new wide/9; ls wide/7 2>/dev/null || echo gone").ok();
    assert_eq!(seen, format!("{}\nin\nhostgone\n", many + 2));
}

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
fn refused_user_namespaces_lose_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    let of = |errno: i32, args: &[&str]| {
        let new_user = libc::CLONE_NEWUSER;
        let rules: Vec<Refusal> = vec![
            refuse(libc::SYS_clone3, libc::ENOSYS),
            refuse_flags(libc::SYS_clone, errno, 0, new_user),
            refuse_flags(libc::SYS_unshare, errno, 0, new_user),
        ];
        let mut command = world.vrift();
        command.args(args);
        without(&mut command, &rules);
        Ran(command.output().unwrap())
    };
    for (errno, text) in [
        (libc::EPERM, "Operation not permitted"),
        (libc::ENOSPC, "No space left on device"),
        (libc::EUSERS, "Too many users"),
    ] {
        refused(of(errno, &["exec", "true"]), 125, &[text, "vrift doctor"]);
        assert!(world.objects().is_empty(), "a first run is refused before it takes anything in");
    }
    world.sh("echo in > b").ok();
    for errno in [libc::EPERM, libc::ENOSPC, libc::EUSERS] {
        refused(of(errno, &["exec", "sh", "-c", "echo lost > b"]), 125, &["vrift doctor"]);
        assert_eq!(of(errno, &["status"]).ok(), world.run(["status"]).ok());
    }
    assert_eq!(world.sh("cat a b").ok(), "host\nin\n");
    assert!(world.staging().is_empty(), "{:?}", world.staging());
}

#[test]
fn who_has_no_home_is_told_to_name_the_store() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can be somebody who is in no password file");
    }
    let world = World::new();
    for dir in [world.path(), &world.project, &world.project.join(".git")] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let binary = world.path().join("vrift");
    // by another process: a descriptor of ours for writing could be inherited by a test beside (ETXTBSY)
    let copied = world.command("cp").arg(env!("CARGO_BIN_EXE_vrift")).arg(&binary).status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(&binary);
    use std::os::unix::process::CommandExt;
    command
        .args(["exec", "true"])
        .current_dir(&world.project)
        .env_clear()
        .stdin(Stdio::null())
        .uid(54321)
        .gid(54321);
    let output = command.output();
    match output {
        Ok(output) => {
            refused(Ran(output), 125, &["no home directory", "--store DIR"]);
        }
        Err(error) => eprintln!("skipped: a foreign user cannot get here: {error}"),
    }
}

#[test]
fn a_clock_that_jumps_back_hides_no_edit() {
    needs_sessions!();
    let world = World::new();
    let touch = |path: &str, when: &str| {
        let touched = world.command("touch").args(["-d", when, path]).status().unwrap();
        assert!(touched.success());
    };
    // What was written before the jump lies in the future.
    for (name, when) in [("future", "2100-01-01"), ("past", "1980-01-01"), ("epoch", "1969-12-31 12:00")] {
        world.write(name, "1");
        touch(name, when);
    }
    let times = "stat -c %Y future past epoch; cat future past epoch";
    let first = world.sh(times).ok();
    assert!(first.ends_with("111"), "{first}");
    // Edits whose time is earlier than, and the same as, what was seen: same size, too.
    for (name, when) in [("future", "2100-01-01"), ("past", "1970-01-02"), ("epoch", "1969-12-31 12:00")] {
        world.write(name, "2");
        touch(name, when);
    }
    assert!(world.sh(times).ok().ends_with("222"));
    // Inside too, and in the next run.
    world.sh("echo 3 > future; touch -d 1999-01-01 future; echo 3 > made; touch -d 2099-01-01 made").ok();
    assert_eq!(world.sh("cat future made; stat -c %y made | cut -c1-4").ok(), "3\n3\n2099\n");
    // Rows of the future: runs, heads and snapshots that were recorded before the jump.
    world.run(["commit", "one"]).ok();
    let connection = Connection::open(manifest(&world)).unwrap();
    for change in [
        "UPDATE run SET started = started + 4000000000000, ended = ended + 3000000000000",
        "UPDATE head SET at = at + 4000000000",
        "UPDATE snapshot SET at = at + 4000000000",
    ] {
        connection.execute(change, []).unwrap();
    }
    drop(connection);
    for verb in [
        &["runs"][..],
        &["log"],
        &["log", "--heads"],
        &["snapshot", "list"],
        &["status"],
        &["runs", "--json"],
    ] {
        world.run(verb).ok();
    }
    world.sh("echo 4 > made").ok();
    world.run(["commit", "two"]).ok();
    assert!(
        world.run(["log"]).ok().lines().next().unwrap().contains("two"),
        "the newest is the last one made"
    );
    world.run(["restore", "one"]).ok();
    assert_eq!(world.sh("cat made").ok(), "3\n");
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
