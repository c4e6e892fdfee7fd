//! Amounts of bytes as people write them.

use crate::error::{Error, Result};

/// `2 GiB`, `500MB`, `1048576`: a number, and a unit of 1000 or 1024.
pub fn bytes(text: &str) -> Result<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let factor: Option<u64> = match unit.as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(
        || Error::failure(format!("`{text}` is no amount of bytes")).with_hint("as in `2 GiB` or `500MB`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units() {
        for (text, want) in [("0", 0), ("17", 17), ("2 GiB", 2 << 30), ("3k", 3072), ("500MB", 500_000_000)] {
            assert_eq!(bytes(text).unwrap(), want, "{text}");
        }
        for bad in ["", "GiB", "-1", "1.5G", "2 XB", "99999999999999999999", "20000000000 GiB"] {
            assert!(bytes(bad).unwrap_err().hint().is_some(), "{bad}");
        }
    }
}
