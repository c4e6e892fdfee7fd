//! vrift's own library is built inside a run of vrift; the second build has nothing to do,
//! and git finds all in order. Slow: only with VRIFT_SLOW=1, as in `.ci/run`.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Ran, World};

/// The toolchain that runs this test, and the registry it took its crates from.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    registry: PathBuf,
}

impl Toolchain {
    /// `Err`: why it cannot be used by this user.
    fn find() -> Result<Self, String> {
        let readable = |path: PathBuf| match std::fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(format!("no readable toolchain: {}: {error}", path.display())),
        };
        let cargo = readable(std::env::var_os("CARGO").ok_or("not run by cargo")?.into())?;
        let rustc = readable(cargo.with_file_name("rustc"))?;
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        // An ordinary user's own registry, else that of the user who ran cargo.
        let homes =
            home.into_iter().chain(std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
        let registry =
            homes.map(|home| home.join("registry")).find(|path| path.join("cache").read_dir().is_ok());
        Ok(Self { cargo, rustc, registry: registry.ok_or("no readable registry of crates")? })
    }
}

/// A copy of the files that git tracks here, as a repository of its own.
fn copy_of_this_repository(world: &World) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tracked =
        Command::new("git").args(["-c", "safe.directory=*", "ls-files", "-z"]).current_dir(here).output();
    let tracked = String::from_utf8(tracked.unwrap().stdout).unwrap();
    for name in tracked.split('\0').filter(|name| !name.is_empty()) {
        if let Ok(content) = std::fs::read(here.join(name)) {
            world.write(name, content);
        }
    }
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    let script = "git init -q && git add -A && git -c user.name=n -c user.email=e@x -c commit.gpgsign=false commit -qm all";
    let made = Command::new("sh").args(["-c", script]).current_dir(&world.project).status();
    assert!(made.unwrap().success());
}

fn build(world: &World, toolchain: &Toolchain) -> Ran {
    let cargo_home = world.path().join("cargo");
    if !cargo_home.exists() {
        std::fs::create_dir(&cargo_home).unwrap();
        std::os::unix::fs::symlink(&toolchain.registry, cargo_home.join("registry")).unwrap();
    }
    let mut command = world.vrift();
    command.args(["exec", "--"]).arg(&toolchain.cargo).args(["build", "--offline", "--lib"]);
    // Unoptimised: it is the incremental build that is tested, not the result.
    command.args(["--config", "profile.dev.package.\"*\".opt-level=0", "--config", "profile.dev.debug=0"]);
    // What the cargo that runs this test has set is not for the one inside.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO") || name.to_string_lossy().starts_with("RUST") {
            command.env_remove(name);
        }
    }
    command.env("CARGO_HOME", cargo_home).env("RUSTC", &toolchain.rustc);
    Ran(command.output().unwrap())
}

#[test]
fn vrift_builds_itself_and_the_second_build_has_nothing_to_do() {
    needs_sessions!();
    if std::env::var_os("VRIFT_SLOW").is_none_or(|value| value != "1") {
        eprintln!("skipped: takes minutes; VRIFT_SLOW=1 runs it");
        return;
    }
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let world = World::new();
    copy_of_this_repository(&world);
    let before = support::listing(&world.project);
    let first = build(&world, &toolchain);
    assert_eq!(first.code(), 0, "{}", first.stderr());
    assert!(first.stderr().contains("Compiling vrift"), "{}", first.stderr());
    let second = build(&world, &toolchain);
    let said = second.stderr();
    assert_eq!(second.code(), 0, "{said}");
    assert!(said.contains("Finished") && !said.contains("Compiling"), "{said}");
    assert_eq!(world.sh("git status --porcelain; git fsck --no-progress").ok(), "");
    // One edit on the host rebuilds one crate.
    world.edit("src/lib.rs", &(world.read("src/lib.rs") + "// edited\n"));
    let third = build(&world, &toolchain).stderr();
    let compiled: Vec<&str> = third.lines().filter(|line| line.contains("Compiling")).collect();
    assert!(matches!(compiled[..], [line] if line.contains("vrift")), "{third}");
    // git's own look at the index may write it anew; nothing else changed on the host.
    let unchanged = |listing: &[String]| -> Vec<String> {
        let ours =
            listing.iter().filter(|line| !line.starts_with("\"src/lib.rs\"") && !line.starts_with("\"src\""));
        ours.cloned().collect()
    };
    assert_eq!(unchanged(&before), unchanged(&support::listing(&world.project)));
}
