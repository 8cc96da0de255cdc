//! `Guesses` looks at up to 50 values of each text column and guesses the format of an Iranian identifier or
//! date: at least five different values, of which nine in ten fit. The values are looked at and forgotten.

use std::collections::{BTreeMap, BTreeSet};

use chapar_contract::{Format, text::ascii_digits};

use crate::source::catalogue::{Catalogue, Kind};
use crate::source::{Cell, Family, Source, TableColumn};

/// Maximum number of values that are looked at.
const SAMPLES: u64 = 50;
/// Minimum number of different values for a guess.
const DISTINCT: usize = 5;

/// What a column's texts look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Guess {
    Identifier(Format),
    /// Days of the Jalali calendar in this pattern.
    Jalali(&'static str),
    /// Days as `YYYY-MM-DD`.
    Gregorian,
}

/// Guesses by relation and column.
#[derive(Debug, Default)]
pub(super) struct Guesses(BTreeMap<(String, String), Guess>);

impl Guesses {
    /// Looks at the text columns of every relation. A relation that cannot be sampled has no guesses.
    pub(super) async fn of(source: &dyn Source, catalogue: &Catalogue) -> Self {
        let mut guesses = BTreeMap::new();
        for relation in &catalogue.relations {
            for field in relation.columns.iter().filter(|field| field.kind == Kind::Text) {
                let column = TableColumn {
                    schema: relation.schema.clone(),
                    table: relation.name.clone(),
                    column: field.name.clone(),
                    family: Family::Text,
                };
                let mut values = BTreeSet::new();
                let look = &mut |cell: Cell<'_>| {
                    if let Cell::Text(text) = cell
                        && let Ok(text) = std::str::from_utf8(text)
                        && !text.trim().is_empty()
                    {
                        values.insert(text.trim().to_owned());
                    }
                };
                // A view may not be readable although it is listed; then nothing is guessed of it.
                if source.sample(&column, SAMPLES, look).await.is_err() {
                    break;
                }
                if let Some(guess) = guess(&field.name, &values) {
                    guesses.insert((relation.name.clone(), field.name.clone()), guess);
                }
            }
        }
        Self(guesses)
    }

    pub(super) fn get(&self, relation: &str, column: &str) -> Option<Guess> {
        self.0.get(&(relation.to_owned(), column.to_owned())).copied()
    }
}

fn guess(column: &str, values: &BTreeSet<String>) -> Option<Guess> {
    if values.len() < DISTINCT {
        return None;
    }
    let most = |fits: &dyn Fn(&str) -> bool| {
        values.iter().filter(|value| fits(value)).count() * 10 >= values.len() * 9
    };
    let is = |format: Format| most(&|value: &str| format.check(value));
    if is(Format::IrIban) {
        return Some(Guess::Identifier(Format::IrIban));
    }
    for pattern in ["YYYY/MM/DD", "YYYY-MM-DD", "YYYYMMDD"] {
        if most(&|value| is_jalali(pattern, value)) {
            return Some(Guess::Jalali(pattern));
        }
    }
    let is_gregorian = |value: &str| {
        value.len() == 10
            && value.parse::<jiff::civil::Date>().is_ok_and(|date| (1800..2200).contains(&date.year()))
    };
    if most(&is_gregorian) {
        return Some(Guess::Gregorian);
    }
    // Nine digits after a 9 are also a postal code, so a number without a prefix is no guess.
    if is(Format::IrMobile) && most(&|value| value.starts_with(['0', '+', '۰', '٠'])) {
        return Some(Guess::Identifier(Format::IrMobile));
    }
    for format in [Format::IrNationalId, Format::IrLegalId] {
        if is(format) {
            return Some(Guess::Identifier(format));
        }
    }
    // A postal code has no check digit, so its column's name has to speak for it.
    let name = column.to_lowercase();
    let is_post = ["post", "zip", "پست"].iter().any(|word| name.contains(word));
    (is_post && is(Format::IrPostalCode)).then_some(Guess::Identifier(Format::IrPostalCode))
}

fn is_jalali(pattern: &str, value: &str) -> bool {
    let value = ascii_digits(value);
    let separated = match pattern {
        "YYYYMMDD" if value.len() == 8 => {
            format!("{}/{}/{}", &value[..4], &value[4..6], &value[6..])
        }
        "YYYY-MM-DD" if value.matches('-').count() == 2 => value.replace('-', "/"),
        "YYYY/MM/DD" => value,
        _ => return false,
    };
    separated.len() == 10 && Format::JalaliDate.check(&separated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(column: &str, values: &[&str]) -> Option<Guess> {
        guess(column, &values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn formats_are_guessed_from_values_and_never_from_too_few() {
        let ids = ["0499370899", "0790419904", "0084575948", "0963695398", "0684159414"];
        assert_eq!(of("a", &ids), Some(Guess::Identifier(Format::IrNationalId)));
        assert_eq!(of("a", &ids[..4]), None);
        let days = ["1370/01/02", "1371/05/31", "1388/12/29", "۱۳۹۰/۰۱/۰۱", "1401/07/30"];
        assert_eq!(of("a", &days), Some(Guess::Jalali("YYYY/MM/DD")));
        let days = ["13700102", "13710531", "13881229", "13900101", "14010730"];
        assert_eq!(of("a", &days), Some(Guess::Jalali("YYYYMMDD")));
        let days = ["1991-01-02", "1992-05-31", "2009-12-29", "2011-01-01", "2022-07-30"];
        assert_eq!(of("a", &days), Some(Guess::Gregorian));
        let codes = ["6813833946", "1619735744", "7618788871", "3513785544", "9187654321"];
        assert_eq!(of("postal_code", &codes), Some(Guess::Identifier(Format::IrPostalCode)));
        assert_eq!(of("code", &codes), None);
        assert_eq!(of("name", &["علی", "رضا", "زهرا", "مریم", "حسن", "سارا"]), None);
    }
}
