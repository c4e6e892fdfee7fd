//! vrift: private, writable views of a project that start in milliseconds.
//!
//! Modules import downwards only, in this order (held by `tests/layering.rs`):
//! `commands`, `cli`, `session`, `ns`, `overlay`, `psfs`, `manifest`, `cas`, then the small
//! ones at the bottom: `os`, `paths`, `config`, `progress`, `error`.

#![deny(unsafe_code)]

pub mod cas;
pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod manifest;
pub mod ns;
pub mod os;
pub mod overlay;
pub mod paths;
pub mod progress;
pub mod psfs;
pub mod session;
