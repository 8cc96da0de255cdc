//! `parse` reads a `google.type.Date` from a column's text: `YYYY-MM-DD`, `YYYY-MM` or `YYYY`, all of the
//! Gregorian calendar.

/// Year, month, day; a part that is not known is 0, as `google.type.Date` has it.
pub(crate) fn parse(text: &str) -> Option<[u64; 3]> {
    let number = |text: &str, digits: usize| -> Option<u64> {
        // `parse` accepts a sign, so the digits are checked first.
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4).filter(|year| *year > 0)?;
    let month = parts.next().map(|part| number(part, 2).filter(|month| (1..=12).contains(month)));
    let day = parts.next().map(|part| number(part, 2));
    match (month, day, parts.next()) {
        (None, None, None) => Some([year, 0, 0]),
        (Some(Some(month)), None, None) => Some([year, month, 0]),
        (Some(Some(_)), Some(Some(_)), None) => {
            // The whole text is parsed again as a date, which knows how many days a month has.
            let date: jiff::civil::Date = text.parse().ok()?;
            Some([year, date.month().cast_unsigned().into(), date.day().cast_unsigned().into()])
        }
        _ => None,
    }
}
