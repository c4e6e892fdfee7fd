//! `@live`: what a session shows now is named like any other state.

mod support;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use support::{World, listing};
use vrift::os::lock::{Hold, Lock};

/// A session whose run has run `script` and goes on.
struct Live {
    child: Child,
    go: PathBuf,
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.go, "");
    }
}

impl Live {
    fn start(world: &World, script: &str) -> Self {
        let go = world.path().join("go");
        let script =
            format!("{script}; : > {0}.ready; while [ ! -e {0} ]; do sleep 0.01; done", go.display());
        let mut child = world.vrift().args(["exec", "sh", "-c", &script]).spawn().unwrap();
        while !world.path().join("go.ready").exists() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, go }
    }

    fn end(mut self) {
        std::fs::write(&self.go, "").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn it_is_taken_where_it_makes_sense_and_refused_clearly_elsewhere() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.exec(["true"]).ok();
    for args in
        [&["export", "@live", "none"][..], &["diff", "main", "@live"], &["fork", "none", "--from", "@live"]]
    {
        let error = world.run(args).fails(1);
        assert!(error.contains("no live run"), "{args:?}: {error}");
    }
    let live = Live::start(&world, "echo 2 > a; mkdir d; echo n > d/n; chmod 700 d/n");
    let copy = world.path().join("copy");
    world.run(["export", "@live", copy.to_str().unwrap()]).ok();
    let inner = world.path().join("inner");
    world.run(["exec", "--no-sync", "cp", "-a", ".", inner.to_str().unwrap()]).ok();
    assert_eq!(listing(&copy)[1..], listing(&inner)[1..]);
    let changed = world.run(["diff", "main", "@live", "--name-status"]).ok();
    assert!(changed.contains("M a\n") && changed.contains("A d/n\n"), "{changed}");
    assert_eq!(world.run(["diff", "@live", "main", "--name-status", "--", "a"]).ok(), "M a\n");
    // it is no state that is kept
    for args in [
        &["restore", "@live"][..],
        &["restore", "@live", "a"],
        &["bundle", "create", "file", "@live"],
        &["fork", "none", "--from", "@live~1"],
    ] {
        let error = world.run(args).fails(1);
        assert!(error.contains("hint") || error.contains("vrift"), "{args:?}: {error}");
        assert!(error.contains("@live"), "{args:?}: {error}");
    }
    world.run(["fork", "f", "--from", "@live"]).ok();
    assert_eq!(world.run(["exec", "-w", "f", "cat", "a", "d/n"]).ok(), "2\nn\n");
    live.end();
}

#[test]
fn what_is_shown_of_it_is_not_swept_meanwhile() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    let text = |seed: &str| (0..40_000).map(|line| format!("{seed} {line}\n")).collect::<String>();
    for name in ["one", "two", "three"] {
        std::fs::write(world.path().join(name), text(name)).unwrap();
    }
    let live = Live::start(&world, "cp ../one ../two ../three .");
    // it has printed a part, and waits for its reader
    let mut diff = world.vrift();
    let mut diff = diff.args(["diff", "main", "@live"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = diff.stdout.take().unwrap();
    let mut first = [0u8; 1000];
    out.read_exact(&mut first).unwrap();
    let lock = world.store.join("lock");
    assert!(Lock::attempt(&lock, Hold::Exclusive).unwrap().is_none());
    let mut gc = world.vrift().args(["gc", "--grace", "0"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200)); // as far as it comes
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(diff.wait().unwrap().success());
    for name in ["one", "two", "three"] {
        let all = format!("{}{rest}", String::from_utf8_lossy(&first));
        assert!(all.contains(&format!("+{name} 0\n")) && all.contains(&format!("+{name} 39999\n")), "{name}");
    }
    assert!(gc.wait().unwrap().success());
    // what was swept since is stored again when it is kept
    world.run(["gc", "--grace", "0"]).ok();
    world.run(["commit", "kept"]).ok();
    live.end();
    let kept = world.path().join("kept");
    world.run(["export", "kept", kept.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(kept.join("two")).unwrap(), text("two"));
}
