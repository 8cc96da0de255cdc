//! The page's words in Persian and English. Words that a contract or the registry has come from there.

use chapar_contract::jalali_of_gregorian;
use chapar_contract::text::ascii_digits;
use chapar_model::{Language, Reason, tehran};
use jiff::Timestamp;

/// A name of the registry's in this language.
pub(crate) fn name_in(language: Language, name: Option<&chapar_client::Name>) -> &str {
    name.map_or("", |name| language.pick(&name.fa, &name.en))
}

/// What to do about a refusal, by its reason or gRPC's code: plain words for whoever stands at the desk.
pub(crate) fn advice(language: Language, reason: &str, code: i32) -> &'static str {
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
    language.pick(fa, en)
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

/// ASCII digits in place of Persian and Arabic ones, without spaces around: what a clerk typed.
pub(crate) fn typed(text: &str) -> String {
    // Marks of direction come along when a number is copied from a Persian text.
    let is_mark = |letter: &char| matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unmarked: String = text.chars().filter(|letter| !is_mark(letter)).collect();
    ascii_digits(unmarked.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_script_are_typed() {
        assert_eq!(typed(" ۰۱۲۳۴۵۶۷۸۹ "), "0123456789");
        assert_eq!(typed("\u{200f}٠١٢٣٤٥٦٧٨٩\u{200f}"), "0123456789");
        assert_eq!(typed("0123456789"), "0123456789");
    }
}
