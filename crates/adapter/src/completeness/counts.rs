//! `Counts` says how completely a method was answered in some time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a method was answered in some time, in numbers of answers.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Answers in which no field was NULL, but for those of sparse columns.
    pub full: u64,
    /// Answers with at least one field that was NULL.
    pub partial: u64,
    /// Answers without a record.
    pub missing: u64,
    /// Calls that failed by the database, or because it does not fit the contract.
    pub failed: u64,
    /// By the contract's path of the field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldCounts>,
}

/// How often a field was there, in numbers of records.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FieldCounts {
    /// Records of answers under a grant of this field.
    pub records: u64,
    /// Records of these in which it was NULL.
    pub absent: u64,
}

impl Counts {
    /// How many calls. As every sum here it stops at `u64::MAX`: a file may hold any number.
    pub fn calls(&self) -> u64 {
        let answered = self.full.saturating_add(self.partial).saturating_add(self.missing);
        answered.saturating_add(self.failed)
    }

    /// Adds what `other` counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.full = self.full.saturating_add(other.full);
        self.partial = self.partial.saturating_add(other.partial);
        self.missing = self.missing.saturating_add(other.missing);
        self.failed = self.failed.saturating_add(other.failed);
        for (path, counts) in &other.fields {
            self.fields.entry(path.clone()).or_default().add(*counts);
        }
    }
}

impl FieldCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.records = self.records.saturating_add(other.records);
        self.absent = self.absent.saturating_add(other.absent);
    }
}
