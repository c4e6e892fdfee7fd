//! Every test that docs/guarantees.md names is there.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table's rows as (promise, names of its tests).
fn promises() -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [promise, mechanism, tests] = cells[..] else { panic!("not three cells: {line}") };
            assert!(!promise.is_empty() && !mechanism.is_empty(), "an empty cell: {line}");
            (promise.to_string(), tests.split('`').skip(1).step_by(2).map(str::to_string).collect())
        })
        .collect()
}

/// The files in which a test of this name may be, and its function's name.
fn places(test: &str) -> (Vec<PathBuf>, String) {
    let (module, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("`{test}` names no function"));
    if module.ends_with(".rs") {
        return (vec![root().join("tests").join(module)], name.to_string());
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

#[test]
fn every_promise_has_a_test_that_exists() {
    let promises = promises();
    assert!(promises.len() > 20, "the table was not found or is nearly empty: {} rows", promises.len());
    let mut missing = Vec::new();
    for (promise, tests) in promises {
        assert!(!tests.is_empty(), "no test: {promise}");
        for test in tests {
            let (files, name) = places(&test);
            let mut texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
            if !texts.any(|text| is_a_test(&text, &name)) {
                missing.push(test);
            }
        }
    }
    assert!(missing.is_empty(), "docs/guarantees.md names tests that do not exist: {missing:#?}");
}
