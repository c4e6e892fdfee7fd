//! `vrift stats`: what the store holds, for whom.

mod support;

use serde_json::Value;
use support::World;

fn counted(world: &World) -> Value {
    serde_json::from_str(&world.run(["stats", "--json"]).ok()).unwrap()
}

#[test]
fn what_is_shared_old_and_alone_is_counted_once() {
    needs_sessions!();
    let world = World::new();
    world.write("sub/a", "a".repeat(1000));
    world.write("b", "b".repeat(300));
    world.sh("true").ok();
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "sh", "-c", "printf %0500d 1 > new; printf %0700d 2 > old"]).ok();
    world.run(["exec", "-w", "f", "rm", "old"]).ok();
    let found = counted(&world);
    let share = &found["projects"][0];
    assert_eq!((&share["live"]["count"], &share["live"]["bytes"]), (&3.into(), &1800.into()), "{found}");
    assert_eq!((&share["history"]["count"], &share["history"]["bytes"]), (&1.into(), &700.into()), "{found}");
    assert_eq!(share["alone"]["bytes"], 2500);
    assert_eq!(found["objects"]["bytes"], 2500);
    assert_eq!(found["unnamed"]["count"], 0);
    let here = &found["here"];
    let of = |name: &str| {
        let all = here["workspaces"].as_array().unwrap();
        all.iter().find(|workspace| workspace["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (of("main")["held"]["bytes"].clone(), of("main")["alone"]["bytes"].clone()),
        (1300.into(), 0.into())
    );
    assert_eq!(
        (of("f")["held"]["bytes"].clone(), of("f")["alone"]["bytes"].clone()),
        (1800.into(), 500.into())
    );
    assert_eq!(here["together"]["bytes"], 1800);
    assert_eq!(here["largest"][0], serde_json::json!({ "path": "sub/a", "bytes": 1000 }));
    assert_eq!(here["tree"]["inner"]["sub"]["bytes"], 1000);

    // what another project has too is nobody's alone
    let other = World::new();
    other.write("same", "a".repeat(1000));
    let mut command = other.vrift();
    command.env("VRIFT_STORE", &world.store).arg("sync");
    assert!(command.status().unwrap().success());
    let found = counted(&world);
    assert_eq!(found["projects"].as_array().unwrap().len(), 2);
    let alone: u64 = found["projects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| share["alone"]["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(alone, 1500);

    // a project that cannot be read is said, and the others are counted
    let id = found["projects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|share| share["live"]["bytes"] == 1000)
        .unwrap()["id"]
        .clone();
    let manifest = world.store.join("projects").join(id.as_str().unwrap()).join("manifest.db");
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", manifest.display()));
    }
    std::fs::write(&manifest, "garbage".repeat(1000)).unwrap();
    let found = counted(&world);
    let broken =
        found["projects"].as_array().unwrap().iter().filter(|share| share["broken"].is_string()).count();
    assert_eq!(broken, 1, "{found}");
    assert!(world.run(["stats"]).ok().contains("not counted"));
}

#[test]
fn snapshots_say_what_they_brought_and_garbage_is_named() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1".repeat(100));
    world.run(["commit", "one"]).ok();
    world.write("a", "2".repeat(150));
    world.write("b", "1".repeat(100));
    world.run(["commit", "two"]).ok();
    let found = counted(&world);
    let new = |number: usize| found["here"]["snapshots"][number]["new"]["bytes"].clone();
    assert_eq!((new(0), new(1)), (100.into(), 150.into()), "{found}");
    let dir = world.store.join("objects/zz");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("z".repeat(20)), "nobody's").unwrap();
    std::fs::write(dir.join("no object"), "").unwrap();
    let text = world.run(["stats"]).ok();
    assert!(text.contains("1 object (8 B) that nothing names: vrift gc"), "{text}");
    assert!(text.contains("two") && text.contains("largest in main"), "{text}");
}

#[test]
fn the_page_stands_by_itself_and_believes_no_name() {
    needs_sessions!();
    let world = World::new();
    world.write("<img src=x onerror=alert(1)>/{{body}}\"'&", "x".repeat(5000));
    world.write("deep/er/and/deeper/still/file", "y".repeat(9000));
    world.sh("echo '<script>' > /dev/null").ok();
    let file = world.path().join("page.html");
    world.run(["stats", "--html", file.to_str().unwrap()]).ok();
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("http"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;") && page.contains(">deep</text>"), "{page}");
    assert_eq!(page.matches("<svg").count(), 1);
    let error = world.run(["stats", "--html", "/proc/none/page"]).fails(1);
    assert!(error.contains("write `/proc/none/page`"), "{error}");
}

#[test]
fn outside_of_a_project_and_without_a_store_it_says_what_there_is() {
    let world = World::new();
    assert!(world.run(["stats"]).stderr().contains("there is no store yet"));
    world.write("a", "x");
    world.run(["sync"]).ok();
    let elsewhere = world.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut command = world.vrift();
    let ran = support::Ran(command.current_dir(&elsewhere).args(["stats", "--json"]).output().unwrap());
    let found: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert!(found["here"].is_null() && found["objects"]["count"] == 1, "{found}");
    assert!(world.run(["stats", "-w", "none"]).fails(1).contains("none"));
}
