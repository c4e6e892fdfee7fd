//! Configuration: the order of its places, what is refused, and how it is shown.

mod support;

use support::World;

fn user(world: &World, text: &str) {
    let dir = world.home.join(".config/vrift");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.toml"), text).unwrap();
}

fn class(world: &World, path: &str, change: impl Fn(&mut std::process::Command)) -> String {
    let mut command = world.vrift();
    command.args(["doctor", "--json", path]);
    change(&mut command);
    let ran = support::Ran(command.output().unwrap()).ok();
    let json: serde_json::Value = serde_json::from_str(&ran).unwrap();
    json["class"].as_str().unwrap().to_string()
}

#[test]
fn a_stronger_place_wins() {
    let world = World::new();
    world.write("vrift.toml", "[paths]\nown = ['dir']\n");
    world.write("dir/x", "x");
    assert_eq!(class(&world, "dir", |_| {}), "own");
    user(&world, "[paths]\nscratch = ['dir']\n");
    assert_eq!(class(&world, "dir", |_| {}), "scratch");
    let variable = |command: &mut std::process::Command| {
        command.env("VRIFT_PATHS_HIDE", "other:dir");
    };
    assert_eq!(class(&world, "dir", variable), "hide");
    let flag = |command: &mut std::process::Command| {
        variable(command);
        command.args(["--config", "paths.follow=[\"dir\"]"]);
    };
    assert_eq!(class(&world, "dir", flag), "follow");
    let elsewhere = |command: &mut std::process::Command| {
        command.env("XDG_CONFIG_HOME", world.path().join("none"));
    };
    assert_eq!(class(&world, "dir", elsewhere), "own");
}

#[test]
fn each_value_is_shown_with_its_place() {
    let world = World::new();
    world.write("vrift.toml", "[paths]\nown = ['a']\nbind = ['/srv:in']\nlive = ['data', '../up']\n");
    user(&world, "[paths]\nown = ['b']\n");
    let mut command = world.vrift();
    command.args(["config", "--json", "--config", "paths.own=c"]).env("VRIFT_PATHS_OWN", "d:e");
    let text = support::Ran(command.output().unwrap()).ok();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let values: Vec<String> = json["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| format!("{} {} {} {}", value["key"], value["value"], value["from"], value["counts"]))
        .map(|line| line.replace('"', ""))
        .collect();
    assert_eq!(values[0], format!("store {} variable VRIFT_STORE true", world.store.display()));
    for line in [
        "paths.own [c] flag true",
        "paths.own [d,e] environment true",
        "paths.own [b] user true",
        "paths.own [a] project true",
        "paths.live [data] project true",
        "paths.live [../up] project false",
        "paths.bind [/srv:in] project false",
    ] {
        assert!(values.contains(&line.to_string()), "{line}: {values:?}");
    }
    let text = world.run(["config"]).ok();
    assert!(text.contains("paths.own = [\"a\"]  # vrift.toml\n"), "{text}");
    assert!(text.contains(".config/vrift/config.toml\n"), "{text}");
    assert!(world.run(["config", "--all"]).ok().contains("# paths.hide: covered"));
}

#[test]
fn the_users_file_places_the_store() {
    let world = World::new();
    user(&world, "store = '~/elsewhere'\n");
    let mut command = world.vrift();
    let ran = support::Ran(command.env_remove("VRIFT_STORE").args(["config"]).output().unwrap()).ok();
    let expected = format!("store = {:?}", world.home.join("elsewhere").display().to_string());
    assert!(ran.starts_with(&expected), "{ran}");
}

#[test]
fn what_is_wrong_is_refused_with_the_nearest_key() {
    let world = World::new();
    for (text, message, hint) in [
        ("[paths]\nscrach = ['x']\n", "unknown key `paths.scrach`", "`paths.scratch`"),
        ("[path]\nown = ['x']\n", "unknown key `path.own`", "`paths.own`"),
        ("[paths]\nown = 'x'\n", "must be a list of strings", ""),
        ("[paths]\nown = ['../x']\n", "lies outside the project", "paths.bind"),
        ("[paths]\nhide = ['.']\n", "means the whole project", "name what lies in it"),
        ("store = '/x'\n", "a project cannot set `store`", "user's configuration"),
        ("[paths\n", "vrift.toml` line 1", ""),
    ] {
        world.write("vrift.toml", text);
        let error = world.exec(["true"]).fails(125);
        assert!(error.contains(message) && error.contains(hint), "{text}: {error}");
        assert_eq!(world.run(["config"]).code(), 1);
    }
    world.write("vrift.toml", "");
    assert!(world.run(["config", "--config", "paths.own"]).fails(2).contains("has no `=`"));
    assert!(world.run(["config", "--config", "pths.own=x"]).fails(2).contains("`paths.own`"));
}
