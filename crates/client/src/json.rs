//! This module converts messages for people: a request from `field=value` arguments, an answer to JSON. It
//! uses the method's own descriptor; nothing is compiled in.

mod answer;
mod arguments;

pub use answer::{Unreadable, disclosed_json, to_json};
pub use arguments::{ArgumentError, takes, to_request};
