//! The body of a request: JSON in which a text `{field}` stands for the value of a request field.

use serde_json::Value;

use super::Parser;
use crate::api::template::Body;
use crate::finding::Finding;

/// Maximum nesting depth of a request's body.
const MAX_JSON_DEPTH: usize = 50;

impl Parser<'_> {
    pub(super) fn body(&mut self, offset: usize) -> Result<Option<Body>, Finding> {
        let text = self.text.get(offset..).unwrap_or_default();
        if text.trim().is_empty() {
            return Ok(None);
        }
        let start = offset + text.len() - text.trim_start().len();
        let json: Value = serde_json::from_str(text)
            .map_err(|error| self.at(start, 1, format!("the body is no JSON: {error}")))?;
        self.template(start, &json, 0).map(Some)
    }

    /// `start`: where the body begins. A field's place is where its name first stands in the body.
    fn template(&mut self, start: usize, json: &Value, depth: usize) -> Result<Body, Finding> {
        if depth > MAX_JSON_DEPTH {
            return Err(self.at(start, 1, format!("the body nests deeper than {MAX_JSON_DEPTH} levels")));
        }
        Ok(match json {
            Value::String(text) if text.contains(['{', '}']) => {
                let written = format!("\"{text}\"");
                // serde_json keeps no places, so the finding points at the first text of this kind.
                let found = self.text.get(start..).and_then(|body| body.find(&written));
                let at = found.map_or(start, |found| start + found + 1);
                let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                let Some(name) = name else {
                    let fault = "in the body a request field is a whole value: `\"name\": \"{field}\"`";
                    return Err(self.at(at, text.len(), fault));
                };
                Body::Field(self.placeholder(at, name)?)
            }
            Value::Array(list) => {
                let list: Result<_, _> =
                    list.iter().map(|value| self.template(start, value, depth + 1)).collect();
                Body::List(list?)
            }
            Value::Object(members) => {
                let mut built = Vec::with_capacity(members.len());
                for (name, value) in members {
                    if name.contains(['{', '}']) {
                        let text = format!("`{name}`: a member's name holds no request field");
                        return Err(self.at(start, 1, text));
                    }
                    built.push((name.clone(), self.template(start, value, depth + 1)?));
                }
                Body::Object(built)
            }
            plain => Body::Value(plain.clone()),
        })
    }
}
