//! What a project's states are made of, and the database that keeps them.
pub mod base;
pub mod db;
pub mod node;
pub mod run;
pub mod schema;
pub mod stamp;
pub mod store;
pub mod workspace;

pub use db::Manifest;
