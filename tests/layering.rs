//! Imports go down the list only; unsafe code and direct printing stay where they are
//! allowed. Read from the sources, so that a new file cannot slip by.

use std::path::{Path, PathBuf};

/// From the top to the bottom (design: "Where code lives"). Modules of one line may
/// import each other.
const ORDER: &[&[&str]] = &[
    &["main", "bin"],
    &["commands"],
    &["cli"],
    &["session"],
    &["ns"],
    &["overlay"],
    &["psfs"],
    &["manifest"],
    &["cas"],
    &["os", "paths", "config", "progress"],
    &["error"],
];

/// Files that may contain `unsafe`.
const UNSAFE: &[&str] = &[
    "cas/publish.rs",
    "ns/exec.rs",
    "ns/filter.rs",
    "ns/signals.rs",
    "ns/sys.rs",
    "ns/tests.rs",
    "ns/vfork.rs",
    "os/early.rs",
    "os/idle.rs",
    "os/lease.rs",
    "os/passed.rs",
    "os/shared.rs",
    "os/userns.rs",
    "os/verity.rs",
    "psfs/preload/answer.rs",
    "psfs/preload/cold.rs",
    "psfs/preload/count.rs",
    "psfs/preload/lib.rs",
    "psfs/preload/mover.rs",
    "psfs/preload/state.rs",
    "psfs/preload/sys.rs",
    "psfs/preload/x86_64.rs",
    "psfs/scan.rs",
    "psfs/table_tests.rs",
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).into_iter().flatten();
    let rust = files.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rs"));
    rust.map(|entry| {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        (entry.path().strip_prefix(&root).unwrap().to_path_buf(), text)
    })
    .collect()
}

fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

#[test]
fn imports_go_downwards_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let from = module(&path);
        if from == "lib" {
            continue;
        }
        let from_level = level(&from).unwrap_or_else(|| panic!("{from} is in no line of the order"));
        for (number, line) in text.lines().enumerate() {
            for prefix in ["crate::", "vrift::"] {
                for (at, _) in line.match_indices(prefix) {
                    let rest = &line[at + prefix.len()..];
                    let name: String =
                        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if level(&name).is_some_and(|to| to < from_level) {
                        wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that go upwards:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_where_it_is_allowed_and_explained() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if !["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|word| code.contains(word))
            {
                continue;
            }
            let name = path.to_str().unwrap();
            assert!(UNSAFE.contains(&name), "{name}:{}: unsafe is not allowed in this file", number + 1);
            let near = &lines[number.saturating_sub(6)..=number];
            assert!(
                near.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety")),
                "{name}:{}: unsafe with no SAFETY note",
                number + 1
            );
        }
    }
}

#[test]
fn every_file_begins_with_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no first comment", path.display());
    }
}

#[test]
fn only_the_printer_prints() {
    for (path, text) in sources() {
        if path == Path::new("commands/printer.rs") {
            continue;
        }
        let product = text.lines().take_while(|line| *line != "#[cfg(test)]");
        if path.components().any(|part| ["tests", "tests.rs"].contains(&part.as_os_str().to_str().unwrap())) {
            continue;
        }
        for (number, line) in product.enumerate() {
            let prints = ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("];
            let code = line.trim_start();
            if prints.iter().any(|call| code.starts_with(call)) {
                panic!("{}:{}: {}", path.display(), number + 1, code);
            }
        }
    }
}
