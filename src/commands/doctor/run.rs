//! The sum: a whole run, made before the other checks.

use super::check::{Check, Verdict};
use super::subject::Subject;

pub fn checks(subject: &Subject) -> Vec<Check> {
    vec![match &subject.trial {
        Ok(without) if without.is_empty() => Check::good("a run", "works: opened, joined, written, taken in"),
        Ok(without) => {
            let without: Vec<String> = without.iter().map(ToString::to_string).collect();
            Check::lacking("a run", format!("works, but {}", without.join("; ")), Verdict::Note)
        }
        Err(error) => Check::failed("a run", error, Verdict::Bad),
    }]
}
