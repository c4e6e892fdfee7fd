//! Everything that vrift does to a store or a host directory, each as one command in a world
//! made for it, so that it can be cut short at any of its steps.

use vrift::cas::durable::Point;
use vrift::os::remove::remove_tree;

use super::World;

/// One command.
pub struct Act {
    pub name: &'static str,
    /// Makes the world it is done in.
    pub begin: fn(&mut World),
    pub args: fn(&World) -> Vec<String>,
    /// The only failpoints that are of interest; empty: all that it comes to.
    pub only: &'static [&'static str],
    /// What the command is to have done when it was cut short in its middle: another state
    /// that is as good as the old and the new one.
    pub between: Option<&'static str>,
    /// Done again after it was cut short, before anything else: it finishes what it began.
    /// `Broken`: until then the store is not sound, as it was not before.
    pub again: Again,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Again {
    No,
    Finishes,
    Broken,
}

const fn act(name: &'static str, begin: fn(&mut World), args: fn(&World) -> Vec<String>) -> Act {
    Act { name, begin, args, only: &[], between: None, again: Again::No }
}

pub const ACTS: &[Act] = &[
    act("first run", host, |_| run("main", "echo new > new")),
    act("sync", edited, |_| words(&["sync"])),
    act("run that is folded", alone, |_| {
        run("main", "echo new > new; rm d/m; rm -r e; mkdir e; echo y > e/y; chmod 600 d/a; cp new again")
    }),
    act("run of a shared base", forked, |_| run("f", "echo new > d/new; rm d/m; mkdir n; echo n > n/n")),
    act("run that makes layers one", forked, |_| run("f", "seq 100 160 | xargs touch; echo new > d/new")),
    Act {
        only: &["base.rendered", "base.aside", "sweep.settled", "sweep.removed"],
        ..act("run that makes a base of its own", forked, |_| {
            run("f", "mkdir many; cd many; seq 200 1300 | xargs touch; echo new > ../d/new")
        })
    },
    Act {
        only: &["layer.rendered", "upper.layered", "copy.file", "copy.tmpfile"],
        ..act("run whose upper is no layer", forked, |_| {
            run("f", "touch .vrift-left; echo new > d/new; rm d/m; cp -p d/a d/b")
        })
    },
    Act {
        only: &["links.written", "fold.begun", "fold.done", "fold.marked", "base.rendered"],
        ..act("run on hard links", alone, |_| {
            words(&["exec", "--projection", "hardlink", "--", "sh", "-c", "echo new > new; rm d/m"])
        })
    },
    Act {
        only: &["staging.cleaned", "staging.spare", "staging.used"],
        ..act("run that finds what another left", idle, |_| run("main", "true"))
    },
    act("sync of a shared base", forked_and_edited, |_| run("main", "true")),
    Act {
        // killed before it could be discarded it is an orphan, and kept when that is asked for
        between: Some("echo x > x"),
        ..act("run that is discarded", alone, |_| {
            words(&["exec", "--discard", "--", "sh", "-c", "echo x > x"])
        })
    },
    act("run for once", sealed, |_| words(&["exec", "--from", "v1", "--", "sh", "-c", "echo x > x"])),
    act("commit", edited, |_| words(&["commit", "-m", "why", "c1"])),
    Act {
        between: Some("echo a > a"),
        ..act("commit in a run", alone, |_| {
            let binary = env!("CARGO_BIN_EXE_vrift");
            run("main", &format!("echo a > a; {binary} commit c1 || exit; echo b > b"))
        })
    },
    act("apply", written, |_| words(&["apply"])),
    act("gc", garbage, |_| words(&["gc", "--grace", "0"])),
    act("recover --keep", orphaned, |_| words(&["recover", "--keep"])),
    act("recover --drop", orphaned_by_a_cut, |_| words(&["recover", "--drop"])),
    act("fork", alone, |_| words(&["fork", "g"])),
    act("restore", sealed, |_| words(&["restore", "v1"])),
    act("undo", written, |_| words(&["undo"])),
    act("merge", forked, |_| words(&["merge", "f"])),
    act("resolve", in_conflict, |_| words(&["resolve", "--workspace"])),
    act("workspace delete", forked, |_| words(&["workspace", "delete", "f"])),
    Act {
        only: &["sweep.base"],
        ..act("workspace delete with its base", with_own_base, |_| words(&["workspace", "delete", "f"]))
    },
    act("first command after a power cut", cut, |_| words(&["sync"])),
    act("workspace rename", forked, |_| words(&["workspace", "rename", "f", "g"])),
    act("project forget", forked, |world| words(&["project", "forget", world.project.to_str().unwrap()])),
    Act {
        again: Again::Finishes,
        ..act("project move", moved, |world| {
            let old = world.path().canonicalize().unwrap().join("project");
            words(&["project", "move", old.to_str().unwrap(), world.project.to_str().unwrap()])
        })
    },
    Act {
        again: Again::Broken,
        ..act("verify --repair", damaged, |_| words(&["verify", "--deep", "--repair"]))
    },
    act("bundle load", bundled, |world| {
        words(&["bundle", "load", world.path().join("bundle").to_str().unwrap()])
    }),
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_string()).collect()
}

fn run(workspace: &str, script: &str) -> Vec<String> {
    words(&["exec", "-w", workspace, "--", "sh", "-c", script])
}

fn host(world: &mut World) {
    for (path, text) in [("host.txt", "host\n"), ("d/a", "a\n"), ("gone.txt", "gone\n"), ("empty", "")] {
        world.write(path, text);
    }
    std::os::unix::fs::symlink("d", world.project.join("link")).unwrap();
}

/// A project with one workspace.
fn alone(world: &mut World) {
    host(world);
    world.sh("mkdir e; echo main > d/m; echo x > e/x; chmod 700 e").ok();
}

/// The last session wrote nothing, and its staging lies by for the next.
fn idle(world: &mut World) {
    alone(world);
    world.exec(["true"]).ok();
}

/// A workspace and its fork, which has two layers.
fn forked(world: &mut World) {
    alone(world);
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "seq 40 | xargs touch; echo f > d/f"]).ok();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "seq 41 60 | xargs touch; echo g > d/g"]).ok();
}

fn with_own_base(world: &mut World) {
    forked(world);
    let script = "mkdir many; cd many; seq 200 1300 | xargs touch";
    world.run(["exec", "-w", "f", "--", "sh", "-c", script]).ok();
}

/// The machine was started anew, and one object of the last head has lost its bytes.
fn cut(world: &mut World) {
    forked(world);
    world.sh("echo torn > torn").ok();
    let torn = vrift::cas::Digest::of(b"torn\n").object_path();
    let object = world.store.join("objects").join(torn);
    remove_tree(&object).unwrap();
    std::fs::write(&object, "").unwrap();
    let point = Point { boot: "another".into(), ..Point::default() };
    point.write(&world.store, false).unwrap();
}

fn edit(world: &World) {
    world.edit("d/a", "edited\n");
    world.write("n/n", "new\n");
    std::fs::remove_file(world.project.join("gone.txt")).unwrap();
}

fn edited(world: &mut World) {
    alone(world);
    edit(world);
}

fn forked_and_edited(world: &mut World) {
    forked(world);
    edit(world);
}

/// With a snapshot and changes since.
fn sealed(world: &mut World) {
    alone(world);
    world.run(["commit", "v1"]).ok();
    written_more(world);
}

fn written(world: &mut World) {
    alone(world);
    written_more(world);
}

fn written_more(world: &World) {
    world.sh("echo changed > d/a; rm gone.txt; mkdir w; echo w > w/w; ln -s w v; chmod 640 host.txt").ok();
}

/// What only removed snapshots hold, and a base that a deleted fork had.
fn garbage(world: &mut World) {
    alone(world);
    for text in ["one", "two", "three"] {
        world.sh(&format!("echo {text} > only; mkdir -p t/{text}; echo {text}! > t/{text}/f")).ok();
    }
    world.run(["exec", "--from", "main", "--", "sh", "-c", "echo t > t/t"]).ok();
}

/// A session was killed whole after it had written.
fn orphaned(world: &mut World) {
    alone(world);
    let mut command = world.vrift();
    command.env("VRIFT_FAILPOINT", "session.ended!");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let script = "echo kept > kept; rm d/a; echo more > e/more";
    let killed = command.args(["exec", "--", "sh", "-c", script]).output().unwrap();
    assert!(!killed.status.success());
    assert_eq!(world.staging().len(), 1);
}

/// The power was cut while a session was being taken in: staged files are objects by then.
fn orphaned_by_a_cut(world: &mut World) {
    alone(world);
    let mut command = world.vrift();
    command.env("VRIFT_FAILPOINT", "take-in.published!");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let killed = command.args(["exec", "--", "sh", "-c", "echo staged > staged; rm d/a"]).output().unwrap();
    assert!(!killed.status.success());
    Point { boot: "another".into(), ..Point::default() }.write(&world.store, false).unwrap();
    world.run(["status"]).ok();
    assert_eq!(world.staging().len(), 1);
}

fn in_conflict(world: &mut World) {
    alone(world);
    world.sh("echo inside > d/a").ok();
    world.edit("d/a", "outside\n");
    world.exec(["true"]).ok();
}

/// Something of every kind is damaged: a tree of the last head, objects that the host has,
/// the mode of one, a base, a layer; and there is a stray.
fn damaged(world: &mut World) {
    forked(world);
    world.sh("mkdir w; echo w > w/inner").ok();
    let project = world.project_dir();
    let database = rusqlite::Connection::open(project.join("manifest.db")).unwrap();
    let change =
        "UPDATE tree SET body = CAST(body || x'00' AS BLOB) WHERE instr(body, CAST('inner' AS BLOB)) > 0";
    assert_eq!(database.execute(change, []).unwrap(), 1);
    let object =
        |text: &str| world.store.join("objects").join(vrift::cas::Digest::of(text.as_bytes()).object_path());
    remove_tree(&object("host\n")).unwrap();
    std::fs::write(object("host\n"), "HOST\n").unwrap();
    remove_tree(&object("gone\n")).unwrap();
    let set_mode = |path: &std::path::Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    };
    set_mode(&object("x\n"), 0o600);
    let lower = |dir: &str, path: &str| {
        let mut trees = std::fs::read_dir(project.join(dir)).unwrap().flatten().map(|tree| tree.path());
        trees.find(|tree| tree.join(path).exists()).unwrap().join(path)
    };
    set_mode(&lower("base", "e"), 0o711);
    remove_tree(&lower("layers", "d/g")).unwrap();
    std::fs::write(world.store.join("objects/stray"), "?").unwrap();
}

/// The host directory has moved.
fn moved(world: &mut World) {
    alone(world);
    let to = world.path().canonicalize().unwrap().join("moved");
    std::fs::rename(&world.project, &to).unwrap();
    world.project = to;
}

/// A bundle that another store made lies there.
fn bundled(world: &mut World) {
    alone(world);
    let other = World::new();
    other.write("other", "other\n");
    other.sh("echo more > more").ok();
    other.run(["commit", "far"]).ok();
    let path = world.path().join("bundle");
    other.run(["bundle", "create", path.to_str().unwrap(), "far"]).ok();
}
