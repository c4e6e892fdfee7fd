//! `[protect]`: which stored contents are kept from being changed, and by what.
//!
//! Only the user's own configuration says it. Without a word those of tier1 are, once they are on
//! the disk, and only by what then costs next to nothing: both write a file out that is not there yet,
//! and fs-verity reads all of it and takes a block more.

use super::keys::{self, Value};
use super::{Config, Setting};
use crate::error::{Error, Result};

/// Which contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    None,
    /// Those of what is declared not to change.
    #[default]
    Tier1,
    /// Others as well, by each collection.
    All,
}

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// chattr +i
    Immutable,
    Verity,
}

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protect {
    pub which: Which,
    /// The strongest first.
    pub by: Vec<Method>,
    /// Somebody said so: it may take a while.
    pub asked: bool,
}

impl Default for Protect {
    fn default() -> Self {
        Self { which: Which::default(), by: vec![Method::Immutable], asked: false }
    }
}

impl Protect {
    pub fn of(config: &Config) -> Result<Self> {
        Self::of_settings(&config.settings)
    }

    /// What counts for no project in particular.
    pub fn of_user() -> Result<Self> {
        let mut settings = super::of_user()?;
        settings.extend(super::layer::of_environment()?);
        Self::of_settings(&settings)
    }

    fn of_settings(settings: &[Setting]) -> Result<Self> {
        let mut protect = Self::default();
        for setting in settings {
            protect.asked |= [keys::PROTECT_OBJECTS, keys::PROTECT_BY].contains(&setting.key.name);
            match (setting.key.name, &setting.value) {
                (keys::PROTECT_OBJECTS, Value::Text(word)) => {
                    protect.which = match word.as_str() {
                        "none" => Which::None,
                        "tier1" => Which::Tier1,
                        "all" => Which::All,
                        other => return Err(wrong(keys::PROTECT_OBJECTS, other, "none, tier1, all")),
                    }
                }
                (keys::PROTECT_BY, Value::List(words)) => {
                    let mut by = Vec::new();
                    for word in words {
                        by.push(match word.as_str() {
                            "immutable" => Method::Immutable,
                            "verity" => Method::Verity,
                            other => return Err(wrong(keys::PROTECT_BY, other, "immutable, verity")),
                        });
                    }
                    by.sort_by_key(|method| *method == Method::Verity);
                    by.dedup();
                    protect.by = by;
                }
                _ => {}
            }
        }
        Ok(protect)
    }
}

fn wrong(key: &str, word: &str, words: &str) -> Error {
    Error::failure(format!("`{key}` cannot be {word:?}")).with_hint(format!("it is one of {words}"))
}
