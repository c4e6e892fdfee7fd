//! The tutorial, the recipes and the README's first example, as a new user would type them: a fresh HOME, nothing
//! but the text to go by. What is printed is what the text says.

mod support;
#[path = "support/typed.rs"]
mod typed;

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use support::World;
use typed::{Shell, Typed, is_as_written, typed};

fn source(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn has_tools() -> bool {
    let found = ["make", "cc", "git"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !found {
        support::skipped("make, cc or git is missing");
    }
    found
}

#[test]
fn the_tutorial_is_true() {
    needs_sessions!();
    if !has_tools() {
        return;
    }
    let world = World::new();
    let mut shell = Shell::new(&world);
    assert!(shell.follows(&source("docs/tutorial.md"), "```console") > 20);
}

#[test]
fn the_readmes_first_example_is_true() {
    needs_sessions!();
    if !has_tools() {
        return;
    }
    let world = World::new();
    let mut shell = Shell::new(&world);
    shell.types("mkdir examples && cp -r \"$VRIFT_SOURCE/examples/hello\" examples/hello");
    let commands = typed(&source("README.md"), "```");
    assert!(commands.len() >= 5);
    for Typed { command, .. } in commands {
        let (command, comment) = command.split_once('#').unwrap_or((&command, ""));
        let said = shell.types(command);
        let last = said.lines().last().unwrap_or("").trim();
        match comment.trim() {
            "hello, world" => assert_eq!(last, "hello, world"),
            "make: 'hello' is up to date." => assert_eq!(last, "make: 'hello' is up to date."),
            _ => {}
        }
        if command.trim() == "ls" {
            assert!(!said.contains("main.o"), "{said}");
        }
    }
}

/// Types a recipe's commands, where these tools are.
fn recipe(page: &str, tools: &[&str]) {
    let missing: Vec<_> = tools
        .iter()
        .filter(|tool| Command::new("which").arg(tool).output().is_ok_and(|found| !found.status.success()))
        .collect();
    if !missing.is_empty() {
        return support::skipped(&format!("missing: {missing:?}"));
    }
    let world = World::new();
    assert!(Shell::new(&world).follows(&source(&format!("docs/recipes/{page}.md")), "```console") > 3);
}

#[test]
fn the_recipe_for_agents_is_true() {
    needs_sessions!();
    recipe("agents", &["make", "cc", "git"]);
}

#[test]
fn the_recipe_for_ci_is_true() {
    needs_sessions!();
    recipe("ci-cache", &["make", "cc", "git"]);
}

#[test]
fn the_recipe_for_cargo_is_true() {
    needs_sessions!();
    recipe("cargo", &["cargo", "git"]);
}

#[test]
fn the_recipe_for_npm_is_true() {
    needs_sessions!();
    recipe("npm", &["npm", "node", "git"]);
}

#[test]
fn the_recipe_for_cmake_is_true() {
    needs_sessions!();
    recipe("cmake", &["cmake", "make", "cc", "git"]);
}

#[test]
fn the_recipe_for_python_is_true() {
    needs_sessions!();
    recipe("python", &["python3", "git"]);
}

#[test]
fn the_recipe_for_an_ide_is_true() {
    needs_sessions!();
    if rustix::process::geteuid().is_root() {
        // sshd of root gives its privileges away by setgroups, which a user namespace refuses
        eprintln!("skipped: as an ordinary user it is");
        return;
    }
    recipe("ide", &["/usr/sbin/sshd", "ssh", "ssh-keygen", "make", "cc", "git"]);
}

#[test]
fn the_recipe_for_a_devcontainer_is_true() {
    needs_sessions!();
    let text = source("docs/recipes/devcontainer.md");
    let json = text.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let config: serde_json::Value = serde_json::from_str(json).unwrap();
    let profile = config["runArgs"][1].as_str().unwrap().strip_prefix("seccomp=").unwrap();
    serde_json::from_str::<serde_json::Value>(&source(profile)).unwrap();
    recipe("devcontainer", &["make", "cc", "git"]);
}

#[test]
fn what_troubleshooting_explains_is_said() {
    let said = source("tests/golden/mistakes.txt");
    let text = source("docs/troubleshooting.md");
    let messages: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(messages.len() > 8);
    for message in messages {
        assert!(said.lines().any(|line| is_as_written(line, message)), "{message}");
    }
}

/// The book has every page, and every page's links lead somewhere.
#[test]
fn the_book_is_whole() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = source("docs/SUMMARY.md");
    let pages = walkdir::WalkDir::new(&docs).into_iter().flatten().map(walkdir::DirEntry::into_path);
    for page in pages.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let name = page.strip_prefix(&docs).unwrap().to_str().unwrap();
        let here = page.parent().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the book");
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let is_here = file.is_empty() || file.contains("://") || here.join(file).exists();
            assert!(is_here, "{name}: {target} leads nowhere");
        }
    }
}

#[test]
fn three_dots_stand_for_anything() {
    assert!(is_as_written("taken in 3 files, 4 B new", "taken in … files, … new"));
    assert!(!is_as_written("taken in 3 files, 4 B", "taken in … files, … new"));
    assert!(!is_as_written("hello", "hell"));
    assert!(is_as_written("a", "…") && is_as_written("", "…"));
    let all = |lines: &[&str], written: &[&str]| {
        typed::are_as_written(lines, &written.iter().map(|line| (*line).into()).collect::<Vec<String>>())
    };
    assert!(all(&["a", "b", "c"], &["…", "c"]) && all(&["c"], &["…", "c"]) && all(&["a"], &["a", "…"]));
    assert!(!all(&["a", "b"], &["…", "c"]) && !all(&["a", "b"], &["a"]) && !all(&["a"], &["a", "b"]));
}

#[test]
fn the_page_of_the_shell_is_true() {
    needs_sessions!();
    if !has_tools() {
        return;
    }
    let world = World::new();
    assert!(Shell::new(&world).follows(&source("docs/shell.md"), "```console") > 2);
}

/// What README and the book show of `vrift.toml` and the user's configuration is taken as it stands.
#[test]
fn every_block_of_configuration_is_taken() {
    let pages = ["README.md", "docs/configuration.md", "docs/quotas.md", "docs/confinement.md"];
    for page in pages {
        let text = source(page);
        let blocks = text.split("\n```\n").filter(|block| block.starts_with('['));
        let mut count = 0;
        for block in blocks {
            let world = World::new();
            let file = match block.contains("the user's configuration only") {
                true => world.home.join(".config/vrift/config.toml"),
                false => world.project.join("vrift.toml"),
            };
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, block).unwrap();
            let said = world.run(["config"]).ok();
            let keys = block.lines().filter_map(|line| line.split_once(" = ")).count();
            let name = file.file_name().unwrap().to_str().unwrap();
            let from_it = said.lines().filter(|line| line.contains(name));
            let shown: HashSet<&str> = from_it.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
            assert_eq!(shown.len(), keys, "{page}: {block}\n{said}");
            count += 1;
        }
        assert!(count > 0, "{page}");
    }
}
