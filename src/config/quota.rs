//! `[quota]`: how much a session may write, and how little room it must leave.

use super::{Config, amount, keys};
use crate::error::{Error, Result};

/// A filesystem of more than 40 GiB keeps this much free.
const MOST_FLOOR: u64 = 2 << 30;

/// What was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of disk that a session's staging may take.
    pub staging: Option<u64>,
    /// Names that it may hold.
    pub files: Option<u64>,
    /// Bytes of disk that the store may take.
    pub store: Option<u64>,
    pub floor: Floor,
}

/// What is to stay free of the store's filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Floor {
    /// A twentieth, at most 2 GiB: a small filesystem is not all floor.
    #[default]
    Usual,
    /// So many bytes; none switches it off.
    Bytes(u64),
}

impl Floor {
    /// In bytes, of a filesystem of this size.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Floor::Usual => (total / 20).min(MOST_FLOOR),
            Floor::Bytes(bytes) => bytes,
        }
    }
}

impl Quota {
    pub fn of(config: &Config) -> Result<Self> {
        let bytes = |key: &str| {
            let bytes = config.text(key).map(amount::bytes).transpose();
            bytes.map_err(|error| {
                let hint = error.hint().unwrap_or_default().to_string();
                Error::failure(format!("`{key}`: {error}")).with_hint(hint)
            })
        };
        let files = config.text(keys::QUOTA_FILES).map(|text| {
            text.trim().parse().map_err(|_| {
                Error::failure(format!("`{}`: `{text}` is no number", keys::QUOTA_FILES))
                    .with_hint("as in: files = \"100000\"")
            })
        });
        let floor = match config.text(keys::QUOTA_FLOOR) {
            Some("off") => Floor::Bytes(0),
            _ => bytes(keys::QUOTA_FLOOR)?.map_or(Floor::Usual, Floor::Bytes),
        };
        Ok(Self {
            staging: bytes(keys::QUOTA_STAGING)?,
            files: files.transpose()?,
            store: bytes(keys::QUOTA_STORE)?,
            floor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_of_a_small_filesystem_is_small() {
        assert_eq!(Floor::Usual.of(1 << 40), 2 << 30);
        assert_eq!(Floor::Usual.of(1 << 30), (1 << 30) / 20);
        assert_eq!(Floor::Usual.of(64 << 20), (64 << 20) / 20);
        assert_eq!(Floor::Bytes(7).of(1 << 40), 7);
    }
}
