//! `.git` is one unit: it follows the host until something was committed, checked out or
//! staged inside, and then belongs to the workspace until both are equal again.

#[allow(dead_code)]
#[path = "support/repository.rs"]
mod repository;
mod support;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use repository::*;

#[test]
fn an_untouched_repository_follows_commits_checkouts_and_gc_of_the_host() {
    needs_sessions!();
    let world = repository();
    assert_eq!(inside(&world, "git log --format=%s").ok(), "first\n");
    world.edit("a.txt", "second\n");
    host(&world, &["commit", "-qam", "second"]);
    assert_eq!(inside(&world, "git log -1 --format=%s; git status --short").ok(), "second\n");
    host(&world, &["checkout", "-qb", "topic"]);
    world.edit("a.txt", "third\n");
    host(&world, &["commit", "-qam", "third"]);
    host(&world, &["gc", "-q", "--prune=now"]);
    let told = "git branch --show-current; git log -1 --format=%s; git status --short; ";
    assert_eq!(inside(&world, &format!("{told}{FSCK}")).ok(), "topic\nthird\n");
    host(&world, &["checkout", "-q", "trunk"]);
    // The index was refreshed inside: its stat data is not what counts.
    assert_eq!(
        inside(&world, &format!("git update-index -q --really-refresh; {told}{FSCK}")).ok(),
        "trunk\nsecond\n"
    );
    host(&world, &["checkout", "-q", "topic"]);
    assert_eq!(inside(&world, &format!("{told}{FSCK}")).ok(), "topic\nthird\n");
    assert_eq!(owned(&world), serde_json::json!([]));
}

#[test]
fn what_was_committed_inside_stays_until_the_host_has_it_too() {
    needs_sessions!();
    let world = repository();
    inside(&world, "echo inside > a.txt; git commit -qam inside").ok();
    world.edit("dir/b.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    let ran = inside(&world, &format!("git log --format=%s; {FSCK}"));
    assert!(!ran.stderr().contains(".git"), "no conflict below .git: {}", ran.stderr());
    assert_eq!(ran.ok(), "inside\nfirst\n");
    let git = owned(&world);
    assert_eq!(git[0]["path"], ".git");
    assert!(git[0]["unlike"].as_array().unwrap().contains(&"refs".into()), "{git}");
    let told = world.run(["status"]).ok();
    assert!(told.contains("git `.git` belongs to the workspace"), "{told}");
    assert!(!told.contains(".git/"), "{told}");
    // The host's objects are there all the same, and none was lost.
    let tip = host(&world, &["rev-parse", "HEAD"]);
    assert_eq!(inside(&world, &format!("git log --format=%s {tip}")).ok(), "host\nfirst\n");
    assert_eq!(host(&world, &["log", "--format=%s"]), "host\nfirst\n");
    // Brought together on the host, by git; then it follows again.
    host(&world, &["fetch", "-q", "vrift::main", "trunk"]);
    host(&world, &["reset", "-q", "--hard", "FETCH_HEAD"]);
    assert_eq!(
        inside(&world, &format!("git log -1 --format=%s; git status --short; {FSCK}")).ok(),
        "inside\n"
    );
    assert_eq!(owned(&world), serde_json::json!([]));
    world.edit("a.txt", "after\n");
    host(&world, &["commit", "-qam", "after"]);
    assert_eq!(
        inside(&world, &format!("git log -1 --format=%s; git status --short; {FSCK}")).ok(),
        "after\n"
    );
}

#[test]
fn staging_and_checking_out_inside_make_it_the_workspaces() {
    needs_sessions!();
    for (script, unlike) in [
        ("echo x > new; git add new", "index"),
        ("git checkout -q --detach", "HEAD"),
        ("git branch other", "refs"),
        ("git rev-parse HEAD > .git/MERGE_HEAD", "an operation under way"),
    ] {
        let world = repository();
        inside(&world, script).ok();
        assert_eq!(owned(&world)[0]["unlike"], serde_json::json!([unlike]), "{script}");
        world.edit("a.txt", "host\n");
        host(&world, &["commit", "-qam", "host"]);
        assert_eq!(inside(&world, &format!("git log -1 --format=%s; {FSCK}")).ok(), "first\n", "{script}");
    }
}

#[test]
fn the_configuration_is_merged_while_the_repository_follows() {
    needs_sessions!();
    let world = repository();
    inside(&world, "git config user.name inside").ok();
    assert_eq!(owned(&world), serde_json::json!([]));
    world.write(".git/hooks/pre-push", "#!/bin/sh\n");
    world.edit("a.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    let told = inside(&world, "git config user.name; git log -1 --format=%s; cat .git/hooks/pre-push").ok();
    assert_eq!(told, "inside\nhost\n#!/bin/sh\n");
}

#[test]
fn objects_made_inside_keep_what_they_need() {
    needs_sessions!();
    let world = repository();
    world.edit("a.txt", "soon gone\n");
    host(&world, &["commit", "-qam", "soon gone"]);
    // A commit on a commit that the host is about to forget; no ref inside names it.
    let script = "c=$(git commit-tree -p HEAD -m dangling HEAD^{tree}); echo $c";
    let dangling = inside(&world, script).ok();
    let dangling = dangling.trim();
    host(&world, &["reset", "-q", "--hard", "HEAD^"]);
    host(&world, &["reflog", "expire", "--expire=now", "--all"]);
    host(&world, &["gc", "-q", "--prune=now"]);
    let told =
        inside(&world, &format!("git log -1 --format=%s; git log --format=%s {dangling}; {FSCK}")).ok();
    assert_eq!(told, "first\ndangling\nsoon gone\nfirst\n");
}

#[test]
fn lock_files_of_a_running_git_are_not_taken_in() {
    needs_sessions!();
    let world = repository();
    for name in ["index.lock", "refs/heads/trunk.lock", "objects/pack/tmp_pack_x", "gc.pid"] {
        world.write(&format!(".git/{name}"), "");
    }
    let found = "find .git -name '*.lock' -o -name 'tmp_*' -o -name gc.pid";
    assert_eq!(inside(&world, &format!("{found}; echo x > a.txt; git commit -qam inside; {FSCK}")).ok(), "");
}

#[test]
fn nested_repositories_and_submodules_are_units_of_their_own() {
    needs_sessions!();
    let world = repository();
    let lib = world.path().join("lib");
    std::fs::create_dir(&lib).unwrap();
    for args in [&["init", "-q", "-b", "trunk"][..], &["commit", "-q", "--allow-empty", "-m", "lib one"]] {
        assert!(git(&world, &lib).args(args).status().unwrap().success());
    }
    let url = lib.to_str().unwrap();
    host(&world, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]);
    host(&world, &["commit", "-qm", "sub"]);
    host(&world, &["clone", "-q", url, "vendored"]);
    inside(&world, "cd sub; git commit -q --allow-empty -m 'sub inside'").ok();
    world.edit("a.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    host(&world, &["-C", "vendored", "commit", "-q", "--allow-empty", "-m", "vendored host"]);
    host(&world, &["-C", "sub", "commit", "-q", "--allow-empty", "-m", "sub host"]);
    let told = "for d in . sub vendored; do git -C $d log -1 --format=%s; (cd $d; git fsck --strict --no-dangling); done";
    assert_eq!(inside(&world, told).ok(), "host\nsub inside\nvendored host\n");
}

#[test]
fn a_repository_removed_inside_stays_removed_and_one_made_anew_stays() {
    needs_sessions!();
    let world = repository();
    inside(&world, "rm -rf .git").ok();
    world.edit("a.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    assert_eq!(inside(&world, "ls -A").ok(), "a.txt\ndir\n");
    inside(&world, "git init -q -b fresh; git add .; git commit -qm fresh").ok();
    host(&world, &["commit", "-q", "--allow-empty", "-m", "more"]);
    assert_eq!(inside(&world, &format!("git log --format=%s; {FSCK}")).ok(), "fresh\n");
}

#[test]
fn commits_of_a_live_session_meet_those_that_sync_brought() {
    needs_sessions!();
    let world = repository();
    world.exec(["true"]).ok();
    let live = live(&world, "echo inside > a.txt; git commit -qam inside");
    world.edit("dir/b.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    world.run(["sync"]).ok();
    end(&world, live);
    assert_eq!(inside(&world, &format!("git log --format=%s; {FSCK}")).ok(), "inside\nfirst\n");
}

/// The host commits and collects garbage all the time; what sync takes over is whole.
#[test]
fn what_is_taken_over_while_the_host_commits_is_whole() {
    needs_sessions!();
    let world = repository();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                world.write("a.txt", format!("{round}\n"));
                host(&world, &["commit", "-qam", &round.to_string()]);
                match round % 4 {
                    1 => drop(host(&world, &["gc", "-q", "--prune=now"])),
                    2 => drop(host(&world, &["checkout", "-qb", &format!("b{round}")])),
                    3 => drop(host(&world, &["pack-refs", "--all", "--prune"])),
                    _ => {}
                }
            }
            round
        });
        let rounds = if std::env::var_os("VRIFT_SLOW").is_some() { 60 } else { 12 };
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..rounds {
                let told = inside(
                    &world,
                    "git log --format=%s | tail -1; git fsck --full 2>&1 | grep -v ^dangling || true",
                )
                .ok();
                assert_eq!(told, "first\n");
            }
        }));
        done.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 1);
        if let Err(panic) = checked {
            std::panic::resume_unwind(panic);
        }
    });
    assert_eq!(inside(&world, FSCK).ok(), "");
}

#[test]
fn git_status_after_a_sync_opens_no_source_file() {
    needs_sessions!();
    if Command::new("strace").arg("-V").output().is_err() {
        let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
        assert!(!must, "strace is needed");
        eprintln!("skipped: there is no strace");
        return;
    }
    let files = if std::env::var_os("VRIFT_SLOW").is_some() { 50_000 } else { 2_000 };
    let world = repository();
    for number in 0..files {
        world.write(&format!("src/{}/{number}.src", number / 500), format!("{number}"));
    }
    // Older than the index, or git would read what changed in the same second as it did.
    let old = "find . -name '*.src' -o -name '*.txt' | xargs touch -d '2 hours ago'; git add .; git commit -qm many; touch -d '1 hour ago' .git/index";
    assert!(
        git(&world, &world.project)
            .args(["-c", "alias.x=!sh -c \"$SCRIPT\"", "x"])
            .env("SCRIPT", old)
            .status()
            .unwrap()
            .success()
    );
    let trace = world.path().join("trace");
    let look = |told: &str| {
        let script =
            format!("strace -f -e trace=open,openat,openat2 -o ../trace git status --short; true {told}");
        let ran = inside(&world, &script);
        let text = std::fs::read_to_string(&trace).unwrap();
        assert!(text.contains(".git/index"), "the trace is of git: {}", ran.stderr());
        let opened: Vec<&str> = text.lines().filter(|line| line.contains(".src\"")).collect();
        (ran.ok(), opened.len(), opened.first().map(ToString::to_string))
    };
    assert_eq!(look("first"), (String::new(), 0, None));
    assert_eq!(look("again"), (String::new(), 0, None));
    world.edit("src/0/1.src", "changed");
    let (told, opened, _) = look("one changed");
    assert_eq!((told.as_str(), opened), (" M src/0/1.src\n", 0), "the size says it");
    host(&world, &["commit", "-qam", "changed"]);
    let (told, opened, first) = look("after a commit");
    assert_eq!(told, "");
    assert!(opened <= 1, "{opened} {first:?}");
}

/// kill -9 of a sync that takes over a repository: the workspace's is whole.
#[test]
fn a_sync_killed_at_any_moment_leaves_a_whole_repository() {
    needs_sessions!();
    let world = repository();
    inside(&world, "true").ok();
    let rounds = if std::env::var_os("VRIFT_SLOW").is_some() { 60 } else { 15 };
    for round in 0..rounds {
        world.write("a.txt", format!("{round}\n"));
        host(&world, &["commit", "-qam", &format!("{round}")]);
        if round % 5 == 4 {
            host(&world, &["gc", "-q", "--prune=now"]);
        }
        let mut sync = world.vrift().args(["-q", "sync"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 2 % 40));
        let _ = sync.kill();
        sync.wait().unwrap();
        let ran = world.run(["-q", "exec", "--no-sync", "--", "sh", "-c", FSCK]);
        assert_eq!(ran.ok(), "", "{round}");
    }
    assert_eq!(
        inside(&world, &format!("git log -1 --format=%s; git status --short; {FSCK}")).ok(),
        format!("{}\n", rounds - 1)
    );
}
