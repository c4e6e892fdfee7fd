//! The overlay: a lower tree that shows a root, the mount, and what a run wrote.
//!
//! ```text
//! base/<n>        rendered from a root by a projection, changed only by fold
//! staging/x/upper what a session writes: read back by `upper` when it is closed
//! objects/        the data-only lower that stubs point into
//! ```
//! `user.overlay.*` attributes are the kernel's language in both trees; `escape` is
//! the one place that translates between them and what a project sees (rule 8).

pub mod compat;
pub mod escape;
pub mod explain;
pub mod mount;
pub mod probe;
pub mod projection;
pub mod since;
pub mod upper;
pub mod verify;

#[cfg(test)]
mod tests;
