//! Days in Asia/Tehran, which has kept +03:30 the whole year since 2022. The offset is fixed here, so that a
//! decision does not depend on the time zone data of the machine.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// Seconds east of UTC.
pub const OFFSET_SECONDS: i32 = 3 * 3600 + 30 * 60;

/// The day of a moment.
pub fn day(at: Timestamp) -> Date {
    offset().to_datetime(at).date()
}

/// Day and time of day of a moment.
pub fn local(at: Timestamp) -> DateTime {
    offset().to_datetime(at)
}

/// The moment at which a day begins; `None` at the ends of the calendar.
pub fn midnight(day: Date) -> Option<Timestamp> {
    offset().to_timestamp(day.at(0, 0, 0, 0)).ok()
}

fn offset() -> Offset {
    // The offset is in range, so the default is never used.
    Offset::from_seconds(OFFSET_SECONDS).unwrap_or(Offset::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_three_and_a_half_hours_before_utcs() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(day(at("2026-11-26T20:29:59Z")).to_string(), "2026-11-26");
        assert_eq!(day(at("2026-11-26T20:30:00Z")).to_string(), "2026-11-27");
        assert_eq!(midnight("2026-11-27".parse().unwrap()), Some(at("2026-11-26T20:30:00Z")));
    }
}
