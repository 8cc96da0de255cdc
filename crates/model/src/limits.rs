//! `Limits` says how much of a grant may be used: rate, burst and concurrency. The registry reads them and
//! the limiter enforces them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::InvalidId;

/// The largest request that an adapter takes, in bytes. A request holds a few search fields, so 64 KiB is
/// ample.
pub const MAX_ADAPTER_REQUEST: usize = 64 << 10;

/// The highest number of calls in a [`Rate`], and the largest burst.
pub const MAX_CALLS: u32 = 1_000_000;

/// A number of calls in a period, e.g. `20/s`: 1 to 1,000,000 calls per second (`s`), minute (`min`), hour
/// (`h`) or day (`d`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    calls: NonZeroU32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }
}

impl Rate {
    /// Calls in one period.
    pub fn calls(self) -> NonZeroU32 {
        self.calls
    }

    /// The time between two calls at exactly this rate, rounded up to the nanosecond. 1 µs to 1 day.
    pub fn interval(self) -> Duration {
        // Rounded up, so that the interval never allows more calls than the rate.
        let nanos = self.unit.seconds() * 1_000_000_000;
        Duration::from_nanos(nanos.div_ceil(u64::from(self.calls.get())))
    }
}

impl FromStr for Rate {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid =
            InvalidId { kind: "rate", rule: "`20/s`, `100/min`, `5/h` or `500/d`, at most 1000000 calls" };
        let (calls, unit) = text.split_once('/').ok_or(invalid.clone())?;
        let unit = match unit {
            "s" => Unit::Second,
            "min" => Unit::Minute,
            "h" => Unit::Hour,
            "d" => Unit::Day,
            _ => return Err(invalid),
        };
        // `parse` accepts a sign, so the digits are checked first.
        if !calls.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid);
        }
        match calls.parse::<NonZeroU32>() {
            Ok(calls) if calls.get() <= MAX_CALLS => Ok(Self { calls, unit }),
            _ => Err(invalid),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.calls, self.unit.word())
    }
}

/// The limits of one grant. The default limits nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// The sustained rate.
    pub rate: Option<Rate>,
    /// Calls that may come at once after a pause. Absent: as many as one period of the rate has. Nothing
    /// without a rate.
    pub burst: Option<NonZeroU32>,
    /// Calls that may run at the same time.
    pub concurrent: Option<NonZeroU32>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_rate_is_its_text_and_back() {
        for (text, interval) in
            [("20/s", 50_000_000), ("100/min", 600_000_000), ("5/h", 720_000_000_000), ("3/s", 333_333_334)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(rate.interval(), Duration::from_nanos(interval));
        }
    }

    #[test]
    fn anything_else_is_no_rate() {
        for text in [
            "",
            "20",
            "20/",
            "/s",
            "0/s",
            "-1/s",
            "+1/s",
            "20/sec",
            "20 /s",
            "1.5/s",
            "1000001/s",
            "99999999999/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} must not parse");
        }
    }
}
