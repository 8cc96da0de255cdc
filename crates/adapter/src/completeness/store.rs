//! This module keeps counts on disk: `completeness/YYYY-MM.json` in the adapter's state folder, one file for
//! each month, with the days in Asia/Tehran. Several processes of one state folder add to the same files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::counts::Counts;

/// Counts by day, and by the method's full name.
pub(super) type Days = BTreeMap<Date, BTreeMap<String, Counts>>;

const FOLDER: &str = "completeness";

/// Adds `days` to the files of `state`. A month is added as one file; what was added is taken from
/// `days`. A system that stops in the middle, or an error after the file was replaced, may leave counts that
/// are added a second time.
///
/// # Errors
/// What the system said, or that a file is none of this kind: it is left as it is.
pub(super) fn add(state: &Path, days: &mut Days) -> io::Result<()> {
    // A folder is made once there is something to keep in it.
    if days.is_empty() {
        return Ok(());
    }
    let folder = state.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|error| named(&folder, &error))?;
    // Another process may add at the same time, such as the one that this one replaces.
    let _alone = chapar_files::lock(&folder)?;
    while let Some((first, _)) = days.first_key_value() {
        let month = first.first_of_month();
        let file = file_of(&folder, month);
        let mut known = read(&file)?;
        let of_month: Vec<Date> = days.keys().copied().filter(|day| day.first_of_month() == month).collect();
        for day in &of_month {
            for (method, counts) in days.get(day).into_iter().flatten() {
                known.entry(*day).or_default().entry(method.clone()).or_default().add(counts);
            }
        }
        let text = serde_json::to_vec_pretty(&known).map_err(io::Error::other)?;
        chapar_files::replace(&file, &text, 0o640)?;
        days.retain(|day, _| !of_month.contains(day));
    }
    Ok(())
}

/// The counts of the days from `since` to `until`, both included.
///
/// # Errors
/// As [`add`].
pub(super) fn between(state: &Path, since: Date, until: Date) -> io::Result<Days> {
    let folder = state.join(FOLDER);
    let mut days = Days::new();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(days),
        Err(error) => return Err(named(&folder, &error)),
    };
    for entry in entries {
        let file = entry.map_err(|error| named(&folder, &error))?.path();
        // Drafts of a file that is being replaced end in another way.
        if file.extension().is_some_and(|extension| extension == "json") {
            days.extend(read(&file)?);
        }
    }
    days.retain(|day, _| (since..=until).contains(day));
    Ok(days)
}

fn file_of(folder: &Path, month: Date) -> PathBuf {
    folder.join(format!("{:04}-{:02}.json", month.year(), month.month()))
}

fn read(file: &Path) -> io::Result<Days> {
    let Some(text) = chapar_files::read_text_if_any(file).map_err(|error| named(file, &error))? else {
        return Ok(Days::new());
    };
    serde_json::from_str(&text).map_err(|error| named(file, &error.into()))
}

fn named(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(day: &str, full: u64) -> Days {
        let counts = Counts { full, ..Counts::default() };
        Days::from([(day.parse().unwrap(), BTreeMap::from([("reg.v1.R/Get".to_owned(), counts)]))])
    }

    #[test]
    fn counts_of_one_day_add_up_and_days_are_told_apart() {
        let state = tempfile::tempdir().unwrap();
        for (day, full) in [("2026-11-30", 1), ("2026-12-01", 2), ("2026-11-30", 4)] {
            let mut unsaved = days(day, full);
            add(state.path(), &mut unsaved).unwrap();
            assert!(unsaved.is_empty());
        }
        let between = |since: &str, until: &str| {
            let found = between(state.path(), since.parse().unwrap(), until.parse().unwrap()).unwrap();
            found.values().map(|methods| methods["reg.v1.R/Get"].full).collect::<Vec<_>>()
        };
        assert_eq!(between("2026-11-30", "2026-12-01"), [5, 2]);
        assert_eq!(between("2026-12-01", "2026-12-31"), [2]);
    }

    #[test]
    fn a_file_that_is_none_of_this_kind_stays_and_nothing_is_lost() {
        let state = tempfile::tempdir().unwrap();
        let mut unsaved = days("2026-11-30", 1);
        add(state.path(), &mut unsaved).unwrap();
        let file = state.path().join("completeness/2026-11.json");
        std::fs::write(&file, "{ cut").unwrap();
        let mut unsaved = days("2026-11-30", 2);
        let error = add(state.path(), &mut unsaved).unwrap_err().to_string();
        assert!(error.starts_with(file.to_str().unwrap()), "{error}");
        assert_eq!(unsaved, days("2026-11-30", 2));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ cut");
    }
}
