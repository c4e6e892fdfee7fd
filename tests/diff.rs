//! `vrift diff`: what it tells, and that git takes its patches.

mod support;

use std::path::Path;
use std::process::Command;

use support::World;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Every sort of change between the host and the workspace.
fn changed() -> World {
    let world = World::new();
    world.write("text", "one\ntwo\nthree\n");
    world.write("last", "no newline");
    world.write("gone", "gone\n");
    world.write("moved/from", "moved content\n");
    world.write("bin", b"a\0b");
    world.write("mode", "same\n");
    world.write("time", "same\n");
    world.write("retyped", "file\n");
    world.write("dir/x", "x\n");
    world.write("empty", "");
    let script = "printf 'one\\n2\\nthree\\n' > text; printf 'no newline!' > last; rm gone; mkdir to; mv moved/from to/here; \
        printf 'a\\000c' > bin; chmod 755 mode; touch -d '2001-02-03 04:05:06.5' time; rm retyped; ln -s text retyped; \
        rm -r dir; echo file > dir; rm empty; echo new > 'new name'; : > void; printf 'q\\n' > 'q\"\n'; mkdir hollow; mkfifo pipe";
    world.sh(script).ok();
    world
}

#[test]
fn every_sort_of_change_has_its_letter() {
    needs_sessions!();
    let world = changed();
    let told = world.run(["diff", "--name-status"]).ok();
    let want = [
        "M bin",
        "T dir",
        "D dir/x",
        "D empty",
        "D gone",
        "A hollow/",
        "M last",
        "m mode  (mode 644 → 755)",
        "A new name",
        "A pipe",
        "A q\"\\n",
        "T retyped",
        "M text",
        "m time  (mtime)",
        "R moved/from → to/here",
        "A void",
    ];
    let mut lines: Vec<&str> = told.lines().filter(|line| !line.ends_with("moved/")).collect();
    lines.sort_unstable_by_key(|line| {
        line.split_once(' ').unwrap().1.rsplit(" → ").next().unwrap().to_string()
    });
    let mut want = want.to_vec();
    want.sort_unstable_by_key(|line| {
        line.split_once(' ').unwrap().1.rsplit(" → ").next().unwrap().to_string()
    });
    assert_eq!(lines, want, "{told}");
    let rows = json(&world.run(["diff", "--json"]).ok());
    let row = rows.as_array().unwrap().iter().find(|row| row["path"] == "to/here").unwrap();
    assert_eq!((&row["status"], &row["from"]), (&"renamed".into(), &"moved/from".into()));
    let row = rows.as_array().unwrap().iter().find(|row| row["path"] == "time").unwrap();
    assert_eq!(row["metadata"], serde_json::json!(["mtime"]));
}

/// The tree that comes of the host's directory and the patch is the workspace's.
#[test]
fn git_applies_the_patch() {
    needs_sessions!();
    let world = changed();
    world.sh("printf 'a\\000b' > bin").ok(); // git cannot apply what is binary
    let patch = world.path().join("patch");
    std::fs::write(&patch, world.run(["diff"]).0.stdout).unwrap();
    let copy = world.path().join("copy");
    assert!(Command::new("cp").arg("-a").arg(&world.project).arg(&copy).status().unwrap().success());
    std::fs::remove_dir(copy.join(".git")).unwrap();
    let git =
        Command::new("git").args(["apply", "--verbose"]).arg(&patch).current_dir(&copy).output().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&patch).unwrap()).into_owned();
    assert!(git.status.success(), "{}\n{text}", String::from_utf8_lossy(&git.stderr));
    let inside = world.path().join("inside");
    world.sh(&format!("cp -a . '{}'", inside.display())).ok();
    assert_eq!(contents(&copy), contents(&inside));
}

/// What git carries: names, contents, targets, whether a file is executable.
fn contents(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name().into_iter().flatten() {
        use std::os::unix::fs::PermissionsExt;
        let (path, kind) = (entry.path(), entry.file_type());
        let name = path.strip_prefix(root).unwrap();
        if kind.is_symlink() {
            lines.push(format!("{name:?} -> {:?}", path.read_link().unwrap()));
        } else if kind.is_file() {
            let mode = path.metadata().unwrap().permissions().mode() & 0o100;
            lines.push(format!("{name:?} {mode:o} {:?}", std::fs::read(path).unwrap()));
        }
    }
    lines
}

#[test]
fn states_paths_and_the_exit_status_can_be_chosen() {
    needs_sessions!();
    let world = World::new();
    world.write("a/f", "1\n");
    world.sh("echo 2 > a/f").ok();
    world.run(["commit", "v1"]).ok();
    world.sh("echo 3 > a/f; echo x > b").ok();
    world.run(["commit", "v2"]).ok();
    let status = |args: &[&str]| world.run([&["diff", "--name-status"], args].concat()).ok();
    assert_eq!(status(&["v1", "v2"]), "M a/f\nA b\n");
    assert_eq!(status(&["v2", "v1"]), "M a/f\nD b\n");
    assert_eq!(status(&["v1", "--", "b"]), "A b\n");
    assert_eq!(status(&["v2"]), "");
    world.run(["diff", "--exit-code", "v2"]).ok();
    assert_eq!(world.run(["diff", "--exit-code", "v1"]).code(), 1);
    assert!(world.run(["diff", "v1", "v2"]).ok().contains("-2\n+3\n"));
    let stat = world.run(["diff", "--stat", "v1", "v2"]).ok();
    assert!(stat.contains(" a/f | +1 -1") && stat.ends_with("2 paths, 2 lines added, 1 removed\n"), "{stat}");
    assert!(world.run(["diff", "nope"]).fails(1).contains("no root `nope`"));
}

#[test]
fn what_the_workspace_has_for_itself_is_told_as_a_whole() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "target/\n");
    world.write("src/a", "1\n");
    world.sh("mkdir -p target/deep; touch target/1 target/deep/2; echo 2 > src/a").ok();
    let told = world.run(["diff", "--name-status"]).ok();
    assert_eq!(told, "M src/a\nA target/  (3 names)\n");
    let patch = world.run(["diff"]).ok();
    assert!(patch.contains("# A target/  (3 names)\n") && !patch.contains("deep"), "{patch}");
}

/// Only the directories on the way to the change are read.
#[test]
fn a_change_of_one_file_does_not_read_the_rest() {
    needs_sessions!();
    let world = World::new();
    for dir in 0..50 {
        for file in 0..20 {
            world.write(&format!("d{dir}/f{file}"), "x");
        }
    }
    world.sh("echo y > d7/f7").ok();
    // every other directory's tree is made unreadable: whoever reads it fails
    let manifest = walkdir::WalkDir::new(&world.store)
        .into_iter()
        .flatten()
        .find(|entry| entry.file_name() == "manifest.db")
        .unwrap();
    let before = world.run(["diff", "--name-status"]).ok();
    let connection = rusqlite::Connection::open(manifest.path()).unwrap();
    let mut bodies = connection.prepare("SELECT digest, body FROM tree").unwrap();
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        bodies.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().flatten().collect();
    let mut broken = 0;
    for (digest, _) in &rows {
        connection.execute("UPDATE tree SET body = x'00' WHERE digest = ?1", [digest]).unwrap();
        if world.run(["diff", "--name-status"]).code() == 0 {
            broken += 1;
        } else {
            let body = &rows.iter().find(|row| row.0 == *digest).unwrap().1;
            connection.execute("UPDATE tree SET body = ?2 WHERE digest = ?1", (digest, body)).unwrap();
        }
    }
    assert_eq!(world.run(["diff", "--name-status"]).ok(), before);
    assert!(rows.len() - broken <= 6, "{} bodies of {} are read", rows.len() - broken, rows.len());
}
