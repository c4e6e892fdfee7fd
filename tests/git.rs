//! `.git` is one unit: it follows the host until something was committed, checked out or
//! staged inside, and then belongs to the workspace until both are equal again.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Ran, World};

/// A world whose project is a repository with one commit.
fn repository() -> World {
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    world.write("a.txt", "a\n");
    world.write("dir/b.txt", "b\n");
    host(&world, &["init", "-q", "-b", "trunk"]);
    host(&world, &["add", "."]);
    host(&world, &["commit", "-q", "-m", "first"]);
    world
}

fn git(world: &World, dir: &Path) -> Command {
    let mut git = world.command("git");
    let bin = Path::new(env!("CARGO_BIN_EXE_vrift")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin.to_path_buf()).chain(std::env::split_paths(&path)));
    git.current_dir(dir).env("PATH", path.unwrap());
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "tester").env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    git
}

fn output(world: &World, args: &[&str]) -> Output {
    git(world, &world.project).args(args).output().unwrap()
}

/// git on the host; it must succeed.
#[track_caller]
fn host(world: &World, args: &[&str]) -> String {
    Ran(output(world, args)).ok()
}

/// A script inside, with an identity to commit with.
fn inside(world: &World, script: &str) -> Ran {
    let mut vrift = world.vrift();
    for role in ["AUTHOR", "COMMITTER"] {
        vrift
            .env(format!("GIT_{role}_NAME"), "tester")
            .env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    Ran(vrift.args(["exec", "--", "sh", "-ec", script]).output().unwrap())
}

/// A run that goes on until the world's `go` is there; returns when the script has run.
fn live(world: &World, script: &str) -> std::process::Child {
    let script = format!("{script}; touch ../ready; while [ ! -e ../go ]; do sleep 0.05; done");
    let mut vrift = world.vrift();
    for role in ["AUTHOR", "COMMITTER"] {
        vrift
            .env(format!("GIT_{role}_NAME"), "tester")
            .env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    let mut child = vrift.args(["-q", "exec", "--", "sh", "-ec", &script]).spawn().unwrap();
    while !world.path().join("ready").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child
}

/// Lets a live run end.
fn end(world: &World, mut live: std::process::Child) {
    std::fs::write(world.path().join("go"), "").unwrap();
    assert!(live.wait().unwrap().success());
}

const FSCK: &str = "git fsck --full --strict 2>&1 | grep -v '^dangling' || true";

/// The words of `status --json` about repositories.
fn owned(world: &World) -> serde_json::Value {
    let status: serde_json::Value = serde_json::from_str(&world.run(["status", "--json"]).ok()).unwrap();
    status["git"].clone()
}

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
fn a_workspace_is_cloned_listed_and_fetched_from_and_never_pushed_to() {
    needs_sessions!();
    let world = repository();
    // Fetching registers nothing.
    let refused = Ran(output(&world, &["ls-remote", "vrift::main"])).fails(128);
    assert!(refused.contains("there is no store"), "{refused}");
    inside(&world, "git checkout -qb topic; echo t > t.txt; git add t.txt; git commit -qm topic").ok();
    let listed = host(&world, &["ls-remote", "vrift::main"]);
    assert!(listed.contains("refs/heads/topic") && listed.contains("refs/heads/trunk"), "{listed}");
    host(&world, &["fetch", "-q", "vrift::", "topic:topic"]);
    assert_eq!(host(&world, &["log", "--format=%s", "topic"]), "topic\nfirst\n");
    host(&world, &["remote", "add", "workspace", "vrift::main"]);
    host(&world, &["fetch", "-q", "workspace"]);
    assert_eq!(host(&world, &["log", "-1", "--format=%s", "workspace/topic"]), "topic\n");
    // From elsewhere, by the project's directory.
    let address = format!("vrift::{}#main", world.project.display());
    let cloned = git(&world, world.path()).args(["clone", "-q", &address, "cloned"]).output().unwrap();
    Ran(cloned).ok();
    assert_eq!(std::fs::read_to_string(world.path().join("cloned/t.txt")).unwrap(), "t\n");
    let refused = Ran(output(&world, &["push", "-q", "vrift::main", "trunk:pushed"])).fails(128);
    assert!(refused.contains("cannot be pushed to") && refused.contains("git fetch host"), "{refused}");
    let unknown = Ran(output(&world, &["fetch", "vrift::nowhere"])).fails(128);
    assert!(unknown.contains("there is no workspace `nowhere`"), "{unknown}");
    // Nothing of it was written to the workspace, and a live session serves as well.
    let status = world.run(["status", "--no-sync"]).ok();
    assert!(!status.contains(".git/"), "{status}");
    let live = live(&world, "echo more > t.txt; git commit -qam more");
    host(&world, &["fetch", "-q", "workspace"]);
    end(&world, live);
    assert_eq!(host(&world, &["log", "-1", "--format=%s", "workspace/topic"]), "more\n");
}

#[test]
fn the_hosts_repository_is_a_read_only_remote_inside() {
    needs_sessions!();
    let world = repository();
    inside(&world, "echo inside > a.txt; git commit -qam inside").ok();
    world.edit("dir/b.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    let config = world.read(".git/config");
    let told = inside(&world, "git fetch -q host; git log --format=%s host/trunk; git checkout -q .; git rebase -q host/trunk; git log --format=%s; cat dir/b.txt").ok();
    assert_eq!(told, "host\nfirst\ninside\nhost\nfirst\nhost\n");
    assert_eq!(inside(&world, "cat .git/config; git remote").ok(), format!("{config}host\n"));
    let after = support::listing(&world.project.join(".git"));
    for script in [
        "git push -q host HEAD:pushed",
        "url=$(git config remote.host.url); echo x > \"$url/HEAD\"",
        "url=$(git config remote.host.url); rm -rf \"$url/refs\"",
        "url=$(git config remote.host.url); git -C \"$url\" branch x",
    ] {
        assert_ne!(inside(&world, script).code(), 0, "{script}");
    }
    assert_eq!(support::listing(&world.project.join(".git")), after);
    // A remote of that name which the user has is theirs.
    let world = repository();
    host(&world, &["remote", "add", "host", "/elsewhere"]);
    assert_eq!(inside(&world, "git config --get-all remote.host.url").ok(), "/elsewhere\n");
    // Without a repository there is none.
    let world = World::new();
    assert_eq!(world.sh("env | grep -c remote.host || true").ok(), "0\n");
}

#[test]
fn fetching_from_the_host_does_not_make_a_repository_the_workspaces() {
    needs_sessions!();
    let world = repository();
    inside(&world, "git fetch -q host").ok();
    assert_eq!(owned(&world), serde_json::json!([]));
    world.edit("a.txt", "host\n");
    host(&world, &["commit", "-qam", "host"]);
    assert_eq!(inside(&world, &format!("git log -1 --format=%s; {FSCK}")).ok(), "host\n");
}

#[test]
fn a_repository_that_a_git_file_names_is_read_only_unless_shared() {
    needs_sessions!();
    let world = repository();
    host(&world, &["worktree", "add", "-q", "-b", "side", "../side"]);
    let side = world.path().join("side");
    let run = |options: &[&str], script: &str| {
        let mut vrift = world.vrift();
        for role in ["AUTHOR", "COMMITTER"] {
            vrift.env(format!("GIT_{role}_NAME"), "t").env(format!("GIT_{role}_EMAIL"), "t@example.org");
        }
        vrift.arg("-C").arg(&side).arg("exec").args(options).args(["--", "sh", "-ec", script]);
        Ran(vrift.output().unwrap())
    };
    let head = || {
        String::from_utf8(git(&world, &side).args(["log", "-1", "--format=%s"]).output().unwrap().stdout)
            .unwrap()
    };
    assert_eq!(run(&[], "git log -1 --format=%s; git status --short").ok(), "first\n");
    let refused = run(&[], "echo x > a.txt; git commit -qam refused");
    assert!(refused.stderr().contains("Read-only file system"), "{}", refused.stderr());
    assert_eq!(head(), "first\n");
    // Without a look at the host too.
    assert_ne!(run(&["--no-sync"], "git commit -qam refused").code(), 0);
    run(&["--git", "shared"], "git commit -qam shared").ok();
    assert_eq!(head(), "shared\n");
    // The worktree is a project only because it was named; below it, the nearest `.git` directory is looked for.
    assert!(run(&["--git", "nonsense"], "true").code() == 2);
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

/// Forks and the host commit at once, and the host collects garbage: all commits are fetched,
/// and every repository is whole.
#[test]
fn forks_commit_at_once_while_the_host_commits_and_collects_garbage() {
    needs_sessions!();
    let world = repository();
    let forks = if std::env::var_os("VRIFT_SLOW").is_some() { 20 } else { 5 };
    inside(&world, "true").ok();
    let names: Vec<String> = (0..forks).map(|number| format!("fork{number}")).collect();
    for name in &names {
        world.run(["fork", name]).ok();
    }
    let exec = |name: &str, script: &str| {
        let mut vrift = world.vrift();
        for role in ["AUTHOR", "COMMITTER"] {
            vrift.env(format!("GIT_{role}_NAME"), "t").env(format!("GIT_{role}_EMAIL"), "t@example.org");
        }
        Ran(vrift.args(["-q", "exec", "-w", name, "--", "sh", "-ec", script]).output().unwrap()).ok()
    };
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || {
                exec(
                    name,
                    &format!(
                        "git checkout -qb {name}; echo {name} > {name}.txt; git add .; git commit -qm {name}"
                    ),
                );
            });
        }
        scope.spawn(|| {
            for round in 0..forks {
                world.write("a.txt", format!("{round}\n"));
                host(&world, &["commit", "-qam", &format!("host {round}")]);
                host(&world, &["gc", "-q", "--prune=now"]);
                inside(&world, "true").ok();
            }
        });
    });
    for name in &names {
        host(&world, &["fetch", "-q", &format!("vrift::{name}"), &format!("{name}:{name}")]);
        assert_eq!(host(&world, &["log", "--format=%s", name]), format!("{name}\nfirst\n"));
        assert_eq!(exec(name, FSCK), "", "{name}");
    }
    assert_eq!(host(&world, &["fsck", "--full", "--strict", "--no-dangling"]), "");
    assert_eq!(inside(&world, FSCK).ok(), "");
    assert_eq!(
        inside(&world, "git log -1 --format=%s; git status --short").ok(),
        format!("host {}\n", forks - 1)
    );
}
