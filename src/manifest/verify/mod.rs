//! Whether a manifest is sound: the file, its rows, every tree body, and everything that
//! what rows name is made of.
//!
//! All bodies are read once, in one transaction: a [`Forest`] is the state of one moment,
//! whatever runs and collections commit meanwhile.

mod forest;
mod rows;

pub use forest::{Forest, Hit};
pub use rows::Named;

use super::db::Manifest;
use crate::cas::finding::{Finding, Subject, What};
use crate::error::Result;

/// At most so many complaints of SQLite's are shown.
const COMPLAINTS: usize = 20;

impl Manifest {
    /// What SQLite itself finds wrong with the file, and rows that name rows that are not
    /// there.
    pub fn verify_file(&self) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let place = || super::db::NAME.to_string();
        for complaint in self.texts(&format!("PRAGMA integrity_check({COMPLAINTS})"))? {
            if complaint != "ok" {
                let one_line = complaint.replace('\n', " ");
                let finding = Finding::new(What::ManifestBroken, Subject::Manifest, place(), one_line);
                found.push(finding.with_remedy(BROKEN));
            }
        }
        let query = "SELECT \"table\" || ' ' || coalesce(rowid, '') || ' names a row of ' || parent || ' that is not there'
                     FROM pragma_foreign_key_check";
        for complaint in self.texts(query)?.into_iter().take(COMPLAINTS) {
            let subject = Subject::Root(complaint.clone());
            found.push(Finding::new(What::RowForeign, subject, place(), complaint).with_remedy(BROKEN));
        }
        Ok(found)
    }

    /// Makes all indexes anew from their tables.
    pub fn make_indexes(&self) -> Result<()> {
        self.doing("make the indexes of", self.connection().execute_batch("REINDEX"))
    }

    fn texts(&self, query: &str) -> Result<Vec<String>> {
        let mut query = self.doing("check", self.connection().prepare(query))?;
        let rows = query.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        self.doing("check", rows)
    }
}

/// What is left where rows are damaged.
pub const BROKEN: &str =
    "bring the project's directory in the store back from a backup, or start anew: vrift project forget";
