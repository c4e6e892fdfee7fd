//! What is wrong with the paths, files and surroundings that vrift is given: each is a message
//! with operation, path, cause and a hint, and nothing is changed or lost.

mod support;

#[path = "support/refuse.rs"]
mod refuse;

#[path = "support/refused.rs"]
mod refused;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use refuse::{Refusal, refuse, refuse_flags, without};
use refused::*;
use rusqlite::Connection;
use support::{Ran, World};

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
