//! `RequestBackend` is a request and the API that answers it. The columns are those that the file maps; what
//! the API really answers is known only once it is asked.

use std::path::Path;
use std::sync::Arc;

use chapar_contract::Method;
use chapar_model::Reason;
use prost_reflect::Kind;

use super::{Backend, Fitting, Looking};
use crate::api::{Api, HeaderPiece, RequestFile, unknown_secret};
use crate::bind::{self, Binder};
use crate::check;
use crate::fetch::{FetchPlanner, Requests};
use crate::finding::{Finding, did_you_mean};
use crate::form::Form;
use crate::method_file::MethodFile;
use crate::observe::AskedSource;
use crate::page::Keyset;
use crate::scan::Remark;
use crate::shape::Shape;
use crate::source::{Column, Described, Failure, Family};
use crate::unfit::Unfit;

/// A request and its API.
pub(crate) struct RequestBackend {
    file: Arc<RequestFile>,
    api: Arc<Api>,
}

impl RequestBackend {
    /// Reads the request in `file`.
    ///
    /// # Errors
    /// The file is invalid, whatever contract and source say.
    pub(crate) fn load(method: &Method, file: &Path, api: &Arc<Api>) -> Result<Self, Finding> {
        let is_bool = |path: &str| {
            let steps = bind::placeholder(method.input(), path).unwrap_or_default();
            steps.last().is_some_and(|field| field.kind() == Kind::Bool)
        };
        let request = RequestFile::load(file, &is_bool)?;
        let secrets = request.headers.iter().flat_map(|(_, pieces)| pieces).filter_map(|piece| match piece {
            HeaderPiece::Secret(name) => Some(name),
            HeaderPiece::Literal(_) => None,
        });
        for name in secrets {
            if !api.secrets().any(|known| known == name.text) {
                return Err(unknown_secret(&request.file, name, api.secrets()));
            }
        }
        Ok(Self { file: Arc::new(request), api: Arc::clone(api) })
    }
}

impl Backend for RequestBackend {
    fn file(&self) -> &MethodFile {
        &self.file.file
    }

    fn asks(&self) -> AskedSource {
        AskedSource::Api(if self.file.method == http::Method::GET { "GET" } else { "POST" })
    }

    fn describe(&self) -> Looking<'_, Described> {
        let column = |name: &str| Column {
            name: name.to_owned(),
            declared: None,
            family: Family::Unknown,
            nullable: None,
            origin: None,
        };
        let columns = self.file.answer.columns.iter().map(|(name, _)| column(&name.text)).collect();
        let described = Described { columns, parameters: None, reads: Vec::new(), aggregate: None };
        Box::pin(std::future::ready(Ok(described)))
    }

    fn compare(&self, method: &Method, shape: &Shape, described: &Described) -> Vec<Finding> {
        let file = self.file();
        let mut findings = check::columns(method, shape, file, &described.columns);
        for leaf in shape.leaves.iter().filter(|leaf| leaf.conversion.is_none()) {
            if let Form::Duration = leaf.form {
                let text = format!("JSON has no lengths of time, which the field `{}` needs", leaf.path);
                let help = format!(
                    "say in which unit the API writes it: `# column {}: UNIT` (types.md)",
                    leaf.column
                );
                findings.push(file.finding_about(&leaf.column, text).with_help(help));
            }
        }
        for scope in method.row_scopes() {
            if !described.columns.iter().any(|column| column.name == *scope) {
                let text = format!("the row scope `{scope}` has no place in the answer");
                let help = format!("add `# field {scope}: /POINTER`: rows are told by it");
                let finding = file.finding_about("", text);
                let known = described.columns.iter().map(|column| column.name.as_str());
                findings.push(finding.with_help(did_you_mean(scope, known).unwrap_or(help)));
            }
        }
        findings
    }

    fn describe_scoped<'a>(&'a self, _: &'a Method) -> Looking<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn compare_bound(&self, _: &Binder, _: &Described) -> Vec<Finding> {
        Vec::new()
    }

    fn keyset(&self, _: &Described) -> Result<Keyset, Finding> {
        let text = "the contract has pages, which are made on databases only";
        let help = "answer a list of at most `max_rows`, without `page_token`";
        Err(self.file().finding_about("", text).with_help(help))
    }

    fn planner(&self, _: u64, _: Option<Keyset>) -> Box<dyn FetchPlanner> {
        Box::new(Requests { file: Arc::clone(&self.file), api: Arc::clone(&self.api) })
    }

    fn look_at_values<'a>(&'a self, _: Fitting<'a>) -> Looking<'a, Vec<Remark>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn refused(&self, failure: &Failure) -> Unfit {
        let file = self.file();
        match failure.reason {
            Reason::SourceDown | Reason::SourceBusy | Reason::SourceTimeout => {
                let text = format!("the API could not be asked: {}", failure.detail);
                Unfit::Unreachable(file.finding_about("", text))
            }
            _ => {
                let text = format!("the API does not answer this request: {}", failure.detail);
                Unfit::Findings(vec![file.finding_about("", text)])
            }
        }
    }
}
