//! The kernel's files, names and locks, with errors that say what and where.

pub mod dir;
pub mod early;
pub mod lock;
pub mod mkdir;
pub mod passed;
pub mod remove;
pub mod userns;
pub mod work;
pub mod xattr;
