//! A root as something that other programs read: a directory, or a tar archive.

mod directory;
mod tar;

pub use directory::directory;
pub use tar::tar;
