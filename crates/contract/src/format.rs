//! `Format` checks identifiers, on wire text whose digits are folded to ASCII. A valid identifier is
//! possible, but may not exist. The rules are those of persian-tools (national and legal ids), of ISO 7064
//! and ISO 13616 (Sheba, an IBAN), and of ICU's calendar (Jalali). A postal code has no check digit.

use std::fmt;

use iban::{BaseIban, IbanLike as _};
use icu_calendar::Date;

use crate::text::{clean, clean_id};

/// What a text field holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// کد ملی: 10 digits, check digit modulo 11.
    IrNationalId,
    /// شناسهٔ ملی اشخاص حقوقی: 11 digits, weighted check digit.
    IrLegalId,
    /// کد پستی: 10 digits, not beginning with 0, not all the same.
    IrPostalCode,
    /// شبا: `IR` and 24 digits, ISO 7064 modulo 97-10.
    IrIban,
    /// Mobile number: 9 and nine digits, with or without 0, 98, 0098 or +98.
    IrMobile,
    /// A day of the Jalali calendar, `1405/09/02` or `1405-09-02`.
    JalaliDate,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IrNationalId => "a national id: 10 digits, the last a check digit",
            Self::IrLegalId => "a legal entity's id: 11 digits, the last a check digit",
            Self::IrPostalCode => "a postal code: 10 digits",
            Self::IrIban => "a Sheba: IR and 24 digits with their check digits",
            Self::IrMobile => "a mobile number: 09 and nine digits",
            Self::JalaliDate => "a Jalali date: year/month/day",
        })
    }
}

impl Format {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::IrNationalId, "FORMAT_IR_NATIONAL_ID"),
        (Self::IrLegalId, "FORMAT_IR_LEGAL_ID"),
        (Self::IrPostalCode, "FORMAT_IR_POSTAL_CODE"),
        (Self::IrIban, "FORMAT_IR_IBAN"),
        (Self::IrMobile, "FORMAT_IR_MOBILE"),
        (Self::JalaliDate, "FORMAT_JALALI_DATE"),
    ];

    /// Its name in contracts, e.g. `FORMAT_IR_IBAN`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// The format of a name in contracts.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(format, _)| *format)
    }

    /// Whether `text` has the format.
    pub fn check(&self, text: &str) -> bool {
        let text = self.normalise(text);
        match self {
            Self::IrNationalId => digits::<10>(&text).is_some_and(|d| national_id(&d)),
            Self::IrLegalId => digits::<11>(&text).is_some_and(|d| legal_id(&d)),
            Self::IrPostalCode => digits::<10>(&text).is_some_and(|d| d[0] != 0 && !all_equal(&d)),
            Self::IrIban => iban(&text),
            Self::IrMobile => mobile(&text),
            Self::JalaliDate => jalali(&text),
        }
    }

    /// `text` in the form that is compared and hashed: ASCII digits, no separators; a mobile number as
    /// `+98…`, a day as `1405/09/02`. A text that does not have the format is only cleaned.
    pub fn normalise(&self, text: &str) -> String {
        match self {
            Self::JalaliDate => {
                let text = clean(text);
                if text.contains('/') { text } else { text.replace('-', "/") }
            }
            Self::IrIban => clean_id(text).to_ascii_uppercase(),
            Self::IrMobile => {
                let text = clean_id(text);
                // 98 may also begin a number that has no prefix: the prefix is the one that leaves ten
                // digits.
                let national = ["+98", "0098", "98", "0", ""].iter().find_map(|prefix| {
                    text.strip_prefix(prefix).filter(|rest| rest.len() == 10 && rest.starts_with('9'))
                });
                national.map(|number| format!("+98{number}")).unwrap_or(text)
            }
            _ => clean_id(text),
        }
    }
}

impl Format {
    /// A checked `text` as it is written inside the country: a mobile number as `09…`. `None` for formats
    /// that have no such form.
    pub fn national(&self, text: &str) -> Option<String> {
        match self {
            Self::IrMobile => self.normalise(text).strip_prefix("+98").map(|number| format!("0{number}")),
            _ => None,
        }
    }
}

fn digits<const N: usize>(text: &str) -> Option<[u32; N]> {
    let values: Vec<u32> = text.chars().map(|c| c.to_digit(10)).collect::<Option<_>>()?;
    values.try_into().ok()
}

fn all_equal(digits: &[u32]) -> bool {
    digits.windows(2).all(|pair| pair[0] == pair[1])
}

fn national_id(d: &[u32; 10]) -> bool {
    // The first nine digits have the weights 10 to 2.
    let sum: u32 = d[..9].iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    let rest = sum % 11;
    let check = if rest < 2 { rest } else { 11 - rest };
    // Ten equal digits, and six zeros in the middle, can pass the check digit but are no ids.
    d[9] == check && !all_equal(d) && d[3..9].iter().any(|digit| *digit != 0)
}

fn legal_id(d: &[u32; 11]) -> bool {
    let shift = d[9] + 2;
    let weights = [29, 27, 23, 19, 17].iter().cycle();
    let sum: u32 = d[..10].iter().zip(weights).map(|(digit, weight)| (digit + shift) * weight).sum();
    let check = match sum % 11 {
        10 => 0,
        rest => rest,
    };
    d[10] == check && d[3..9].iter().any(|digit| *digit != 0)
}

fn iban(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("IR") else { return false };
    // Check digits run from 02 to 98 (ISO 13616); modulo 97 alone would also accept 00, 01 and 99.
    rest.len() == 24
        && rest.bytes().all(|b| b.is_ascii_digit())
        && !matches!(&rest[..2], "00" | "01" | "99")
        && text.parse::<BaseIban>().is_ok_and(|iban| iban.country_code() == "IR")
}

fn mobile(text: &str) -> bool {
    text.strip_prefix("+989").is_some_and(|rest| rest.len() == 9 && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn jalali(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    // `parse` accepts a sign, so the digits are checked first.
    let number = |text: &str, width: usize| {
        (text.len() == width && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    match (number(year, 4), number(month, 2), number(day, 2)) {
        (Some(year), Some(month), Some(day)) => {
            let (Ok(month), Ok(day)) = (u8::try_from(month), u8::try_from(day)) else { return false };
            gregorian_of_jalali(i32::from(year), month, day).is_some()
        }
        _ => false,
    }
}

/// Years 1200 to 1599: a date of our time with such a year can only be Jalali.
pub const JALALI_YEARS: std::ops::RangeInclusive<i32> = 1200..=1599;

/// Converts a day that was most likely meant in the Jalali calendar (year 1200 to 1599) to the Gregorian day,
/// `YYYY-MM-DD`. Returns `None` for other years, and for a day that the Jalali calendar does not have.
pub fn gregorian_of_jalali(year: i32, month: u8, day: u8) -> Option<String> {
    let jalali =
        JALALI_YEARS.contains(&year).then(|| Date::try_new_persian(year, month, day).ok()).flatten()?;
    let gregorian = jalali.to_calendar(icu_calendar::Gregorian);
    let year = gregorian.era_year().year;
    let month = gregorian.month().ordinal;
    let day = gregorian.day_of_month().0;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The day of the Jalali calendar that a Gregorian day is, `1405/09/07`. Returns `None` for a day that there
/// is not.
pub fn jalali_of_gregorian(year: i32, month: u8, day: u8) -> Option<String> {
    let jalali = Date::try_new_gregorian(year, month, day).ok()?.to_calendar(icu_calendar::cal::Persian);
    let year = jalali.era_year().year;
    let month = jalali.month().ordinal;
    let day = jalali.day_of_month().0;
    Some(format!("{year:04}/{month:02}/{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_goes_to_the_other_calendar_and_back() {
        for (gregorian, jalali) in [
            ((2026, 11, 28), "1405/09/07"),
            ((2024, 3, 20), "1403/01/01"),
            ((2025, 3, 20), "1403/12/30"),
            ((1979, 2, 11), "1357/11/22"),
        ] {
            let (year, month, day) = gregorian;
            assert_eq!(jalali_of_gregorian(year, month, day).as_deref(), Some(jalali));
            let parts: Vec<i32> = jalali.split('/').map(|part| part.parse().unwrap()).collect();
            let back = gregorian_of_jalali(parts[0], parts[1] as u8, parts[2] as u8).unwrap();
            assert_eq!(back, format!("{year:04}-{month:02}-{day:02}"));
        }
        assert_eq!(jalali_of_gregorian(2026, 2, 30), None);
    }

    fn check(format: Format, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(format.check(text), "{text} is {format}");
        }
        for text in bad {
            assert!(!format.check(text), "{text} is not {format}");
        }
    }

    #[test]
    fn national_ids_by_their_check_digit() {
        let good = [
            "0499370899",
            "0790419904",
            "1583250689",
            "0076229645",
            "0067749828",
            "0084575948",
            "0010350829",
            "0013542419",
            "0200203241",
            "4061234560",
            "1234567891",
            "۰۰۱۳۵۴۲۴۱۹",
        ];
        check(
            Format::IrNationalId,
            &good,
            &["1234567890", "1111111111", "0010000000", "12345", "", "11537027", "00135424190"],
        );
    }

    #[test]
    fn legal_ids_by_their_check_digit() {
        let good = [
            "10380284790",
            "14005893875",
            "10100171920",
            "10861677542",
            "10103327240",
            "14003778990",
            "10102695930",
            "10320894878",
        ];
        check(Format::IrLegalId, &good, &["10380284792", "10380285692", "11111111111", "123000000"]);
    }

    #[test]
    fn postal_codes_by_their_shape() {
        check(
            Format::IrPostalCode,
            &["1969833114", "1619735744"],
            &["0123456789", "1111111111", "19698331145"],
        );
    }

    #[test]
    fn ibans_by_their_check_digits() {
        let good = [
            "IR820540102680020817909002",
            "IR550570022080013447370101",
            "IR062960000000100324200001",
            "IR790610000000700796858044",
            "IR580540105180021273113007",
            "ir82 0540 1026 8002 0817 9090 02",
        ];
        check(
            Format::IrIban,
            &good,
            &["IR820540102680020817909003", "IR012345678901234567890123", "DE89370400440532013000", "IR", ""],
        );
    }

    #[test]
    fn ibans_with_check_digits_that_are_never_issued_are_refused_although_the_arithmetic_passes() {
        let passes = |check: u32, account: u32| {
            let digits = format!("{account:022}1827{check:02}");
            digits.bytes().fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97) == 1
        };
        for check in [0, 1, 99] {
            let account = (0..97).find(|account| passes(check, *account)).unwrap();
            let text = format!("IR{check:02}{account:022}");
            assert!(!Format::IrIban.check(&text), "{text}");
            assert!(Format::IrIban.check(&match check {
                99 => format!("IR02{account:022}"),
                low => format!("IR{:02}{account:022}", low + 97),
            }));
        }
    }

    #[test]
    fn mobile_numbers_in_every_spelling() {
        let spellings = ["09022002580", "+989022002580", "00989022002580", "989022002580", "9022002580"];
        check(Format::IrMobile, &spellings, &["0902200258", "08022002580", "+19022002580", "98", "+98", ""]);
        for spelling in spellings {
            assert_eq!(Format::IrMobile.normalise(spelling), "+989022002580");
        }
        for spelling in ["9812345678", "09812345678", "989812345678"] {
            assert_eq!(Format::IrMobile.normalise(spelling), "+989812345678", "98 is no prefix here");
        }
    }

    #[test]
    fn jalali_days_are_those_of_the_published_calendar() {
        let vectors = [
            ((1300, 1, 1), (1921, 3, 21)),
            ((1348, 10, 11), (1970, 1, 1)),
            ((1357, 11, 22), (1979, 2, 11)),
            ((1399, 12, 30), (2021, 3, 20)),
            ((1400, 1, 1), (2021, 3, 21)),
            ((1402, 10, 11), (2024, 1, 1)),
            ((1403, 1, 1), (2024, 3, 20)),
            ((1403, 12, 30), (2025, 3, 20)),
            ((1404, 1, 1), (2025, 3, 21)),
            ((1405, 9, 2), (2026, 11, 23)),
            ((1408, 12, 30), (2030, 3, 20)),
        ];
        for ((year, month, day), (gregorian, m, d)) in vectors {
            assert!(Format::JalaliDate.check(&format!("{year}/{month:02}/{day:02}")));
            let jalali = Date::try_new_persian(year, month, day).unwrap();
            let expected = Date::try_new_gregorian(gregorian, m, d).unwrap();
            assert_eq!(jalali.to_calendar(icu_calendar::Gregorian), expected, "{year}/{month}/{day}");
            assert_eq!(gregorian_of_jalali(year, month, day), Some(format!("{gregorian}-{m:02}-{d:02}")));
        }
        let leap = [
            1370, 1375, 1379, 1383, 1387, 1391, 1395, 1399, 1403, 1408, 1412, 1416, 1420, 1424, 1428, 1432,
            1436,
        ];
        for year in 1370..=1436 {
            assert_eq!(Format::JalaliDate.check(&format!("{year}/12/30")), leap.contains(&year), "{year}");
        }
    }

    #[test]
    fn jalali_days_that_exist() {
        check(
            Format::JalaliDate,
            &["1348/10/11", "1399-12-30", "1403/12/30", "1408/12/30", "1405/09/02", "۱۴۰۵/۰۹/۰۲"],
            &[
                "1404/12/30",
                "1405/13/01",
                "1405/07/31",
                "1405/9/2",
                "1405/00/10",
                "1405/01/00",
                "2026/11/23",
                "1405/09-02",
                "",
            ],
        );
        for spelling in ["1405/09/02", "1405-09-02", "\u{200F}۱۴۰۵/۰۹/۰۲", "١٤٠٥-٠٩-٠٢"] {
            assert_eq!(Format::JalaliDate.normalise(spelling), "1405/09/02");
        }
    }
}
