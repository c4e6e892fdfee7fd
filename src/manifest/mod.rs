pub mod node;
pub mod store;
