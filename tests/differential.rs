//! Whatever a build does works inside as on the bare directory: see `support/differential`.

mod support;

use support::differential::{FORK, MAIN, check};

/// Sequences of each test; thousands with VRIFT_SLOW=1.
fn count() -> u64 {
    if std::env::var_os("VRIFT_SLOW").is_some_and(|value| value == "1") { 1500 } else { 200 }
}

#[test]
fn the_same_calls_give_the_same_inside_as_on_a_bare_copy() {
    needs_sessions!();
    check(&MAIN, count());
}

#[test]
fn the_same_calls_give_the_same_in_a_fork_whose_files_lie_in_layers() {
    needs_sessions!();
    check(&FORK, count() / 2);
}
