//! What a project's states are made of, and the database that keeps them.
pub mod base;
pub mod chunk;
pub mod conflict;

mod decode;
#[cfg(test)]
mod model;
pub mod db;
pub mod diff;
pub mod dir;
pub mod edit;
pub mod encode;
pub mod group;
pub mod merge;
pub mod node;
pub mod run;
pub mod schema;
pub mod stamp;
pub mod store;
pub mod workspace;

pub use db::Manifest;
