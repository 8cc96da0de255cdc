//! `Requests` plans how a request to an API fetches the rows of a grant: the API answers whole records, of
//! which only the granted columns are read, and only in rows of the grant.

use std::sync::Arc;

use chapar_model::{Reason, RowScopes};
use http::StatusCode;

use super::{Fetch, FetchPlanner};
use crate::api::{
    Answered, Api, Exchange, Pointer, RequestFile, Selected, Selection, Taken, failure, sentence,
};
use crate::form::Form;
use crate::page::PageBindings;
use crate::shape::Leaf;
use crate::source::{Failure, FullScan, Parameter, Pending, Reading, Rows, Tried, trial};

/// One method's request to its API.
pub(crate) struct Requests {
    pub(crate) file: Arc<RequestFile>,
    pub(crate) api: Arc<Api>,
}

struct RequestFetch {
    exchange: Arc<Exchange>,
    api: Arc<Api>,
}

impl Requests {
    fn pointer(&self, column: &str) -> Option<Pointer> {
        let own = self.file.answer.columns.iter().find(|(name, _)| name.text == column);
        own.map(|(_, pointer)| pointer.clone())
    }
}

impl FetchPlanner for Requests {
    fn plan(&self, selected: &[Leaf], rows: &RowScopes, _: bool) -> Result<Arc<dyn Fetch>, Failure> {
        // The check at start has found a pointer for every column and row scope of the contract.
        let drift = || Failure::new(Reason::SchemaDrift, "the method's file has no such column");
        let column = |leaf: &Leaf| {
            let pointer = self.pointer(&leaf.column).ok_or_else(drift)?;
            let taken = match leaf.form {
                Form::Json(_) => Taken::Json,
                Form::Bytes => Taken::Base64,
                _ => Taken::Plain,
            };
            Ok(Selected { pointer, taken })
        };
        let columns = selected.iter().map(column).collect::<Result<_, Failure>>()?;
        let scope =
            |(name, values): (&str, &[String])| Ok((self.pointer(name).ok_or_else(drift)?, values.to_vec()));
        let scopes = rows.iter().map(scope).collect::<Result<_, Failure>>()?;
        let exchange = Exchange { request: Arc::clone(&self.file), selection: Selection { columns, scopes } };
        Ok(Arc::new(RequestFetch { exchange: Arc::new(exchange), api: Arc::clone(&self.api) }))
    }

    fn asks_for_rows(&self) -> bool {
        false
    }

    fn sample_page(&self) -> Vec<Parameter> {
        Vec::new()
    }
}

impl Fetch for RequestFetch {
    fn run(&self, request: &[Parameter], _: Option<PageBindings<'_>>, reading: Reading) -> Pending<'_, Rows> {
        let values = request.to_vec();
        Box::pin(async move { self.api.run(&self.exchange, &values, reading).await })
    }

    /// Only a GET is tried: what a POST does is known to the API alone.
    fn try_out(&self, request: &[Parameter], _: PageBindings<'_>) -> Pending<'_, Tried> {
        let values = request.to_vec();
        Box::pin(async move {
            let file = &self.exchange.request;
            if file.method != http::Method::GET {
                return Ok(Tried::Ran);
            }
            match self.api.try_out(file, &values, &trial::reading()).await? {
                Answered::Rows | Answered::NoRecord => Ok(Tried::Ran),
                Answered::Refused(status) if may_mean_the_value(status) => {
                    Ok(Tried::RefusesTheSample(sentence(status)))
                }
                Answered::Refused(status) => Err(failure(status)),
            }
        })
    }

    fn full_scans(&self, _: &[Parameter], _: PageBindings<'_>) -> Pending<'_, Vec<FullScan>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Whether an API may answer this to a made-up value, and something else to a real one.
fn may_mean_the_value(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::INTERNAL_SERVER_ERROR
    )
}
