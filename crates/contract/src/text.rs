//! This module folds Persian text from keyboards and old databases: digits of three scripts, and several
//! forms of ی and ک. Folded text is for comparing and checking; forwarded bytes are never folded.

/// `text` with Persian (U+06F0–06F9) and Arabic-Indic (U+0660–0669) digits as ASCII digits; the rest as it
/// is.
pub fn ascii_digits(text: &str) -> String {
    text.chars().map(ascii_digit).collect()
}

fn ascii_digit(c: char) -> char {
    let from = |zero: char| char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap_or(c);
    match c {
        '\u{06F0}'..='\u{06F9}' => from('\u{06F0}'),
        '\u{0660}'..='\u{0669}' => from('\u{0660}'),
        _ => c,
    }
}

/// Marks of direction and of byte order. They come with text that is copied out of forms, and have no meaning
/// in an identifier.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// An identifier cleaned before a check: ASCII digits; spaces, hyphens, ZWNJ, bidi marks and BOM removed.
pub fn clean_id(text: &str) -> String {
    let cleaned = clean(text);
    if cleaned.contains('-') { cleaned.replace('-', "") } else { cleaned }
}

/// As [`clean_id`], but hyphens stay: they separate the parts of a date.
pub(crate) fn clean(text: &str) -> String {
    // Most identifiers are plain ASCII, and then nothing has to be folded.
    if text.bytes().all(|byte| byte.is_ascii() && byte != b' ') {
        return text.to_owned();
    }
    text.chars().filter(|c| !matches!(c, ' ' | '\u{200C}') && !is_mark(*c)).map(ascii_digit).collect()
}

/// The canonical form of a Persian text, safe to store and to show: ي and ى as ی, ك as ک, ASCII digits, NFC,
/// no tatweel, no bidi marks, single spaces. ZWNJ stays.
pub fn fold(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let letters = text.nfc().filter_map(|c| match c {
        '\u{064A}' | '\u{0649}' => Some('\u{06CC}'),
        '\u{0643}' => Some('\u{06A9}'),
        '\u{0640}' => None,
        c if is_mark(c) => None,
        c => Some(ascii_digit(c)),
    });
    // NFC is applied again, because a removed character may have stood between a letter and its mark.
    let folded: String = letters.nfc().collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_are_one() {
        for text in ["0013542419", "۰۰۱۳۵۴۲۴۱۹", "٠٠١٣٥٤٢٤١٩", "\u{200F}۰۰۱-۳۵۴ ۲۴۱۹"]
        {
            assert_eq!(clean_id(text), "0013542419", "{text:?}");
        }
    }

    #[test]
    fn two_forms_of_one_letter_fold_to_one() {
        for (arabic, persian) in [("علي", "علی"), ("كريم", "کریم"), ("حكمت", "حکمت")] {
            assert_eq!(fold(arabic), fold(persian));
        }
        assert_eq!(fold("  نمی‌خواهی  ها "), "نمی‌خواهی ها", "ZWNJ stays, spaces collapse");
        assert_eq!(fold("ا\u{0640}\u{0653}"), "آ", "what was apart for a tatweel is composed");
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "[ -\u{0660}ء-ی۰-۹ـ\u{0653}-\u{0655}\u{200C}-\u{200F}]{0,12}|\\PC{0,12}") {
            let once = fold(&text);
            proptest::prop_assert_eq!(fold(&once), once);
        }
    }
}
