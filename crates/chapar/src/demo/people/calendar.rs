//! `Day` converts between the Gregorian and the Jalali calendar. It covers only what the generator needs; the
//! bus itself reads dates elsewhere.

use std::fmt;

/// A day, counted from 1970-01-01. Right as Jalali for 1200/01/01 to 1500/12/29.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Day(i32);

/// 1970-01-01 in days from 0001-01-01, counted from 1 (Rata Die).
const EPOCH: i32 = 719_163;
/// 1 Farvardin of the year 1, Rata Die: 19 March 622, Julian.
const JALALI_EPOCH: i32 = 226_896;

impl Day {
    /// The day on which the demo's people live: 1405/09/01. Fixed, so that the same people come out every
    /// day.
    pub(crate) const TODAY: Self = Self(20_779);

    /// A day `years` (of 365.2425 days) and `days` before this one.
    pub(crate) fn before(self, years: i32, days: i32) -> Self {
        Self(self.0 - (years * 3_652_425) / 10_000 - days)
    }

    /// A day `days` after this one.
    pub(crate) fn plus(self, days: i32) -> Self {
        Self(self.0 + days)
    }

    /// Days from `earlier` to this one.
    pub(crate) fn since(self, earlier: Self) -> i32 {
        self.0 - earlier.0
    }

    /// Whole years lived on [`Day::TODAY`], to the day or so.
    pub(crate) fn age(self) -> i32 {
        Self::TODAY.since(self) * 10_000 / 3_652_425
    }

    /// First day of a Jalali year: the 33-year rule, which equals the official calendar for 1200 to 1500.
    pub(crate) fn new_year(jalali_year: i32) -> Self {
        Self(JALALI_EPOCH - 1 + 365 * (jalali_year - 1) + (8 * jalali_year + 21).div_euclid(33) - EPOCH)
    }

    /// Year, month and day in the Jalali calendar.
    pub(crate) fn jalali(self) -> (i32, i32, i32) {
        let mut year = (self.0 + EPOCH - JALALI_EPOCH) * 33 / 12_053 + 1;
        // The estimate from the mean length of a year may be off, so it is corrected.
        while Self::new_year(year) > self {
            year -= 1;
        }
        while Self::new_year(year + 1) <= self {
            year += 1;
        }
        let day = self.since(Self::new_year(year));
        // The first six months have 31 days each.
        if day < 186 {
            (year, day / 31 + 1, day % 31 + 1)
        } else {
            (year, (day - 186) / 30 + 7, (day - 186) % 30 + 1)
        }
    }

    /// Year, month and day in the Gregorian calendar (Hinnant, "days_from_civil").
    pub(crate) fn gregorian(self) -> (i32, i32, i32) {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        (year, month, of_year - (153 * month_from_march + 2) / 5 + 1)
    }

    /// `YYYY/MM/DD`, Jalali.
    pub(crate) fn jalali_text(self) -> String {
        let (year, month, day) = self.jalali();
        format!("{year:04}/{month:02}/{day:02}")
    }
}

/// `YYYY-MM-DD`, Gregorian.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.gregorian();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use icu_calendar::Date;
    use icu_calendar::cal::Persian;

    use super::*;

    #[test]
    fn every_day_from_1280_to_1430_agrees_with_icu() {
        let first = Day::new_year(1280);
        for offset in 0..150 * 365 {
            let day = first.plus(offset);
            let (year, month, of_month) = day.gregorian();
            let reference =
                Date::try_new_iso(year, month as u8, of_month as u8).unwrap().to_calendar(Persian);
            let expected = (
                reference.year().extended_year(),
                i32::from(reference.month().ordinal),
                i32::from(reference.day_of_month().0),
            );
            assert_eq!(day.jalali(), expected, "{day}");
        }
    }

    #[test]
    fn known_days_are_written_in_both_calendars() {
        let day = Day::new_year(1348).plus(6 * 31 + 3 * 30 + 10);
        assert_eq!((day.jalali_text().as_str(), day.to_string().as_str()), ("1348/10/11", "1970-01-01"));
        assert_eq!(
            (Day::TODAY.jalali_text().as_str(), Day::TODAY.to_string().as_str()),
            ("1405/09/01", "2026-11-22")
        );
        assert_eq!(Day::new_year(1404).plus(-1).jalali_text(), "1403/12/30");
    }

    #[test]
    fn someone_born_forty_years_and_ten_days_ago_is_forty() {
        assert_eq!(Day::TODAY.before(40, 10).age(), 40);
    }
}
