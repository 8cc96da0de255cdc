//! `Language` is one of the two languages of the bus's pages.

/// Persian or English.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// Persian, written from right to left.
    Fa,
    /// English.
    En,
}

impl Language {
    /// The language of a code, `fa` or `en`.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "fa" => Some(Self::Fa),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// Its code (ISO 639-1).
    pub fn code(self) -> &'static str {
        match self {
            Self::Fa => "fa",
            Self::En => "en",
        }
    }

    /// The one that it is not.
    pub fn other(self) -> Self {
        match self {
            Self::Fa => Self::En,
            Self::En => Self::Fa,
        }
    }

    /// The direction of its script, as HTML has it.
    pub fn direction(self) -> &'static str {
        match self {
            Self::Fa => "rtl",
            Self::En => "ltr",
        }
    }

    /// The first in Persian, the second in English.
    pub fn pick<'a>(self, fa: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Fa => fa,
            Self::En => en,
        }
    }

    /// A text with its ASCII digits as this language writes them.
    pub fn digits(self, text: &str) -> String {
        match self {
            Self::En => text.to_owned(),
            Self::Fa => text.chars().map(persian_digit).collect(),
        }
    }
}

/// The Persian digit of an ASCII digit; any other character as it is.
fn persian_digit(letter: char) -> char {
    let digit = letter.to_digit(10).filter(|_| letter.is_ascii_digit());
    digit.and_then(|digit| char::from_u32('۰' as u32 + digit)).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_shown_in_the_languages_own() {
        assert_eq!(Language::Fa.digits("1405/09/07 ۷"), "۱۴۰۵/۰۹/۰۷ ۷");
        assert_eq!(Language::En.digits("1405"), "1405");
    }
}
