//! Amounts of bytes and of time as people write them.

use std::time::Duration;

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

/// A size for people: `9.8 GB`; decimal units, as in `ls --si`.
pub fn shown(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `90 s`, `10 min`, `2h`: a number and a unit. `None`: `off`.
pub fn time(text: &str) -> Result<Option<Duration>> {
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[end..].trim() {
        "s" => Some(1),
        "min" | "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let seconds = text[..end].parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    let seconds = seconds.filter(|seconds| (1..=365 * 86_400).contains(seconds));
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| {
        Error::failure(format!("`{text}` is no amount of time")).with_hint("as in `10 min`, `30 s` or `off`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(1000), "1.0 kB");
        assert_eq!(shown(999_950), "1.0 MB");
        assert_eq!(shown(10_300_000_000), "10.3 GB");
        assert_eq!(shown(u64::MAX), "18.4 EB");
    }

    #[test]
    fn numbers_and_units() {
        for (text, want) in [("0", 0), ("17", 17), ("2 GiB", 2 << 30), ("3k", 3072), ("500MB", 500_000_000)] {
            assert_eq!(bytes(text).unwrap(), want, "{text}");
        }
        for bad in ["", "GiB", "-1", "1.5G", "2 XB", "99999999999999999999", "20000000000 GiB"] {
            assert!(bytes(bad).unwrap_err().hint().is_some(), "{bad}");
        }
        for (text, want) in [("30 s", Some(30)), ("10min", Some(600)), ("2h", Some(7200)), ("off", None)] {
            assert_eq!(time(text).unwrap(), want.map(Duration::from_secs), "{text}");
        }
        for bad in ["", "10", "0 s", "-1 s", "1 d", "99999999999999999999 h"] {
            assert!(time(bad).unwrap_err().hint().is_some(), "{bad}");
        }
    }
}
