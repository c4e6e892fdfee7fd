//! The view: mounting an overlay whose lower projects the store, making that lower,
//! and reading the upper it leaves.

pub mod acl;
pub mod compat;
pub mod escape;
pub mod mount;
pub mod probe;
pub mod projection;
pub mod upper;
