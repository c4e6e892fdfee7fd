//! Commits travel by git: `git fetch vrift::NAME`, and the host as a remote inside.

#[allow(dead_code)]
#[path = "support/repository.rs"]
mod repository;
mod support;

use repository::*;
use support::*;

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
