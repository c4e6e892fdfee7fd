//! `mem=2G,cpus=1.5,pids=100`: what all processes of a session may use together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::amount;

/// The parts that were said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Bytes of memory, swap included.
    pub mem: Option<u64>,
    /// Thousandths of a processor.
    pub millicpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Limit {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// These, and for parts that are not said the other's.
    pub fn or(self, other: Self) -> Self {
        Self {
            mem: self.mem.or(other.mem),
            millicpus: self.millicpus.or(other.millicpus),
            pids: self.pids.or(other.pids),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut limit = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let place = match name.trim() {
                "mem" => &mut limit.mem,
                "cpus" => &mut limit.millicpus,
                "pids" => &mut limit.pids,
                _ => return Err(format!("`{name}` is none of mem, cpus, pids")),
            };
            let number = match name.trim() {
                "mem" => amount::bytes(value).ok().filter(|bytes| *bytes > 0),
                "cpus" => value.trim().parse().ok().filter(|cpus| (0.01..1e6).contains(cpus)).map(millis),
                _ => value.trim().parse().ok().filter(|pids| *pids > 0),
            };
            *place = Some(number.ok_or("as in: mem=2G,cpus=1.5,pids=100")?);
        }
        if limit.is_none() {
            return Err("as in: mem=2G,cpus=1.5,pids=100".into());
        }
        Ok(limit)
    }
}

fn millis(cpus: f64) -> u64 {
    (cpus * 1000.0).round() as u64
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mem = self.mem.map(|mem| format!("mem={mem}"));
        let cpus = self.millicpus.map(|cpus| format!("cpus={}", cpus as f64 / 1000.0));
        let pids = self.pids.map(|pids| format!("pids={pids}"));
        let parts: Vec<String> = [mem, cpus, pids].into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_nonsense_is_not() {
        let limit: Limit = "mem=3G,cpus=0.5,pids=7".parse().unwrap();
        assert_eq!(limit, Limit { mem: Some(3 << 30), millicpus: Some(500), pids: Some(7) });
        assert_eq!(limit.to_string().parse::<Limit>().unwrap(), limit);
        assert_eq!("mem=64k".parse::<Limit>().unwrap().mem, Some(65536));
        for text in [
            "", ",", "mem", "mem=", "mem=-1", "mem=0", "mem=1X", "mem=é", "cpus=0", "cpus=nan", "pids=0",
            "x=1",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
        let (a, b): (Limit, Limit) = ("mem=1".parse().unwrap(), "mem=2,pids=3".parse().unwrap());
        assert_eq!(a.or(b).to_string(), "mem=1,pids=3");
    }
}
