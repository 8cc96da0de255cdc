//! This module finds what a statement compares each placeholder with, by its tokens: `=`, `==`, `IS`, `<=>`,
//! and `IN` for the first of its values. A comparison of another form is not found, which costs a remark of a
//! check.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Functions whose result is a number where their arguments are.
const KEEP_NUMBERS: [&str; 9] =
    ["abs", "coalesce", "ifnull", "iif", "max", "min", "nullif", "round", "greatest"];

/// A placeholder, and the columns on the other side of the comparison, without their tables.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Comparison {
    pub(super) placeholder: String,
    pub(crate) columns: Vec<String>,
    /// The other side is more than one column. Then the value compared has no column's type affinity
    /// (<https://sqlite.org/datatype3.html> §3.2), but is a number where the columns are.
    pub(crate) is_expression: bool,
}

/// The comparisons of placeholders with columns, or with expressions that are numbers where their columns
/// are.
pub(super) fn comparisons(tokens: &[TokenWithSpan]) -> Vec<Comparison> {
    let tokens: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [Token::Colon, Token::Word(name)] = pair else { continue };
        let before = &tokens[..at];
        let after = &tokens[at + 2..];
        let left = match before {
            [left @ .., equal] if is_equality(equal) => operand(left.iter().rev(), Token::RParen),
            [left @ .., Token::Word(word), Token::LParen] if word.keyword == Keyword::IN => {
                operand(left.iter().rev(), Token::RParen)
            }
            _ => Vec::new(),
        };
        let right = match after {
            [equal, right @ ..] if is_equality(equal) => operand(right.iter(), Token::LParen),
            _ => Vec::new(),
        };
        // What was read backwards is put in order again.
        let sides = [left.into_iter().rev().collect::<Vec<_>>(), right];
        let sides = sides.iter().filter_map(|side| compared(side));
        found.extend(sides.map(|(columns, is_expression)| Comparison {
            placeholder: name.value.clone(),
            columns,
            is_expression,
        }));
    }
    found
}

fn is_equality(token: &Token) -> bool {
    match token {
        Token::Eq | Token::DoubleEq | Token::Spaceship => true,
        Token::Word(word) => word.keyword == Keyword::IS,
        _ => false,
    }
}

/// The tokens up to the end of one side of a comparison, in the order in which they come. `opening`: the
/// parenthesis that opens in that order.
fn operand<'t>(tokens: impl Iterator<Item = &'t &'t Token>, opening: Token) -> Vec<&'t Token> {
    let mut depth = 0u32;
    let mut found = Vec::new();
    for token in tokens.copied() {
        let is_parenthesis = matches!(token, Token::LParen | Token::RParen);
        if *token == opening {
            depth += 1;
        } else if is_parenthesis {
            // A parenthesis that opened before the comparison ends its side.
            let Some(inside) = depth.checked_sub(1) else { break };
            depth = inside;
        } else if depth == 0 && ends_operand(token) {
            break;
        }
        found.push(token);
    }
    found
}

fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Comma | Token::SemiColon | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => {
            true
        }
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::WHERE
                | Keyword::ON
                | Keyword::HAVING
                | Keyword::SELECT
                | Keyword::CASE
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::END
                | Keyword::GROUP
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
        ),
        token => is_equality(token),
    }
}

/// The columns of one side, and whether it is an expression; nothing if it may be another thing than a number
/// where they are numbers.
fn compared(side: &[&Token]) -> Option<(Vec<String>, bool)> {
    let mut columns = Vec::new();
    let mut is_expression = false;
    for (at, token) in side.iter().enumerate() {
        // A query of its own gives whatever it selects.
        if matches!(token, Token::Word(word) if word.keyword == Keyword::SELECT) {
            return None;
        }
        match (token, side.get(at + 1)) {
            (Token::Word(word), Some(Token::LParen)) => {
                if !KEEP_NUMBERS.iter().any(|name| word.value.eq_ignore_ascii_case(name)) {
                    return None;
                }
                is_expression = true;
            }
            // A table's name stands before a period, and a column in parentheses is still a column.
            (Token::Word(_), Some(Token::Period)) => {}
            (Token::Period | Token::LParen | Token::RParen, _) => {}
            (Token::Word(word), _) => columns.push(word.value.clone()),
            (Token::Number(..) | Token::SingleQuotedString(_) | Token::Comma, _) => is_expression = true,
            (Token::Plus | Token::Minus | Token::Mul | Token::Div, _) => is_expression = true,
            _ => return None,
        }
    }
    (!columns.is_empty()).then_some((columns, is_expression))
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::SQLiteDialect;
    use sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn found(condition: &str) -> Vec<(String, bool)> {
        let text = format!("SELECT a FROM t WHERE {condition} ORDER BY a");
        let tokens = Tokenizer::new(&SQLiteDialect {}, &text).tokenize_with_location().unwrap();
        let found = comparisons(&tokens);
        assert!(found.iter().all(|found| found.placeholder == "id"), "{found:?}");
        found.into_iter().map(|found| (found.columns.join(","), found.is_expression)).collect()
    }

    #[test]
    fn a_placeholder_is_compared_with_a_column_on_either_side() {
        let column = vec![("person".to_owned(), false)];
        for condition in [
            "person = :id",
            "t.person == :id",
            ":id = main.t.person AND b = 2",
            "b IS NULL AND person IS :id",
            "(b OR person IN (:id, 2))",
            "CASE WHEN person = :id THEN 1 END",
            "(t.person) = :id",
        ] {
            assert_eq!(found(condition), column, "{condition}");
        }
    }

    #[test]
    fn an_expression_is_told_from_a_column_and_one_that_may_be_a_text_is_left_out() {
        for (condition, columns) in [
            ("coalesce(person, 0) = :id", "person"),
            ("b = 1 AND t.person + 0 = :id", "person"),
            (":id = abs(coalesce(t.person, other)) OR b", "person,other"),
        ] {
            assert_eq!(found(condition), [(columns.to_owned(), true)], "{condition}");
        }
        for condition in [
            "CAST(person AS TEXT) = :id",
            "printf('%010d', person) = :id",
            "person || '' = :id",
            "person > :id",
            "(SELECT person FROM t) = :id",
        ] {
            assert_eq!(found(condition), [], "{condition}");
        }
    }
}
