//! Every test that docs/guarantees.md and docs/rfc-0047.md name is there.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of a document's tables that have so many cells, as (first cell, the tests that
/// the last one names).
fn rows(document: &str, cells: usize) -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let tables = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let split = tables.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    // the first row is the head
    let rows = split.filter(|row| row.len() == cells).skip(1);
    rows.map(|row| {
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell: {row:?}");
        let tests = row[cells - 1].split('`').skip(1).step_by(2);
        (row[0].to_string(), tests.map(str::to_string).collect())
    })
    .collect()
}

/// The files in which a test of this name may be, and its function's name.
fn places(test: &str) -> (Vec<PathBuf>, String) {
    let (module, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("`{test}` names no function"));
    if module.ends_with(".rs") {
        return (vec![root().join("tests").join(module)], name.to_string());
    }
    // a file of tests in a directory of them
    if let Some((module, file)) = module.split_once("::tests::") {
        let path = format!("src/{}/tests/{file}.rs", module.replace("::", "/"));
        return (vec![root().join(path)], name.to_string());
    }
    let module = module.strip_suffix("::tests").unwrap_or_else(|| panic!("`{test}` is not in `tests`"));
    let path = module.replace("::", "/");
    let endings = [".rs", "/mod.rs", "/tests.rs", "_tests.rs"];
    (endings.iter().map(|ending| root().join(format!("src/{path}{ending}"))).collect(), name.to_string())
}

/// The function is there, and it is a test that is run.
fn is_a_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let attributes: Vec<_> = attributes.collect();
        line.starts_with(&format!("fn {name}("))
            && attributes.contains(&&"#[test]")
            && !attributes.iter().any(|line| line.starts_with("#[ignore"))
    })
}

fn every_test_exists(document: &str, cells: usize) {
    let rows = rows(document, cells);
    assert!(rows.len() > 20, "the table was not found or is nearly empty: {} rows", rows.len());
    let mut missing = Vec::new();
    for (promise, tests) in rows {
        assert!(!tests.is_empty(), "no test: {promise}");
        for test in tests {
            let (files, name) = places(&test);
            let mut texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
            if !texts.any(|text| is_a_test(&text, &name)) {
                missing.push(test);
            }
        }
    }
    assert!(missing.is_empty(), "{document} names tests that do not exist: {missing:#?}");
}

#[test]
fn every_promise_has_a_test_that_exists() {
    every_test_exists("docs/guarantees.md", 3);
}

#[test]
fn every_call_has_a_test_that_exists() {
    every_test_exists("docs/rfc-0047.md", 4);
    let calls = rows("docs/rfc-0047.md", 4).into_iter().map(|(calls, _)| calls).collect::<String>();
    for call in [
        "open",
        "stat",
        "read",
        "pread",
        "write",
        "lseek",
        "mmap",
        "munmap",
        "dup",
        "fcntl",
        "sendfile",
        "copy_file_range",
        "rename",
        "unlink",
        "link",
        "flock",
        "readdir",
        "fsync",
        "execve",
        "utimensat",
        "ftruncate",
        "fallocate",
    ] {
        assert!(calls.contains(&format!("`{call}")), "{call} is not in the audit");
    }
}
