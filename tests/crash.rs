//! Kills at any moment and full disks: the next run works, the head is an old or a new
//! state with all of its objects, and what was written is in it or in an orphan.

mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::World;
use vrift::cas::{Digest, Store, sparse};
use vrift::manifest::Manifest;
use vrift::manifest::diff::diff;
use vrift::manifest::node::Kind;
use vrift::os::dir::stat_fd;

/// Reads the head of `main` whole: every tree, and every object by its digest.
#[track_caller]
fn check(store: &Path) {
    let Some(project) = projects(store).pop() else { return };
    let store = Store::open(store).unwrap().unwrap();
    let manifest = Manifest::open(&project).unwrap();
    let Some(main) = manifest.workspace("main").unwrap() else { return };
    for root in [main.head, main.host_base].into_iter().flatten() {
        diff(&manifest, None, Some(&root), &mut |change| {
            if let Some(Kind::File(content)) = change.after.map(|entry| entry.kind)
                && content.size > 0
            {
                let file = store.open_object(&content.digest)?;
                assert_eq!(stat_fd(&file).unwrap().size, content.size);
                let found = if content.sparse {
                    sparse::digest(&file, content.size).unwrap()
                } else {
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(&mut File::from(file), &mut bytes).unwrap();
                    Digest::of(&bytes)
                };
                assert_eq!(found, content.digest);
            }
            Ok(())
        })
        .unwrap();
    }
}

fn projects(store: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(store.join("projects")).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).filter(|path| path.join("manifest.db").exists()).collect()
}

/// Starts a verb and kills it after a while, if it still runs then.
fn killed_after(world: &World, args: &[&str], delay: Duration) {
    let mut child = world.vrift().args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_launcher_killed_at_any_moment_loses_nothing() {
    needs_sessions!();
    let world = World::new();
    for number in 0..50 {
        world.write(&format!("src/{number}"), format!("{number}"));
    }
    world.exec(["true"]).ok();
    let mut complete = Vec::new();
    for round in 0..60 {
        // Each run writes a set of files and, when the set is whole, says so on the host.
        let done = world.path().join(format!("done-{round}"));
        let script = format!(
            "mkdir r{round}; for i in 1 2 3 4 5 6 7 8; do echo {round} $i > r{round}/$i; done; rm -f src/{round}; \
             sync_done={}; : > $sync_done",
            done.display()
        );
        killed_after(&world, &["exec", "--", "sh", "-c", &script], Duration::from_micros(1500 * round));
        if done.exists() {
            complete.push(round);
        }
        let next = world.sh("ls src > /dev/null; cat r*/1 > /dev/null 2>&1 || true");
        assert_eq!(next.code(), 0, "round {round}: {}", next.stderr());
        check(&world.store);
    }
    assert!(!complete.is_empty(), "no run got as far as writing");
    world.run(["recover", "--keep"]).ok();
    check(&world.store);
    for round in complete {
        let found = world.sh(&format!("cat r{round}/*; ls src/{round} 2> /dev/null || true")).ok();
        let expected: String = (1..=8).map(|number| format!("{round} {number}\n")).collect();
        assert_eq!(found, expected, "round {round}");
    }
    assert!(world.staging().is_empty(), "{:?}", world.staging());
    assert_eq!(world.run(["recover"]).ok(), "");
}

#[test]
fn a_first_take_in_killed_at_any_moment_can_be_done_again() {
    needs_sessions!();
    for round in 0..12 {
        let world = World::new();
        for number in 0..400 {
            world.write(&format!("d{}/{number}", number % 7), format!("{number} {round}").repeat(50));
        }
        let verb: &[&str] = if round % 2 == 0 { &["sync"] } else { &["exec", "true"] };
        killed_after(&world, verb, Duration::from_millis(4 * round));
        check(&world.store);
        assert_eq!(world.sh("cat d*/* | wc -c; find d* -type f | wc -l").ok().lines().last(), Some("400"));
        check(&world.store);
        assert!(world.staging().is_empty(), "{:?}", world.staging());
    }
}

#[test]
fn eight_first_runs_at_once_all_succeed() {
    needs_sessions!();
    for _ in 0..4 {
        let world = World::new();
        world.write("a", "from the host\n");
        std::thread::scope(|scope| {
            for run in 0..8 {
                let world = &world;
                scope.spawn(move || {
                    assert_eq!(world.sh(&format!("cat a; echo {run} > r{run}")).ok(), "from the host\n");
                });
            }
        });
        assert_eq!(world.sh("cat r*").ok(), "0\n1\n2\n3\n4\n5\n6\n7\n");
        check(&world.store);
    }
}

#[test]
fn a_project_whose_registration_was_cut_short_is_registered_again() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let project = projects(&world.store).pop().unwrap();
    for name in ["manifest.db", "manifest.db-wal", "manifest.db-shm"] {
        let _ = std::fs::remove_file(project.join(name));
    }
    // What a launcher leaves that is killed right after it made the manifest: no lower tree yet.
    std::fs::remove_dir_all(project.join("base")).unwrap();
    std::fs::create_dir(project.join("base")).unwrap();
    drop(Manifest::open(&project).unwrap());
    world.exec(["true"]).ok();
}

#[test]
fn syncs_beside_runs_leave_the_newest_state() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                std::fs::create_dir(world.project.join(format!("h{thread}"))).unwrap();
                for round in 0..8 {
                    // At once: a session may begin between a file's creation and its content.
                    let whole = world.path().join(format!("whole{thread}"));
                    std::fs::write(&whole, "host").unwrap();
                    std::fs::rename(&whole, world.project.join(format!("h{thread}/{round}"))).unwrap();
                    world.run(["sync"]).ok();
                    // Taken over by this sync at the latest, whatever others do beside it.
                    let seen = world.run(["exec", "--no-sync", "cat", &format!("h{thread}/{round}")]);
                    let joined = seen.code() != 0; // a session that was live before the sync
                    assert!(joined || seen.stdout() == "host");
                    world.sh(&format!("echo {round} > w{thread}-{round}")).ok();
                }
            });
        }
    });
    assert_eq!(world.sh("cat h*/* | wc -c; ls -d w* | wc -l").ok(), "128\n32\n");
    check(&world.store);
    assert!(world.staging().is_empty());
}

#[test]
fn finishing_a_take_in_links_no_staged_file() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.exec(["true"]).ok();
    // As after a take-in that copied, because a descriptor was out, and was then killed:
    // what is in staging by now may be anything (rule 2).
    let project = projects(&world.store).pop().unwrap();
    let upper = project.join("staging/s1-w1/upper");
    std::fs::create_dir_all(&upper).unwrap();
    std::fs::write(upper.join("late"), "written after the take-in").unwrap();
    let manifest = Manifest::open(&project).unwrap();
    let main = manifest.workspace("main").unwrap().unwrap();
    let head = main.head.unwrap();
    manifest.add_pending(main.id, "s1-w1", (&head, &head), None).unwrap();
    drop(manifest);
    let objects = world.objects().len();
    assert_eq!(world.sh("ls").ok(), "a\n");
    assert_eq!(world.objects().len(), objects);
    assert!(world.staging().is_empty());
}

/// A small filesystem of its own for the store; gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn mount(world: &World) -> Option<Self> {
        let (image, at) = (world.path().join("image"), world.path().join("disk"));
        File::create(&image).unwrap().set_len(24 << 20).unwrap();
        std::fs::create_dir(&at).unwrap();
        let run = |name: &str, args: &[&str], last: &[&Path]| {
            let ran = Command::new(name).args(args).args(last).output();
            ran.is_ok_and(|output| output.status.success())
        };
        let made = run("mkfs.ext4", &["-q", "-O", "^has_journal"], &[&image])
            && run("mount", &["-o", "loop"], &[&image, &at]);
        made.then_some(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    needs_sessions!();
    let mut world = World::new();
    let Some(disk) = rustix::process::geteuid().is_root().then(|| Disk::mount(&world)).flatten() else {
        eprintln!("skipped: a filesystem of its own cannot be mounted here");
        return;
    };
    world.store = disk.0.join("store");
    world.write("a", "x");
    world.sh("head -c 100000 /dev/urandom > before").ok();
    // The command fills the disk; what could be written is kept.
    let ran = world
        .sh("head -c 1000 /dev/zero > kept; head -c 50000000 /dev/urandom > big; echo $? > code; rm big");
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert_eq!(world.sh("wc -c < kept; wc -c < before").ok(), "1000\n100000\n");
    // Full at the end of the session: it is said, and the next run takes it in.
    let fill = disk.0.join("fill");
    let ran = world.sh(&format!(
        "for i in $(seq 300); do echo $i > late$i; done; head -c 50000000 /dev/zero > {} 2> /dev/null; true",
        fill.display()
    ));
    let said = ran.stderr();
    if ran.code() != 0 {
        assert_eq!(ran.code(), 125, "{said}");
        assert!(said.contains("No space left") || said.contains("full"), "{said}");
    }
    check(&world.store);
    std::fs::remove_file(&fill).unwrap();
    let next = world.sh("true");
    assert_eq!(next.code(), 0, "{}", next.stderr());
    world.run(["recover", "--keep"]).ok();
    assert_eq!(world.sh("cat late* | wc -l; cat late300").ok(), "300\n300\n");
    assert!(world.staging().is_empty());
    // Taking in the host fails, and goes on when there is room.
    world.write("huge", vec![7u8; 40 << 20]);
    let said = world.exec(["true"]).fails(125);
    assert!(said.contains("No space left"), "{said}");
    std::fs::remove_file(world.project.join("huge")).unwrap();
    world.exec(["true"]).ok();
    check(&world.store);
}

#[test]
fn a_directory_that_does_not_fit_is_not_renamed() {
    needs_sessions!();
    let mut world = World::new();
    let Some(disk) = rustix::process::geteuid().is_root().then(|| Disk::mount(&world)).flatten() else {
        eprintln!("skipped: a filesystem of its own cannot be mounted here");
        return;
    };
    world.store = disk.0.join("store");
    for number in 0u8..8 {
        world.write(&format!("old/sub/{number}"), vec![number; 1 << 20]);
    }
    let script = "head -c 10000000 /dev/urandom > big; cat old/*/* | md5sum
        python3 -c 'import os\ntry: os.rename(\"old\", \"new\")\nexcept OSError as e: print(e.strerror)'
        ls -A | grep -v git; rm big; cat old/*/* | md5sum";
    let said = world.sh(script).ok();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[1..4], ["No space left on device", "big", "old"], "{said}");
    assert_eq!(lines[0], lines[4]);
}
