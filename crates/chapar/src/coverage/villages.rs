//! A province's list of villages, a CSV file (RFC 4180): the village, its households, and the counter office
//! that serves it.

use std::path::Path;

use chapar_model::SubsystemId;
use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// A village.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Village {
    /// Its name or number: any text.
    pub(crate) village: String,
    pub(crate) households: u32,
    /// The subsystem of its office, as the registry has it; empty for a village without one.
    pub(crate) office: String,
}

/// Reads a list.
///
/// # Errors
/// The line at fault: a column that is missing, a number that is none, an office that is no subsystem, a
/// village that stands twice.
pub(crate) fn villages(file: &Path) -> Result<Vec<Village>, Failure> {
    let fault = |problem: &dyn std::fmt::Display| {
        Failure::new(Exit::Finding, format_args!("{}: {problem}", file.display()))
    };
    let text = chapar_files::read_text(file).map_err(|error| fault(&error))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut villages: Vec<Village> = Vec::new();
    let mut names = std::collections::HashSet::new();
    for line in reader.deserialize() {
        let village: Village = line.map_err(|error| {
            fault(&format_args!("{error}; the columns are `village`, `households` and `office`"))
        })?;
        if !village.office.is_empty()
            && let Err(error) = village.office.parse::<SubsystemId>()
        {
            return Err(fault(&format_args!(
                "`{}`: the office `{}` is {error}",
                village.village, village.office
            )));
        }
        if !names.insert(village.village.clone()) {
            return Err(fault(&format_args!("the village `{}` stands twice", village.village)));
        }
        villages.push(village);
    }
    Ok(villages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Village>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        villages(file.path()).map_err(|failure| failure.report.to_string())
    }

    #[test]
    fn a_list_is_read_as_spreadsheets_write_it() {
        let text = "\u{feff}village,households,office\r\n\"چم‌سنگر, بالا\", 45 ,office/khorramabad-12/counter\r\nده نو,12,\r\n";
        let villages = read(text).unwrap();
        assert_eq!(villages[0].village, "چم‌سنگر, بالا");
        assert_eq!((villages[0].households, villages[1].office.as_str()), (45, ""));
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        for (text, told) in [
            ("village,households\na,1\n", "the columns are"),
            ("village,households,office\na,many,\n", "line: 2"),
            ("village,households,office\na,1,not an office\n", "the office `not an office` is"),
            ("village,households,office\na,1,\na,2,\n", "the village `a` stands twice"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
