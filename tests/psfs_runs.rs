//! Runs whose programs are answered from tables: what they are told is what the kernel says in
//! the same run, for everything below the Tier-1 directories and for what is not there.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use support::{World, compile};

/// A project with a Tier-1 directory, in a place that everybody gets to: a root caller's
/// commands may become other users.
fn world() -> World {
    let world = World::new();
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("vrift.toml", "[tier1]\npaths = ['vendor']\nexcept = ['vendor/cache']\n");
    fill(&world.project.join("vendor"), 20);
    world.write("vendor/cache/kept", "x");
    world
}

/// Directories with files, links, links to links, holes and hard links.
fn fill(top: &Path, dirs: usize) {
    for dir in 0..dirs {
        let at = top.join(format!("package-{dir}/sub"));
        fs::create_dir_all(&at).unwrap();
        for number in 0..100 {
            let path = at.join(format!("file.{number}"));
            match number {
                0 => symlink("file.1", &path).unwrap(),
                1 => fs::write(&path, format!("{dir} {}", "x".repeat(dir * 3000))).unwrap(),
                2 => fs::hard_link(at.join("file.1"), &path).unwrap(),
                3 => fs::File::create(&path).unwrap().set_len(1 << 20).unwrap(),
                4 => fs::write(&path, "").unwrap(),
                _ => fs::write(&path, format!("{number}")).unwrap(),
            }
        }
    }
}

/// All paths below directories, and as many that are not there.
fn list(world: &World, dirs: &[PathBuf]) -> PathBuf {
    let mut text = Vec::new();
    for entry in dirs.iter().flat_map(walkdir::WalkDir::new).map(Result::unwrap) {
        if entry.path().ends_with("cache") || entry.path().ends_with("cache/kept") {
            continue;
        }
        for path in [entry.path().to_owned(), entry.path().with_extension("absent")] {
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.push(0);
        }
    }
    let path = world.path().join("list");
    fs::write(&path, text).unwrap();
    path
}

fn differ(world: &World) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/psfs/differ.c");
    compile(world.path(), "cc", "differ", &source, &["-O1", "-D_FORTIFY_SOURCE=0"])
}

/// By call: how many were there, absent, left to the kernel, wrong.
fn compare(world: &World, options: &[&str], differ: &Path, list: &Path) -> BTreeMap<String, [u64; 4]> {
    let words = [differ.to_str().unwrap(), list.to_str().unwrap()];
    let ran = world.run(["exec"].iter().chain(options).chain(&["--"]).chain(&words));
    let errors = ran.stderr();
    let said = ran.ok();
    let counts: BTreeMap<String, [u64; 4]> = said
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].to_owned(), [2, 4, 6, 8].map(|at| words[at].parse().unwrap()))
        })
        .collect();
    assert_eq!(counts.len(), 22, "{said}");
    assert!(counts.values().all(|counts| counts[3] == 0), "{said}{errors}");
    counts
}

#[test]
fn what_is_answered_is_what_the_kernel_says_in_every_projection() {
    needs_sessions!();
    let world = world();
    let Some(differ) = differ(&world) else { return };
    let tools = world.path().join("tools");
    fill(&tools, 5);
    world.write(
        "vrift.toml",
        format!("[tier1]\npaths = ['vendor', '{}']\nexcept = ['vendor/cache']\n", tools.display()),
    );
    world.run(["allow"]).ok();
    let list = list(&world, &[world.project.join("vendor"), tools]);
    // 25 packages of 102 names, two roots; of each package two links
    let names = 25 * 102 + 2;
    for projection in ["stub", "hardlink", "copy"] {
        let counts = compare(&world, &["--projection", projection], &differ, &list);
        let links = 25;
        let [there, absent, cold, _] = counts["access"];
        // the names beside the roots are of directories that are not in a table
        assert_eq!([there, absent, cold], [names - links, names - 2, links + 2], "{projection}");
        let [there, absent, _, _] = counts["lstat"];
        assert_eq!(absent, names - 2, "{projection}");
        let files = 25 * 99;
        match projection {
            // of a stub with holes the kernel says other blocks once it has been opened
            "stub" => assert_eq!(there, names - 25, "{counts:?}"),
            "hardlink" => assert_eq!(there, names - files, "{counts:?}"),
            _ => assert_eq!(there, names, "{counts:?}"),
        }
        assert_eq!(counts["statx-all"][0], counts["stat"][0]);
    }
    let counts = compare(&world, &["--no-psfs"], &differ, &list);
    assert!(counts.values().all(|counts| counts[0] + counts[1] == 0), "{counts:?}");
}

#[test]
fn tables_are_made_once_for_a_base_and_generation() {
    needs_sessions!();
    let world = world();
    let tables = || {
        let mut names: Vec<String> = fs::read_dir(world.project_dir().join("vdir"))
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    world.exec(["true"]).ok();
    let first = tables();
    assert_eq!(first.len(), 1);
    let path = world.project_dir().join("vdir").join(&first[0]);
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    world.exec(["true"]).ok();
    assert_eq!((tables(), fs::metadata(&path).unwrap().modified().unwrap()), (first.clone(), made));
    world.edit("vendor/new", "x");
    world.exec(["sh", "-c", "stat $PWD/vendor/new"]).ok();
    let second = tables();
    assert!(second.len() == 1 && second != first, "{second:?}");
    world.run(["verify"]).ok();
    // a broken one is found, and nobody is told wrong by it
    let path = world.project_dir().join("vdir").join(&second[0]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "short").unwrap();
    let said = world.run(["verify"]);
    assert!(said.code() == 1 && said.stdout().contains("vdir/"), "{}{}", said.stdout(), said.stderr());
    world.exec(["sh", "-c", "stat $PWD/vendor/new"]).ok();
    world.run(["verify"]).ok();
}

#[test]
fn where_a_layer_has_changed_something_the_kernel_is_asked() {
    needs_sessions!();
    let world = world();
    let Some(differ) = differ(&world) else { return };
    let vendor = world.project.join("vendor");
    let list = list(&world, &[vendor]);
    // of links only existence is answered: one more of them changes the object's times and count
    let call = if world.links_objects() { "access" } else { "stat" };
    assert!(compare(&world, &[], &differ, &list)[call][0] > 1900);
    world.run(["fork", "other"]).ok();
    // a fork that changed nothing there is shown by the same base
    world.run(["exec", "-w", "other", "--", "sh", "-c", "echo x > beside"]).ok();
    assert!(compare(&world, &["-w", "other"], &differ, &list)[call][0] > 1900);
    let change = "chmod 600 vendor/package-1/sub/file.7; rm vendor/package-2/sub/file.8; echo new > vendor/package-3/new";
    world.run(["exec", "-w", "other", "--unlock", "vendor", "--", "sh", "-c", change]).ok();
    let counts = compare(&world, &["-w", "other"], &differ, &list);
    assert_eq!(counts[call][0] + counts[call][1], 0, "{counts:?}");
    assert!(compare(&world, &[], &differ, &list)[call][0] > 1900);
}

#[test]
fn a_nested_sandbox_is_never_answered_for() {
    needs_sessions!();
    let world = world();
    let file = world.project.join("vendor/package-1/sub/file.9");
    // in a mount namespace of its own anything may lie at the path
    let script = format!(
        "unshare -Urm sh -c 'mount -t tmpfs none {0}/vendor/package-1 && stat {1}' 2>&1 | grep -c 'No such file'; stat -c %s {1}",
        world.project.display(),
        file.display()
    );
    let ran = world.sh(&script);
    if ran.stdout().starts_with('0') {
        return support::skipped(&format!("no user namespaces inside: {}", ran.stdout()));
    }
    assert_eq!(ran.ok(), "1\n1\n");
}

#[test]
fn what_is_answered_is_counted_when_that_is_asked_for() {
    needs_sessions!();
    let world = world();
    world.exec(["true"]).ok();
    // 4 processes at once, each 100 times: there, absent, left to the kernel (relative)
    let script = format!(
        "for p in 1 2 3 4; do (i=0; while [ $i -lt 100 ]; do i=$((i + 1)); \
         [ -e {0}/vendor/package-1/sub/file.9 ]; [ -e {0}/vendor/package-1/sub/none ]; [ -e vendor ]; done) & done; wait",
        world.project.display()
    );
    let run = |options: &[&str]| {
        let words = ["--status-fd", "2", "--", "/bin/sh", "-c", &script];
        world.run(["exec"].iter().chain(options).chain(&words))
    };
    let ran = run(&["--psfs-stats"]);
    let said = ran.stderr();
    ran.ok();
    let of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let event = said.lines().filter_map(of).find(|event| event["event"] == "psfs").expect("an event");
    let stat = &event["stat"];
    // of shared inodes only existence is said (rule 29)
    let there = if world.links_objects() { 0 } else { 400 };
    assert_eq!((stat["there"].as_u64(), stat["absent"].as_u64()), (Some(there), Some(400)), "{event}");
    assert!(stat["asked"].as_u64().unwrap() >= 400, "{event}");
    let line = said.lines().find(|line| line.trim_start().starts_with("stat ")).expect("a line for stat");
    assert_eq!(line.split_whitespace().nth(1), Some(there.to_string().as_str()), "{said}");
    // nothing is counted, or said, unless that is asked for
    let ran = run(&[]);
    assert!(!ran.stderr().contains("by kernel") && !ran.stderr().contains("psfs"), "{}", ran.stderr());
    ran.ok();
    // a session that was opened without cannot begin to count
    let mut first = world.vrift();
    first.args(["exec", "--", "sh", "-c", "echo > started; while ! [ -e end ]; do sleep 0.05; done"]);
    let mut first = first.spawn().unwrap();
    let staging = world.project_dir().join("staging");
    let has_started = || {
        walkdir::WalkDir::new(&staging)
            .into_iter()
            .flatten()
            .any(|entry| entry.path().ends_with("upper/started"))
    };
    while !has_started() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let refused = run(&["--psfs-stats"]);
    assert!(refused.code() != 0 && refused.stderr().contains("--psfs-stats"), "{}", refused.stderr());
    world.exec(["touch", "end"]).ok();
    assert!(first.wait().unwrap().success());
}

#[test]
fn the_other_switches_are_as_they_were() {
    needs_sessions!();
    let world = world();
    let preload = |options: &[&str]| {
        let words = ["sh", "-c", "echo $LD_PRELOAD"];
        world.run(["exec"].iter().chain(options).chain(&["--"]).chain(&words)).ok()
    };
    let store = world.store.display();
    assert_eq!(preload(&[]), format!("{store}/preload/{}\n", vrift::psfs::environment::name()));
    assert_eq!(
        preload(&["--no-psfs"]),
        format!("{store}/preload/rename/{}\n", vrift::psfs::environment::name())
    );
    assert_eq!(preload(&["--rename", "off"]), "\n");
    // directories are renamed with it off
    world.write("dir/file", "x");
    world.run(["exec", "--no-psfs", "--", "python3", "-c", "import os; os.rename('dir', 'moved')"]).ok();
}
