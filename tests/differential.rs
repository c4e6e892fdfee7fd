//! Whatever a build does works inside as on the bare directory: see `support/differential`.

mod support;

use support::differential::{FORK, MAIN, check};

/// How many sequences: with VRIFT_SLOW=1, by an ordinary user and by root, thousands
/// altogether. Ten take about two seconds on two cores that have nothing else to do.
fn count(quick: u64, slow: u64) -> u64 {
    if std::env::var_os("VRIFT_SLOW").is_some_and(|value| value == "1") { slow } else { quick }
}

#[test]
fn the_same_calls_give_the_same_inside_as_on_a_bare_copy() {
    needs_sessions!();
    check(&MAIN, count(100, 800));
}

#[test]
fn the_same_calls_give_the_same_in_a_fork_whose_files_lie_in_layers() {
    needs_sessions!();
    check(&FORK, count(100, 400));
}
