//! Completion and `vrift env` in the shells themselves: what a user would see after a tab.

mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::path::Path;
use std::process::Command;

use support::{Ran, World};
use terminal::Terminal;

/// A project with a fork, a snapshot, and files that only the workspace has.
fn world() -> World {
    let world = World::new();
    world.write("host.c", "x\n");
    world
        .sh("mkdir -p sub/deep; echo 1 > sub/one.txt; echo 2 > sub/deep/two.txt; echo 3 > 'with blank'")
        .ok();
    world.run(["commit", "first-state"]).ok();
    world.run(["fork", "feature"]).ok();
    world
}

/// What a shell's script is told for a line whose last word is being typed.
fn told(world: &World, words: &[&str]) -> Vec<String> {
    let mut command = world.vrift();
    command.env("VRIFT_COMPLETE", "fish").arg("--").arg("vrift").args(words);
    let ran = Ran(command.output().unwrap());
    assert_eq!((ran.code(), ran.stderr().as_str()), (0, ""), "{words:?}");
    let names = ran.stdout();
    let names = names.lines().map(|line| line.split('\t').next().unwrap().to_string());
    names.filter(|name| !name.starts_with('-') || words.last().unwrap().starts_with('-')).collect()
}

#[test]
fn workspaces_snapshots_and_paths_are_candidates() {
    needs_sessions!();
    let world = world();
    for words in [
        &["exec", "-w", "f"][..],
        &["merge", "f"],
        &["workspace", "delete", "f"],
        &["resolve", "-w", "f"],
        &["status", "--workspace", "f"],
    ] {
        assert_eq!(told(&world, words), ["feature"], "{words:?}");
    }
    assert_eq!(told(&world, &["snapshot", "show", ""]), ["first-state"]);
    let roots = told(&world, &["restore", ""]);
    for root in ["main", "feature", "first-state", "host", "@live"] {
        assert!(roots.contains(&root.to_string()), "{root}: {roots:?}");
    }
    assert_eq!(told(&world, &["apply", "sub/"]), ["sub/deep/", "sub/one.txt"]);
    assert_eq!(told(&world, &["path", "sub/deep/t"]), ["sub/deep/two.txt"]);
    assert!(told(&world, &["apply", ""]).contains(&"with blank".to_string()));
    std::fs::create_dir(world.project.join("sub")).unwrap();
    let below = told(&world, &["-C", world.project.join("sub").to_str().unwrap(), "apply", ""]);
    assert_eq!(below, ["deep/", "one.txt"]);
    assert!(told(&world, &["wor"]).contains(&"workspace".to_string()));
    assert!(told(&world, &["diff", "--na"]).contains(&"--name-status".to_string()));
}

#[test]
fn where_nothing_can_be_found_out_nothing_is_said() {
    let world = World::new();
    assert!(told(&world, &["exec", "-w", ""]).is_empty());
    assert!(told(&world, &["apply", "sub/"]).is_empty());
    assert!(!world.store.exists(), "nothing is made");
    std::fs::write(&world.store, "no store").unwrap();
    assert!(told(&world, &["exec", "-w", ""]).is_empty());
    told(&world, &["exec", "make", ""]);
    told(&world, &[""]);
    let mut nonsense = world.vrift();
    let ran = Ran(nonsense.env("VRIFT_COMPLETE", "no-shell").output().unwrap());
    assert_eq!((ran.code(), ran.stderr().as_str()), (0, ""));
}

#[test]
fn names_that_are_no_line_of_text_are_no_candidates() {
    needs_sessions!();
    let world = world();
    world.sh("touch \"$(printf 'a\\nb')\" \"$(printf 'a\\377')\" a-plain").ok();
    let found = told(&world, &["apply", "a"]);
    assert!(found.contains(&"a-plain".to_string()), "{found:?}");
    assert!(!found.iter().any(|name| name == "b" || name.contains("\\n")), "{found:?}");
}

/// A shell at its prompt with the completions that it would load.
fn shell(world: &World, program: &str) -> Option<Terminal> {
    if Command::new(program).arg("--version").output().is_err() {
        support::skipped(&format!("no {program}"));
        return None;
    }
    let mut command = world.command_alone(program);
    let tools = Path::new(env!("CARGO_BIN_EXE_vrift")).parent().unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("SHELL", program).env("ZDOTDIR", &world.home);
    let setup = match program {
        "bash" => {
            command.args(["--norc", "--noprofile", "-i"]).env("PS1", "ready> ");
            "source <(vrift completions bash)"
        }
        "zsh" => {
            command.args(["-f", "-i"]).env("PS1", "ready> ");
            "autoload -U compinit && compinit -u -D && source <(vrift completions zsh)"
        }
        _ => {
            command.args(["--no-config", "-i"]);
            "vrift completions fish | source"
        }
    };
    let mut terminal = Terminal::start(&mut command);
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal.line(&format!("{setup}; echo set''-up"));
    terminal.expect("set-up");
    Some(terminal)
}

#[test]
fn the_shells_complete_by_asking() {
    needs_sessions!();
    let world = world();
    for program in ["bash", "zsh", "fish"] {
        let Some(mut terminal) = shell(&world, program) else { continue };
        for (typed, becomes) in [
            ("vrift exec -w fea", "feature"),
            ("vrift snapshot show fir", "first-state"),
            ("vrift apply sub/deep/", "sub/deep/two.txt"),
            ("vrift works", "workspace"),
        ] {
            std::thread::sleep(std::time::Duration::from_millis(200));
            terminal.send(&format!("{typed}\t"));
            std::thread::sleep(std::time::Duration::from_millis(600));
            // the line is not run: what became of it is printed
            terminal.send("\x01echo '[' \x05 ']'\r");
            terminal.expect(&format!("{becomes} ]"));
        }
    }
}

#[test]
fn env_chooses_a_workspace_for_a_shell() {
    needs_sessions!();
    let world = world();
    world.run(["exec", "-w", "feature", "--", "sh", "-c", "echo f > only-there"]).ok();
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let mut shell = world.command("sh");
    shell.arg("-c").arg(format!(
        "eval \"$({vrift} env -w feature)\" && echo $VRIFT_WORKSPACE $VRIFT_INDEX && {vrift} exec cat only-there"
    ));
    let ran = Ran(shell.output().unwrap());
    assert_eq!(ran.stdout(), "feature 1\nf\n", "{}", ran.stderr());
    // an option counts more than the variable, and the variable more than nothing
    let with = |words: &[&str]| {
        let mut command = world.vrift();
        command.env("VRIFT_WORKSPACE", "feature").args(words);
        Ran(command.output().unwrap())
    };
    assert!(with(&["status"]).ok().contains("workspace feature"));
    assert!(with(&["status", "-w", "main"]).ok().contains("workspace main"));
    assert_eq!(with(&["env", "--fish"]).ok(), "set -gx VRIFT_WORKSPACE feature\nset -gx VRIFT_INDEX 1\n");
    // one that is not there is said, by name
    let mut gone = world.vrift();
    let gone = Ran(gone.env("VRIFT_WORKSPACE", "gone").arg("status").output().unwrap());
    assert!(gone.code() != 0 && gone.stderr().contains("gone"), "{}", gone.stderr());
    assert_ne!(World::new().run(["env"]).code(), 0);
}

/// The snippets of docs/shell.md for a prompt, in the shells themselves.
#[test]
fn the_prompts_snippets_show_the_workspace() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shell.md");
    let text = std::fs::read_to_string(page).unwrap();
    let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap().to_string();
    let fish = text.split("```").find(|block| block.contains("functions --copy")).unwrap();
    let bash = format!("PS1='$ '; {}\nVRIFT_WORKSPACE=w; echo \"${{PS1@P}}\"", line("# bash"));
    let zsh = format!("PROMPT='> '; {}\nVRIFT_WORKSPACE=w; print -P \"$PROMPT\"", line("# zsh"));
    let fish =
        format!("function fish_prompt; echo -n '> '; end\n{fish}\nset -gx VRIFT_WORKSPACE w; fish_prompt");
    for (program, options, script) in
        [("bash", "--norc", bash), ("zsh", "-f", zsh), ("fish", "--no-config", fish)]
    {
        let world = World::new();
        match world.command_alone(program).args([options, "-c", &script]).output() {
            Err(_) => support::skipped(&format!("no {program}")),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(said.starts_with("(vrift:w) "), "{program}: {said:?} {:?}", output.stderr);
            }
        }
    }
}
