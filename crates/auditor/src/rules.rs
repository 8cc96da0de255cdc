//! `Rules` say which patterns in the logs an auditor reports: they look at who asked about whom and when, and
//! never at a record. A finding is a question to a clerk's superior, not a verdict.

mod look;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use serde::Deserialize;

pub(crate) use look::look;

/// The words of the rules.
pub(crate) const NAMES: [&str; 4] = [MANY_SUBJECTS, REPEATED_SUBJECT, OUT_OF_HOURS, PROTECTED];

const MANY_SUBJECTS: &str = "many-subjects";
const REPEATED_SUBJECT: &str = "repeated-subject";
const OUT_OF_HOURS: &str = "out-of-hours";
const PROTECTED: &str = "protected";

/// What is looked for. Each rule is off unless it is set.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// One clerk asks about more citizens than this within a time.
    pub many_subjects: Option<Limit>,
    /// One clerk asks about one citizen, without a case, more often than this within a time.
    pub repeated_subject: Option<Limit>,
    /// Calls with a clerk outside of these hours, in Iran's time.
    pub office_hours: Option<OfficeHours>,
    /// File with the national ids of citizens whose records are nobody's everyday work, one a line.
    pub protected: Option<PathBuf>,
}

/// More than so many within a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// How many are usual.
    pub most: u32,
    /// Within how long.
    pub within: Duration,
}

/// When offices are open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfficeHours {
    /// The first minute.
    pub from: Time,
    /// The first minute that is too late.
    pub to: Time,
    /// On which days.
    pub days: Vec<Weekday>,
}

/// `[rules]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    many_subjects: Option<RawMany>,
    repeated_subject: Option<RawRepeated>,
    office_hours: Option<RawHours>,
    protected: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMany {
    subjects: u32,
    within: SignedDuration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRepeated {
    times: u32,
    within: SignedDuration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHours {
    from: Time,
    to: Time,
    days: Vec<Day>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Day {
    Saturday,
    Sunday,
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Saturday => Self::Saturday,
            Day::Sunday => Self::Sunday,
            Day::Monday => Self::Monday,
            Day::Tuesday => Self::Tuesday,
            Day::Wednesday => Self::Wednesday,
            Day::Thursday => Self::Thursday,
            Day::Friday => Self::Friday,
        }
    }
}

/// The longest time that a rule looks back.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

impl Raw {
    pub(crate) fn resolve(self, folder: &Path) -> Result<Rules, String> {
        let limit = |name: &str, most: u32, within: SignedDuration| {
            let within = Duration::try_from(within).ok();
            let within = within.filter(|within| (Duration::from_secs(60)..=LONGEST).contains(within));
            let limit = within.filter(|_| most > 0).map(|within| Limit { most, within });
            limit.ok_or_else(|| format!("`rules.{name}` is 1 or more within 1m to 31 days (`744h`)"))
        };
        let many = self.many_subjects;
        let many = many.map(|many| limit("many_subjects", many.subjects, many.within)).transpose()?;
        let repeated = self.repeated_subject;
        let repeated = repeated.map(|many| limit("repeated_subject", many.times, many.within)).transpose()?;
        let office_hours = match self.office_hours {
            Some(hours) if hours.from >= hours.to || hours.days.is_empty() => {
                return Err(
                    "`rules.office_hours` begins before it ends, on one day of the week or more".to_owned()
                );
            }
            hours => hours.map(|RawHours { from, to, days }| OfficeHours {
                from,
                to,
                days: days.into_iter().map(Weekday::from).collect(),
            }),
        };
        let protected = self.protected.map(|file| folder.join(file));
        Ok(Rules { many_subjects: many, repeated_subject: repeated, office_hours, protected })
    }
}
