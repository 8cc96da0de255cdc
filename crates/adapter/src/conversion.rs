//! `Conversion` reads text of an old database as a number or a date, where a statement's leading comment
//! declares `-- column NAME: CONVERSION`. A value that it cannot read wholly is `VALUE_UNREADABLE` for its
//! row, where SQL's `CAST` would give another value (`CAST('1,500,000' AS INTEGER)` is 1).

use chapar_contract::{gregorian_of_jalali, text::ascii_digits};

use jiff::tz::TimeZone;

use crate::form::Form;
use crate::source::{Cell, Family};

/// A declared conversion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Conversion {
    /// `integer`: digits of any script, an optional sign, thousands in groups of three by `,` or `٬`.
    Integer,
    /// `number`: as `integer`, with an optional fraction after `.` or `٫`; at most 15 digits, which a double
    /// holds exactly enough to give them back (IEEE 754, `DBL_DIG`).
    Number,
    /// `jalali "YYYY/MM/DD"`: a day of the Jalali calendar, to be given out as its Gregorian day.
    Jalali(String),
    /// `gregorian`: years 1200 to 1599 are Gregorian years as written.
    Gregorian,
    /// `zone "Asia/Tehran"`: day and time are written in this zone (IANA's name of it).
    Zone(TimeZone),
}

/// Digits that a double keeps (C11 §5.2.4.2.2, `DBL_DIG`).
const DOUBLE_DIGITS: usize = 15;

impl Conversion {
    /// Reads what stands after the colon.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "integer" => Ok(Self::Integer),
            "number" => Ok(Self::Number),
            "gregorian" => Ok(Self::Gregorian),
            _ if text.starts_with("zone ") => {
                let name = text.trim_start_matches("zone ").trim().trim_matches('"');
                TimeZone::get(name).map(Self::Zone).map_err(|_| {
                    format!("`{name}` is no time zone; write IANA's name of it, e.g. `zone \"Asia/Tehran\"`")
                })
            }
            _ => match text.strip_prefix("jalali").map(str::trim) {
                Some("") => Ok(Self::Jalali("YYYY/MM/DD".to_owned())),
                Some(pattern) => {
                    let pattern = pattern.trim_matches('"');
                    // Each part once: a pattern with a missing or a repeated part would give a day that is
                    // not in the text.
                    let once = |part: &str| pattern.matches(part).count() == 1;
                    let is_whole = once("YYYY") && once("MM") && once("DD");
                    is_whole.then(|| Self::Jalali(pattern.to_owned())).ok_or_else(|| {
                        "a Jalali pattern has YYYY, MM and DD once each, e.g. `jalali \"YYYY/MM/DD\"`"
                            .to_owned()
                    })
                }
                None => Err(format!(
                    "`{text}` is no conversion: `integer`, `number`, `jalali \"YYYY/MM/DD\"`, `gregorian`, `zone \"Asia/Tehran\"`"
                )),
            },
        }
    }

    /// Whether a field of this form can be made by the conversion.
    pub(crate) fn makes(&self, form: &Form) -> bool {
        match self {
            Self::Integer => !matches!(
                form,
                Form::Bytes
                    | Form::Date
                    | Form::Decimal
                    | Form::Double
                    | Form::Duration
                    | Form::Enum(_)
                    | Form::Float
                    | Form::Json(_)
                    | Form::String
                    | Form::TimeOfDay
                    | Form::Timestamp
            ),
            Self::Number => matches!(form, Form::Double | Form::Float),
            Self::Jalali(_) => matches!(form, Form::Date),
            // A timestamp needs a time of day, which a Jalali day in text does not give.
            Self::Gregorian => matches!(form, Form::Date | Form::Timestamp),
            Self::Zone(_) => matches!(form, Form::Timestamp),
        }
    }

    /// Declared column types that it reads.
    pub(crate) fn families(&self) -> &'static [Family] {
        match self {
            Self::Integer => &[Family::Text, Family::Integer, Family::Decimal, Family::Numeric],
            Self::Number => &[Family::Text, Family::Integer, Family::Decimal, Family::Numeric, Family::Real],
            Self::Jalali(_) => &[Family::Text, Family::Numeric, Family::Integer],
            Self::Gregorian => &[Family::Text, Family::Date, Family::Timestamp, Family::Numeric],
            Self::Zone(_) => &[Family::DateTime, Family::Text, Family::Numeric],
        }
    }

    /// The value after the conversion; what is already of the wanted type stays.
    ///
    /// # Errors
    /// Why it could not be read, without the value.
    pub(crate) fn apply<'a>(&self, cell: Cell<'a>) -> Result<Converted<'a>, &'static str> {
        match (self, cell) {
            // NULL stays NULL: whether the field may be unset is decided in `encode`.
            (_, Cell::Null) | (Self::Gregorian, _) => Ok(Converted::Cell(cell)),
            (Self::Integer, Cell::Integer(_) | Cell::Decimal(_))
            | (Self::Number, Cell::Integer(_) | Cell::Real(_) | Cell::Decimal(_)) => {
                Ok(Converted::Cell(cell))
            }
            (Self::Zone(zone), Cell::DateTime(time)) => in_zone(zone, time),
            (Self::Zone(zone), Cell::Text(text)) => {
                // A text that names its own offset is a moment already, and the declaration would contradict
                // it.
                let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
                let time = text.parse().map_err(|_| "not a day and time without a zone")?;
                if text.parse::<jiff::Timestamp>().is_ok() {
                    return Err("a time that names its own zone");
                }
                in_zone(zone, time)
            }
            (Self::Integer, Cell::Text(text)) => {
                let number = plain_number(text)?;
                number
                    .parse()
                    .map(|number| Converted::Cell(Cell::Integer(number)))
                    .map_err(|_| "not a whole number")
            }
            (Self::Number, Cell::Text(text)) => {
                let number = plain_number(text)?;
                // A double does not give more digits back, and a rounded amount would look exact.
                if number.bytes().filter(u8::is_ascii_digit).count() > DOUBLE_DIGITS {
                    return Err("a number of more than 15 digits");
                }
                number.parse().map(|number| Converted::Cell(Cell::Real(number))).map_err(|_| "not a number")
            }
            (Self::Jalali(pattern), Cell::Text(text)) => {
                let text = ascii_digits(std::str::from_utf8(text).map_err(|_| "not UTF-8")?);
                jalali(pattern, text.trim())
                    .map(Converted::Text)
                    .ok_or("not a day of the Jalali calendar in this pattern")
            }
            // Old systems store Jalali days as numbers such as 13700101, so the digits are read by the same
            // pattern.
            (Self::Jalali(pattern), Cell::Integer(number)) => {
                let date = jalali(pattern, &number.to_string());
                date.map(Converted::Text).ok_or("not a day of the Jalali calendar in this pattern")
            }
            _ => Err("not text"),
        }
    }
}

/// Converts a local time to an instant. A change of the clocks can skip it or repeat it; both are errors.
fn in_zone(zone: &TimeZone, time: jiff::civil::DateTime) -> Result<Converted<'static>, &'static str> {
    let moment = zone.to_ambiguous_timestamp(time).unambiguous();
    moment
        .map(|moment| Converted::Cell(Cell::Timestamp(moment)))
        .map_err(|_| "a time that its zone's clocks skip or have twice")
}

/// A value after its conversion.
pub(crate) enum Converted<'a> {
    Cell(Cell<'a>),
    Text(String),
}

impl Converted<'_> {
    /// The value as a cell.
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Cell(cell) => *cell,
            Self::Text(text) => Cell::Text(text.as_bytes()),
        }
    }
}

/// Sign, digits and `.`: groups of thousands are taken out where every one of them has three digits.
fn plain_number(text: &[u8]) -> Result<String, &'static str> {
    // Persian and Arabic digits and separators occur in old databases beside ASCII, and mean the same.
    let text = ascii_digits(std::str::from_utf8(text).map_err(|_| "not UTF-8")?);
    let text = text.trim().replace('٬', ",").replace('٫', ".");
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let is_grouped = whole.contains(',');
    // Groups must be of three digits: `1,5` may be a decimal comma, and reading it as 15 would be wrong by a
    // factor of ten.
    let fits = is_digits(first)
        && (!is_grouped || first.len() <= 3)
        && groups.all(|group| group.len() == 3 && is_digits(group))
        && fraction.is_none_or(is_digits);
    if !fits {
        return Err("not a number, or with separators that are not thousands");
    }
    let whole = whole.replace(',', "");
    Ok(match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    })
}

/// The Gregorian day of a text in a pattern of `YYYY`, `MM`, `DD` and separators.
fn jalali(pattern: &str, text: &str) -> Option<String> {
    let part = |name: &str| {
        let at = pattern.find(name)?;
        let digits = text.get(at..at + name.len())?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
    };
    let year = part("YYYY")?;
    let month = part("MM")?;
    let day = part("DD")?;
    // The text is put together again and compared, so that separators and length must fit the pattern too.
    let same = pattern.replace("YYYY", year).replace("MM", month).replace("DD", day) == text;
    same.then(|| gregorian_of_jalali(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(conversion: &str, text: &str) -> Option<String> {
        let conversion = Conversion::parse(conversion).unwrap();
        let converted = conversion.apply(Cell::Text(text.as_bytes())).ok()?;
        Some(match converted.cell() {
            Cell::Integer(number) => number.to_string(),
            Cell::Real(number) => number.to_string(),
            Cell::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            Cell::Timestamp(time) => time.to_string(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn a_conversion_is_exact_or_fails() {
        for (conversion, text, value) in [
            ("integer", "1,500,000", Some("1500000")),
            ("integer", "۱٬۵۰۰٬۰۰۰", Some("1500000")),
            ("integer", " -42 ", Some("-42")),
            ("integer", "1,50", None),
            ("integer", "1500,000", None),
            ("integer", "12 ریال", None),
            ("integer", "1.5", None),
            ("integer", "", None),
            ("integer", "9223372036854775808", None),
            ("number", "۱۷٫۲۵", Some("17.25")),
            ("number", "1,234.5", Some("1234.5")),
            ("number", "1e5", None),
            ("number", "0.1234567890123456", None),
            ("jalali", "1392/04/02", Some("2013-06-23")),
            ("jalali", "۱۳۹۲/۰۴/۰۲", Some("2013-06-23")),
            ("jalali", "1392-04-02", None),
            ("jalali", "1392/13/02", None),
            ("jalali", "2013/06/23", None),
            ("zone \"Asia/Tehran\"", "2026-11-27 12:00:00", Some("2026-11-27T08:30:00Z")),
            ("zone \"Asia/Tehran\"", "2026-11-27T12:00:00Z", None),
            ("zone \"Asia/Tehran\"", "2021-03-22T00:30:00", None),
            ("zone Asia/Tehran", "2021-09-21T23:30:00", None),
            ("jalali \"YYYYMMDD\"", "13920402", Some("2013-06-23")),
            ("jalali \"DD-MM-YYYY\"", "02-04-1392", Some("2013-06-23")),
        ] {
            assert_eq!(converted(conversion, text).as_deref(), value, "{conversion} {text}");
        }
    }

    #[test]
    fn a_conversion_that_does_not_exist_is_told() {
        for text in ["", "int", "jalali \"YYYY/MM\"", "jalali \"YYYY/MM/DD/DD\"", "cast", "zone x"] {
            assert!(Conversion::parse(text).is_err(), "{text}");
        }
    }
}
