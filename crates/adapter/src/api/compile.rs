//! `.http` files and answers without an API behind them, for tools and fuzz targets.

use std::path::Path;

use serde_json::value::RawValue;

use super::pointer::{Ambiguous, Pointer};
use super::request_file::RequestFile;
use crate::finding::Findings;
use crate::source::Parameter;

/// A request as its file describes it.
#[derive(Debug)]
pub struct CompiledRequest(RequestFile);

/// Compiles the text of an `.http` file. An adapter also compares it with the contract.
///
/// # Errors
/// What is wrong with the text.
pub fn compile_request(text: &str) -> Result<CompiledRequest, Findings> {
    Ok(CompiledRequest(RequestFile::parse(Path::new("request.http"), text, &|_| false)?))
}

impl CompiledRequest {
    /// How many request fields it names.
    pub fn parameters(&self) -> usize {
        self.0.file.parameters().len()
    }

    /// Path and query for these texts, one for each request field; `None` if one of them would make another
    /// path.
    pub fn target(&self, values: &[&str]) -> Option<String> {
        self.0.target.write(&texts(values)).ok()
    }

    /// The body for these texts, if there is one.
    pub fn body(&self, values: &[&str]) -> Option<serde_json::Value> {
        self.0.body.as_ref().map(|body| body.write(&texts(values)))
    }
}

fn texts(values: &[&str]) -> Vec<Parameter> {
    values.iter().map(|value| Parameter::Text((*value).to_owned())).collect()
}

/// The pointer is invalid, or the text is not JSON, or a member on its path occurs twice.
#[derive(Debug, thiserror::Error)]
#[error("the place cannot be told")]
pub struct Untellable;

/// What the JSON Pointer (RFC 6901) leads to in `json`, as an answer's columns are found.
///
/// # Errors
/// [`Untellable`].
pub fn find_in_json<'j>(pointer: &str, json: &'j str) -> Result<Option<&'j str>, Untellable> {
    let json: &RawValue = serde_json::from_str(json).map_err(|_| Untellable)?;
    let pointer = Pointer::parse(pointer).map_err(|_| Untellable)?;
    let found = pointer.find(json).map_err(|Ambiguous| Untellable)?;
    Ok(found.map(RawValue::get))
}
