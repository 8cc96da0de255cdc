//! `Numbers` remembers which number a field got, in `introspect.lock` beside the contract. A field keeps its
//! number when the draft is made again, and the number of one that is gone is never given to another.

use std::collections::BTreeMap;
use std::path::Path;

/// Field numbers of every message and enum, by name.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub(super) struct Numbers(BTreeMap<String, BTreeMap<String, u32>>);

impl Numbers {
    /// Reads the file; empty if there is none.
    pub(super) fn load(file: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("`{}`: {error}", file.display());
        let text = chapar_files::read_text_if_any(file).map_err(|error| wrong(&error))?;
        text.map_or(Ok(Self::default()), |text| toml::from_str(&text).map_err(|error| wrong(&error)))
    }

    /// Writes the file.
    pub(super) fn save(&self, file: &Path) -> Result<(), String> {
        let wrong = |error: &dyn std::fmt::Display| format!("`{}`: {error}", file.display());
        let text = toml::to_string(&self.0).map_err(|error| wrong(&error))?;
        let head = "# The numbers of fields in the drafted contract. Keep this file beside it.\n\n";
        std::fs::write(file, format!("{head}{text}")).map_err(|error| wrong(&error))
    }

    /// The number of a field, the same as last time.
    pub(super) fn of(&mut self, message: &str, field: &str) -> u32 {
        let fields = self.0.entry(message.to_owned()).or_default();
        if let Some(number) = fields.get(field) {
            return *number;
        }
        // 19000 to 19999 are protobuf's own; a message of so many columns is none that can be drafted.
        let next = fields.values().max().copied().unwrap_or_default() + 1;
        fields.insert(field.to_owned(), next);
        next
    }

    /// Numbers of a message's fields that are not among these names.
    pub(super) fn gone(&self, message: &str, names: &[&str]) -> Vec<u32> {
        let fields = self.0.get(message).into_iter().flatten();
        fields.filter(|(name, _)| !names.contains(&name.as_str())).map(|(_, number)| *number).collect()
    }
}
