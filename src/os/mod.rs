//! The kernel's files, names and locks, with errors that say what and where.

pub mod dir;
pub mod lock;
pub mod mkdir;
pub mod work;
pub mod xattr;
