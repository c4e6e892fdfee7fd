//! `vrift verify` finds a store in use sound.

mod support;

use serde_json::Value;
use support::World;

/// What `vrift verify` finds: (what, place, detail).
fn verify(world: &World, args: &[&str]) -> (Vec<(String, String, String)>, Value) {
    let ran = world.run(["verify", "--json"].iter().chain(args));
    let report: Value = serde_json::from_str(&ran.stdout()).unwrap_or_else(|_| panic!("{}", ran.stderr()));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_string();
    let found: Vec<_> = report["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (text(finding, "what"), text(finding, "place"), text(finding, "detail")))
        .collect();
    assert_eq!(ran.code(), i32::from(!found.is_empty()), "{}", ran.stderr());
    (found, report)
}

#[track_caller]
fn clean(world: &World) {
    let (found, _) = verify(world, &["--deep"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// A world with everything in it that can be damaged: kinds, links, attributes, a large
/// directory, a snapshot, a fork whose files lie in layers.
fn full() -> World {
    let world = World::new();
    world.write("src/a.c", "int a;\n");
    world.write("src/deep/b.c", "int b;\n");
    world.write("empty", "");
    world.write("host only", "as on the host\n");
    for number in 0..1100 {
        world.write(&format!("many/{number}"), format!("{}\n", number % 7));
    }
    std::os::unix::fs::symlink("src/a.c", world.project.join("link")).unwrap();
    std::fs::hard_link(world.project.join("src/a.c"), world.project.join("hard")).unwrap();
    let script = "mkdir out; echo one > out/one; mkfifo out/pipe; chmod 600 out/one; ln out/one out/two; \
                  python3 -c \"import os; os.setxattr('out/one', 'user.x', b'y'); \
                  os.setxattr('src', 'user.overlay.opaque', b'y')\"";
    world.sh(script).ok();
    world.run(["commit", "v1"]).ok();
    world.run(["fork", "twig"]).ok();
    world
        .run(["exec", "-w", "twig", "sh", "-c", "echo twig > twig; rm -r src/deep; echo more >> out/one"])
        .ok();
    world.run(["exec", "-w", "twig", "sh", "-c", "rm many/3; mkdir src/deep; echo again > src/deep/c"]).ok();
    world
}

#[test]
fn a_store_in_use_is_sound() {
    needs_sessions!();
    let world = full();
    clean(&world);
    let said = world.run(["verify"]);
    assert_eq!(said.stdout(), "");
    assert!(said.stderr().contains("1 project: all is well"), "{}", said.stderr());
    // beside a live run, and with what that has written so far
    let script = "echo begun > begun; echo ready; read line";
    let mut live = world.vrift();
    live.args(["exec", "sh", "-c", script]).stdin(std::process::Stdio::piped());
    let mut live = live.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(live.stdout.as_mut().unwrap(), &mut ready).unwrap();
    clean(&world);
    drop(live.stdin.take());
    live.wait().unwrap();
    clean(&world);
}
