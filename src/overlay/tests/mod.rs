//! The overlay from end to end: a directory is recorded, rendered, mounted, compared,
//! written in, and read back.

mod fixture;
mod folds;
mod uppers;
mod views;
