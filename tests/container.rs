//! In a container, as an engine makes one: `tests/container/run` does by the same calls what Docker
//! does (namespaces, capabilities, seccomp profile, what covers /proc). As root, where such a
//! container can be made. What came out is in docs/platforms.md.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Ran, World};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Options of `docker run`, and what stands for them.
const PROFILE: [&str; 2] = ["--seccomp", "contrib/seccomp.json"];
const UNMASKED: &str = "--unmask";
/// HOME, and the store in it, on a volume; else both are on the container's own overlay.
const ON_VOLUME: [&str; 4] = ["--env", "HOME=/volume/home", "--env", "AT=/volume/project"];
const ON_ROOT: [&str; 4] = ["--env", "HOME=/tmp/home", "--env", "AT=/tmp/project"];
const AS_USER: [&str; 2] = ["--user", "1000"];

/// A project with one file, and a script in it, in which `$V` is vrift. `None`, said: there can be
/// no container.
fn inside(world: &World, options: &[&[&str]], script: &str) -> Option<Ran> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a container as Docker does");
        return None;
    }
    let volume = world.path().join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::set_permissions(&volume, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let vrift = Path::new(env!("CARGO_BIN_EXE_vrift")).parent().unwrap();
    let script = format!("set -e; mkdir -p $AT $HOME; cd $AT; echo host > a; set +e; {script}");
    let mut command: Command = world.command(here("tests/container/run").to_str().unwrap());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(options.concat());
    command.arg("--volume").arg(format!("{}:/volume", volume.display()));
    command.arg("--volume").arg(format!("{}:/vrift", vrift.display()));
    command.args(["--env", "V=/vrift/vrift", "--", "sh", "-c", &script]);
    let ran = Ran(command.output().unwrap());
    if ran.code() == 77 {
        eprintln!("skipped: {}", ran.stderr());
        return None;
    }
    Some(ran)
}

/// `doctor --json`: whether runs work, and one check's verdict with all it says.
fn doctor(ran: &Ran, name: &str) -> (bool, String, String) {
    let page: Value = serde_json::from_str(&ran.stdout()).unwrap_or_else(|_| panic!("{}", ran.stderr()));
    let check = page["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {page:#}"));
    (page["works"] == true, check["verdict"].as_str().unwrap().to_string(), check.to_string())
}

const COPY: &str = "$V exec --projection copy --no-overlay";

#[test]
fn a_default_container_is_told_what_is_missing_and_has_a_copy() {
    needs_sessions!();
    for user in [&[][..], &AS_USER] {
        let world = World::new();
        let options = [&ON_VOLUME[..], user];
        let Some(ran) = inside(&world, &options, "$V exec cat a") else { return };
        let said = ran.fails(125);
        for part in
            ["seccomp filter refuses it, in a docker container", "contrib/seccomp.json", "--no-overlay"]
        {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        let page = inside(&world, &options, "$V doctor --json").unwrap();
        let (works, verdict, says) = doctor(&page, "user namespace");
        assert!(!works && verdict == "fails" && says.contains("seccomp=contrib/seccomp.json"), "{says}");
        let script = format!("{COPY} -- sh -c 'cat a; echo b > b'; {COPY} cat b; $V apply; cat b");
        assert_eq!(inside(&world, &options, &script).unwrap().ok(), "host\nb\nb\n");
    }
}

#[test]
fn with_the_documented_options_all_works() {
    needs_sessions!();
    // a run, a fork, one that joins, a confined one without a network, and what is written back
    let script = "
        $V exec -- sh -c 'cat a; echo new > new; echo $$' &&
        $V fork f && $V exec -w f -- sh -c 'echo f > f; ls' &&
        { $V exec -- sh -c 'touch /tmp/up; until test -e /tmp/go; do sleep 0.05; done' & } &&
        until test -e /tmp/up; do sleep 0.05; done &&
        $V exec cat new; touch /tmp/go; wait
        $V exec --confine home --net none -- sh -c 'cat new; ls ~ 2>/dev/null | wc -l' &&
        $V exec cat /proc/1/comm && $V apply && cat new";
    for user in [&[][..], &AS_USER] {
        let world = World::new();
        let options = [&PROFILE[..], &[UNMASKED], &ON_VOLUME, user];
        let Some(page) = inside(&world, &options, "$V doctor --json") else { return };
        assert_eq!(page.code(), 0, "{}", page.stdout());
        assert_eq!(doctor(&page, "fresh /proc").1, "ok");
        let ran = inside(&world, &options, script).unwrap();
        assert!(!ran.stderr().contains("warning"), "{}", ran.stderr());
        let seen = ran.ok();
        let words: Vec<&str> = seen.split_whitespace().collect();
        assert_eq!(words, ["host", "2", "a", "f", "new", "new", "new", "0", "vrift-init", "new"], "{seen}");
    }
}

#[test]
fn a_masked_proc_costs_a_warning_and_a_store_on_the_containers_root_does_not_work() {
    needs_sessions!();
    let world = World::new();
    let masked = [&PROFILE[..], &ON_VOLUME];
    let Some(ran) = inside(&world, &masked, "$V exec cat a") else { return };
    assert!(ran.stderr().contains("cannot mount a fresh `/proc`"), "{}", ran.stderr());
    assert_eq!(ran.ok(), "host\n");
    let page = inside(&world, &masked, "$V doctor --json").unwrap();
    let (works, verdict, says) = doctor(&page, "fresh /proc");
    assert!(works && verdict == "note" && says.contains("systempaths=unconfined"), "{says}");

    let on_root = [&PROFILE[..], &[UNMASKED], &ON_ROOT];
    let said = inside(&world, &on_root, "$V exec cat a").unwrap().fails(125);
    assert!(said.contains("overlayfs") && said.contains("in a container on a volume"), "{said}");
    let (works, verdict, says) = doctor(&inside(&world, &on_root, "$V doctor --json").unwrap(), "store");
    assert!(!works && verdict == "fails" && says.contains("in a container on a volume"), "{says}");
    assert_eq!(inside(&world, &on_root, &format!("{COPY} cat a")).unwrap().ok(), "host\n");
}

/// Its capability alone is enough for the default profile: it then permits the calls.
#[test]
fn with_the_power_over_the_system_no_profile_is_needed() {
    needs_sessions!();
    let world = World::new();
    let options = [&["--cap-add", "SYS_ADMIN", UNMASKED][..], &ON_VOLUME];
    let Some(ran) = inside(&world, &options, "$V exec cat a && $V doctor > /dev/null") else { return };
    assert_eq!(ran.ok(), "host\n");
}

#[test]
fn the_profiles_are_what_they_are_made_of() {
    let made = Command::new(here("tests/container/profile.py")).arg("vrift").output();
    let made = Ran(made.unwrap()).ok();
    assert!(
        made == std::fs::read_to_string(here("contrib/seccomp.json")).unwrap(),
        "make it anew: profile.py vrift"
    );
    let profile = here("contrib/apparmor/vrift");
    let text = std::fs::read_to_string(&profile).unwrap();
    assert!(text.contains("userns,") && text.contains("flags=(unconfined)"));
    // before 4.0 there was no rule for user namespaces
    let parser = Command::new("apparmor_parser").arg("-V").output();
    let version = parser.map_or_else(|error| error.to_string(), |output| Ran(output).stdout());
    let major =
        version.lines().next().and_then(|line| line.rsplit(' ').next()?.split('.').next()?.parse().ok());
    match major.unwrap_or(0) {
        0..4 => eprintln!("skipped: apparmor_parser is missing or old: {version}"),
        _ => drop(Ran(Command::new("apparmor_parser").arg("-QK").arg(&profile).output().unwrap()).ok()),
    }
}
