//! `Page` is one page of a list: which rows are asked for, by the request's page size and token, and the
//! token of the next page, bound to the caller, its right and its question. The order of pages is in
//! `keyset`, the rows' way in `sink`, the token itself in `token`.

mod keyset;
mod sink;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use chapar_model::{MethodPath, Reason};
use prost::encoding::string;

pub(crate) use self::keyset::{Keyset, PageKey};
pub(crate) use self::sink::PageSink;
pub(crate) use self::token::{KeyValue, PageTokens};
use crate::bind::BoundRequest;
use crate::source::{Failure, Parameter, RowSink};

/// Rows of a page whose size the caller leaves open (AIP-158); a method with a lower maximum has that.
const DEFAULT_SIZE: u64 = 100;

/// How the pages of one method are made.
pub(crate) struct Pages {
    pub(crate) method: MethodPath,
    /// Maximum number of rows of a page.
    pub(crate) most: u64,
    pub(crate) keyset: Keyset,
    pub(crate) tokens: Arc<PageTokens>,
    /// The number of the response's field for the next page's token.
    pub(crate) token_field: u32,
}

/// Whose question a page answers, in the words of the gateway.
pub(crate) struct Asker<'a> {
    pub(crate) caller: String,
    pub(crate) purpose: String,
    pub(crate) fields: &'a str,
    pub(crate) rows: &'a str,
}

/// One page that is asked for.
pub(crate) struct Page<'s> {
    pages: &'s Pages,
    size: u64,
    after: Vec<Parameter>,
    /// What the token is bound to.
    bound: Vec<u8>,
}

impl<'s> Page<'s> {
    /// Reads page size and token from the request.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a negative size, `PAGE_TOKEN_INVALID` for a token of another question.
    pub(crate) fn asked(
        pages: &'s Pages,
        request: &BoundRequest,
        asker: &Asker<'_>,
    ) -> Result<Self, Failure> {
        let size = match u64::try_from(request.page_size) {
            Ok(0) => DEFAULT_SIZE.min(pages.most),
            // A larger size than the maximum is taken for the maximum (AIP-158).
            Ok(size) => size.min(pages.most),
            Err(_) => {
                return Err(Failure::of_field(Reason::FieldInvalid, "page_size".into(), "less than 0"));
            }
        };
        let bound = bound_to(&pages.method, request, asker);
        let after = if request.page_token.is_empty() {
            Vec::new()
        } else {
            let after = pages.tokens.open(&request.page_token, &bound)?;
            // A statement that pages by other columns since then has no such place.
            if after.len() != pages.keyset.len() {
                let detail = "a token of another page order";
                return Err(Failure::of_field(Reason::PageTokenInvalid, "page_token".into(), detail));
            }
            after.iter().map(KeyValue::parameter).collect()
        };
        Ok(Self { pages, size, after, bound })
    }

    /// Whether it is not the first.
    pub(crate) fn is_next(&self) -> bool {
        !self.after.is_empty()
    }

    /// What is bound for it: the place that it begins after, and how many rows are read.
    pub(crate) fn bindings(&self) -> PageBindings<'_> {
        PageBindings { after: &self.after, rows: self.rows() }
    }

    /// Rows to read: one more than the page has, which tells whether there is a next one.
    pub(crate) fn rows(&self) -> u64 {
        self.size + 1
    }

    /// The sink of its rows, whose keys stand after `columns` columns.
    pub(crate) fn sink(&self, encoder: Arc<dyn RowSink>, columns: usize) -> Arc<PageSink> {
        Arc::new(PageSink::new(encoder, self.size, columns, self.pages.keyset.len()))
    }

    /// The end of the answer: the next page's token, if there is a next page.
    ///
    /// # Errors
    /// If no token can be made.
    pub(crate) fn end(&self, sink: &PageSink) -> Result<Bytes, Failure> {
        let mut field = Vec::new();
        if let Some(place) = sink.next() {
            string::encode(self.pages.token_field, &self.pages.tokens.seal(&place, &self.bound)?, &mut field);
        }
        Ok(field.into())
    }
}

/// What is bound for a page.
#[derive(Clone, Copy)]
pub(crate) struct PageBindings<'p> {
    pub(crate) after: &'p [Parameter],
    pub(crate) rows: u64,
}

/// What a token is bound to: method, caller, purpose, the right's fields and rows, and every value of the
/// question. Each part is told with its length, so that no two questions have the same bytes.
fn bound_to(method: &MethodPath, request: &BoundRequest, asker: &Asker<'_>) -> Vec<u8> {
    let mut bound = Vec::new();
    let mut part = |bytes: &[u8]| {
        bound.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        bound.extend_from_slice(bytes);
    };
    for text in [method.as_str(), &asker.caller, &asker.purpose, asker.fields, asker.rows] {
        part(text.as_bytes());
    }
    part(request.subject.as_deref().unwrap_or_default().as_bytes());
    for parameter in &request.parameters {
        match parameter {
            Parameter::Null => part(b"n"),
            Parameter::Integer(number) => part(format!("i{number}").as_bytes()),
            Parameter::Real(number) => part(format!("r{:x}", number.to_bits()).as_bytes()),
            Parameter::Text(text) => part(format!("t{text}").as_bytes()),
            Parameter::Blob(bytes) => part(&[b"b", bytes.as_slice()].concat()),
            Parameter::Timestamp(time) => part(format!("m{time}").as_bytes()),
        }
    }
    bound
}
