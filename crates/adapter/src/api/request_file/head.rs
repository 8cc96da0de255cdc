//! The first line of a request and its headers.

use http::{HeaderName, Method};

use super::placeholders::split;
use super::{HeaderPiece, Parser};
use crate::api::template::{Target, is_dots};
use crate::finding::Finding;
use crate::method_file::Name;

/// Headers that belong to the connection or that the adapter sets itself.
const OWN_HEADERS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

impl Parser<'_> {
    pub(super) fn request_line(
        &mut self,
        offset: usize,
        line: &str,
    ) -> Result<(Method, Name, Target), Finding> {
        let (word, target) = line.split_once(' ').unwrap_or((line, ""));
        let first = Name { text: word.to_owned(), offset, length: word.len().max(1) };
        let method = match word {
            "GET" => Method::GET,
            "POST" => Method::POST,
            _ => {
                let text = format!("`{word}` is none of GET and POST, with which an API is asked");
                return Err(self.at(offset, word.len().max(1), text));
            }
        };
        let from = offset + word.len() + 1;
        let refused =
            |text: &str| Err(self.at(from.min(offset + line.len()), target.len().max(1), text.to_owned()));
        let Some(rest) = target.strip_prefix('/') else {
            return refused(
                "the target begins with `/`: host and first part of the path are in the source's `url`",
            );
        };
        // A character that another reader would encode by itself makes two requests of one file.
        if let Some(wrong) = rest.chars().find(|c| !c.is_ascii_graphic() || "\"#<>\\^`|".contains(*c)) {
            return refused(&format!(
                "{wrong:?} cannot stand in a target: write it percent-encoded (RFC 3986 §2.1)"
            ));
        }
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut built = Target::default();
        let mut at = from + 1;
        for segment in path.split('/') {
            if is_dots(segment) {
                return Err(self.at(at, segment.len(), "`.` and `..` are no parts of a target's path"));
            }
            built.path.push(self.pieces(at, segment)?);
            at += segment.len() + 1;
        }
        for part in query.into_iter().flat_map(|query| query.split('&')) {
            let Some((name, value)) = part.split_once('=').filter(|(name, _)| !name.contains('{')) else {
                return Err(self.at(
                    at,
                    part.len().max(1),
                    "a part of the query is `name=value` or `name={field}`",
                ));
            };
            built.query.push((name.to_owned(), self.pieces(at + name.len() + 1, value)?));
            at += part.len() + 1;
        }
        Ok((method, first, built))
    }

    pub(super) fn header(
        &self,
        offset: usize,
        line: &str,
    ) -> Result<(HeaderName, Vec<HeaderPiece>), Finding> {
        let at = |message: String| self.at(offset, line.len(), message);
        let header = line.split_once(':').and_then(|(name, value)| Some((name.parse().ok()?, value)));
        let Some((name, value)): Option<(HeaderName, &str)> = header else {
            return Err(at("is no header `Name: value`; an empty line stands before the body".to_owned()));
        };
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(at(format!("`{name}` is set by the adapter")));
        }
        let from = offset + line.len() - value.trim_start().len();
        let value = value.trim();
        if !value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            return Err(at("a header's value is visible ASCII (RFC 9110 §5.5)".to_owned()));
        }
        let mut pieces = Vec::new();
        for (place, piece) in split(value).map_err(|at| self.unbalanced(from + at))? {
            pieces.push(match piece {
                Ok(literal) => HeaderPiece::Literal(literal.to_owned()),
                Err(name) => match name.strip_prefix("secret:") {
                    Some(secret) => HeaderPiece::Secret(Name {
                        text: secret.trim().to_owned(),
                        offset: from + place,
                        length: name.len() + 2,
                    }),
                    // A header would need an encoding of its own for a value that a caller chose.
                    None => {
                        let text = format!("`{{{name}}}`: a header takes no request field");
                        let help = "name a secret, `{secret:NAME}`, or put the field into the path, the query or the body";
                        return Err(self.at(from + place, name.len() + 2, text).with_help(help));
                    }
                },
            });
        }
        Ok((name, pieces))
    }
}
