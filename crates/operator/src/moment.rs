//! Times of the gateways' answers as people and programs read them.

use chapar_contract::jalali_of_gregorian;
use chapar_model::{Language, tehran};
use jiff::{Timestamp, Unit};

/// Milliseconds since the Unix epoch as RFC 3339 in UTC, whole seconds; empty out of the calendar.
pub(crate) fn utc_ms(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).and_then(|at| at.round(Unit::Second));
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Microseconds since the Unix epoch as RFC 3339 in UTC, whole milliseconds; empty out of the calendar.
pub fn utc_us(us: u64) -> String {
    let at = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    let at = at.and_then(|at| at.round(Unit::Millisecond).ok());
    at.map(|at| format!("{at:.3}")).unwrap_or_default()
}

/// Day and time of day in Tehran, to the second: the day in the Jalali calendar in Persian, in the Gregorian
/// in English.
pub(crate) fn local(us: u64, language: Language) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    let Ok(at) = Timestamp::from_microsecond(us) else { return String::new() };
    let local = tehran::local(at);
    let (year, month, day) = (local.year(), local.month().unsigned_abs(), local.day().unsigned_abs());
    let date = match language {
        Language::Fa => jalali_of_gregorian(year.into(), month, day).unwrap_or_default(),
        Language::En => local.date().to_string(),
    };
    let time = format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
    language.digits(&format!("{date} {time}"))
}

/// A duration of microseconds in milliseconds with two places.
pub(crate) fn millis(us: u64) -> String {
    format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_tehran_and_in_the_languages_calendar() {
        let us = 1_795_870_800_000_000; // 2026-11-28T13:00:00Z
        assert_eq!(local(us, Language::En), "2026-11-28 16:30:00");
        assert_eq!(local(us, Language::Fa), "۱۴۰۵/۰۹/۰۷ ۱۶:۳۰:۰۰");
        assert_eq!(utc_ms(1_795_870_800_499), "2026-11-28T13:00:00Z");
        assert_eq!(utc_us(us + 12_345), "2026-11-28T13:00:00.012Z");
        assert_eq!((utc_ms(i64::MAX), utc_us(u64::MAX)), (String::new(), String::new()));
        assert_eq!(millis(1_234), "1.23 ms");
    }
}
