//! A short soak: random use with kills, held against a model (`bench/soak`).

mod support;

use support::World;

#[test]
fn random_use_and_kills_lose_nothing() {
    needs_sessions!();
    let seconds = match std::env::var_os("VRIFT_SLOW") {
        Some(_) => "20",
        None => "4",
    };
    let world = World::new();
    let soak = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/soak");
    let mut command = world.command("python3");
    command.args([soak, env!("CARGO_BIN_EXE_vrift"), "--seconds", seconds, "--dir"]).arg(world.path());
    let ran = support::Ran(command.output().unwrap());
    let (code, said) = (ran.code(), format!("{}{}", ran.stdout(), ran.stderr()));
    assert_eq!(code, 0, "{said}"); // the seed is in it
    assert!(said.contains("\"losses\": 0"), "{said}");
}
