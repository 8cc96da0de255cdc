//! Names of a database as names of protobuf: `snake_case` fields, `CamelCase` messages, `UPPER_CASE` values
//! of enums (<https://protobuf.dev/programming-guides/style/>).

/// A column's or table's name in ASCII `snake_case`; nothing of it may be left.
pub(super) fn snake(name: &str) -> Option<String> {
    let mut snake = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        match letter {
            'A'..='Z' => {
                if was_lower {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' => snake.push(letter),
            _ if !snake.is_empty() && !snake.ends_with('_') => snake.push('_'),
            _ => {}
        }
        was_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    let snake = snake.trim_matches('_').to_owned();
    // A field cannot begin with a digit.
    let begins_well = snake.starts_with(|letter: char| letter.is_ascii_lowercase());
    (begins_well && name.is_ascii()).then_some(snake)
}

/// `person_address` as `PersonAddress`.
pub(super) fn camel(snake: &str) -> String {
    let mut camel = String::new();
    for word in snake.split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// `فوت شده` as nothing, `Not known` as `NOT_KNOWN`.
pub(super) fn upper(value: &str) -> Option<String> {
    snake(value).map(|name| name.to_ascii_uppercase())
}

/// Dotted lower-case words, of which the last is a version.
pub(super) fn is_package(package: &str) -> bool {
    let words: Vec<&str> = package.split('.').collect();
    let is_word = |word: &&str| {
        word.starts_with(|letter: char| letter.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let is_version = words.last().is_some_and(|word| {
        word.strip_prefix('v').is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
    });
    words.len() > 1 && is_version && words.iter().all(is_word)
}

/// `CamelCase`.
pub(super) fn is_message(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases_become_names_of_protobuf() {
        for (name, expected) in [
            ("national_id", Some("national_id")),
            ("FamilyName", Some("family_name")),
            ("Old table", Some("old_table")),
            ("order", Some("order")),
            ("x-1", Some("x_1")),
            ("2nd", None),
            ("نام", None),
            ("name نام", None),
            ("__", None),
        ] {
            assert_eq!(snake(name).as_deref(), expected, "{name}");
        }
        assert_eq!(camel("person_address"), "PersonAddress");
        assert_eq!(upper("Not known").as_deref(), Some("NOT_KNOWN"));
        assert!(
            is_package("civil.v1") && !is_package("civil") && !is_package("Civil.v1") && !is_package("v1")
        );
    }
}
