//! The kernel's files, names and locks, with errors that say what and where.

pub mod beneath;
pub mod boot;
pub mod crew;
pub mod cursor;
pub mod dir;
pub mod early;
pub mod failpoint;
pub mod filesystem;
pub mod held;
pub mod idle;
pub mod immutable;
pub mod lease;
pub mod link;
pub mod lock;
pub mod log;
pub mod mkdir;
pub mod parcel;
pub mod passed;
pub mod refusal;
pub mod remove;
pub mod shared;
pub mod userns;
pub mod verity;
pub mod xattr;

/// Says why a test is not run; fails where every test must be (VRIFT_MUST_WORK=1).
#[cfg(test)]
pub(crate) fn skip(what: &str, why: impl std::fmt::Display) {
    assert!(std::env::var_os("VRIFT_MUST_WORK").is_none_or(|value| value != "1"), "{what}: {why}");
    println!("skipped: {what}: {why}");
}
