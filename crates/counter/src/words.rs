//! `Language` is Persian or English, and the page's words in both. Words that a contract or the registry has
//! come from there.

use chapar_contract::jalali_of_gregorian;
use chapar_model::{Reason, tehran};
use jiff::Timestamp;

/// A language of the page, as its address has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Language {
    Fa,
    En,
}

impl Language {
    pub(crate) fn of(text: &str) -> Option<Self> {
        match text {
            "fa" => Some(Self::Fa),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Fa => "fa",
            Self::En => "en",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Fa => Self::En,
            Self::En => Self::Fa,
        }
    }

    /// The direction of its script, as HTML has it.
    pub(crate) fn direction(self) -> &'static str {
        match self {
            Self::Fa => "rtl",
            Self::En => "ltr",
        }
    }

    /// The first in Persian, the second in English.
    pub(crate) fn pick<'a>(self, fa: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Fa => fa,
            Self::En => en,
        }
    }

    /// A name of the registry's.
    pub(crate) fn name(self, name: Option<&chapar_client::Name>) -> &str {
        name.map_or("", |name| self.pick(&name.fa, &name.en))
    }

    /// A text with its digits as this language writes them.
    pub(crate) fn digits(self, text: &str) -> String {
        match self {
            Self::En => text.to_owned(),
            Self::Fa => text.chars().map(persian_digit).collect(),
        }
    }

    /// What to do about a refusal, by its reason or gRPC's code: plain words for whoever stands at the desk.
    pub(crate) fn advice(self, reason: &str, code: i32) -> &'static str {
        let (fa, en) = match code {
            _ if reason == Reason::ProcedureUnknown.as_str() => (
                "این کار دیگر در فهرست دفتر نیست. به فهرست کارها بازگردید.",
                "The office no longer has this procedure. Go back to the list.",
            ),
            3 => ("آنچه را وارد شده است بررسی کنید.", "Check what was typed."),
            4 | 14 => (
                "این دستگاه اکنون پاسخ نمی‌دهد. چند دقیقهٔ دیگر فرم تازه‌ای باز کنید و دوباره بپرسید.",
                "This agency does not answer now. In some minutes open a new form and ask again.",
            ),
            5 => (
                "این دستگاه پرونده‌ای با این شماره ملی ندارد.",
                "This agency has no record under this national id.",
            ),
            7 => (
                "دفتر شما اجازهٔ این پرسش را ندارد. به مسئول دفتر بگویید.",
                "Your office may not ask this. Tell the office's manager.",
            ),
            8 => (
                "سقف پرسش‌ها پر شده است. کمی بعد دوباره بپرسید.",
                "The limit of inquiries is reached. Ask again a little later.",
            ),
            _ => (
                "این پرسش پاسخ داده نشد. کد زیر را به پشتیبانی بدهید.",
                "This question was not answered. Give the code below to the help desk.",
            ),
        };
        self.pick(fa, en)
    }
}

/// Time of day in Tehran.
pub(crate) fn time(at: Timestamp, language: Language) -> String {
    let local = tehran::local(at);
    language.digits(&format!("{:02}:{:02}", local.hour(), local.minute()))
}

/// Day and time in Tehran; the day in the Jalali calendar.
pub(crate) fn moment(at: Timestamp, language: Language) -> String {
    let local = tehran::local(at);
    let (month, day) = (local.month().unsigned_abs(), local.day().unsigned_abs());
    let jalali = jalali_of_gregorian(local.year().into(), month, day).unwrap_or_default();
    format!("{} {}", language.digits(&jalali), time(at, language))
}

/// The Persian digit of an ASCII digit; any other character as it is.
fn persian_digit(letter: char) -> char {
    let digit = letter.to_digit(10).filter(|_| letter.is_ascii_digit());
    digit.and_then(|digit| char::from_u32('۰' as u32 + digit)).unwrap_or(letter)
}

/// ASCII digits in place of Persian and Arabic ones, without spaces around: what a clerk typed.
pub(crate) fn typed(text: &str) -> String {
    let digit = |letter: char| match letter {
        '۰'..='۹' => char::from_u32(letter as u32 - '۰' as u32 + '0' as u32).unwrap_or(letter),
        '٠'..='٩' => char::from_u32(letter as u32 - '٠' as u32 + '0' as u32).unwrap_or(letter),
        other => other,
    };
    // Marks of direction come along when a number is copied from a Persian text.
    let is_mark = |letter: &char| matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.trim().chars().filter(|letter| !is_mark(letter)).map(digit).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_script_are_typed_and_shown_in_the_pages_own() {
        assert_eq!(typed(" ۰۱۲۳۴۵۶۷۸۹ "), "0123456789");
        assert_eq!(typed("\u{200f}٠١٢٣٤٥٦٧٨٩\u{200f}"), "0123456789");
        assert_eq!(typed("0123456789"), "0123456789");
        assert_eq!(Language::Fa.digits("1405/09/07 ۷"), "۱۴۰۵/۰۹/۰۷ ۷");
        assert_eq!(Language::En.digits("1405"), "1405");
    }
}
