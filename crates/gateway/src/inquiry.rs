//! `chapar.inquiry.v1.Inquiry` asks several methods in one call. Each part goes through the pipeline as a
//! call of its own (`part`), under the metadata of the inquiry, and in a task of its own, so that a slow part
//! delays no other. `procedure` makes the requests of a procedure's parts, `answer` writes what comes back.
//! The inquiry itself leaves no record: its parts do.

mod answer;
mod ask;
mod part;
mod procedure;

use std::pin::Pin;

use futures_util::stream::{self, SelectAll};
use futures_util::{Stream, StreamExt as _};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

pub(crate) use part::Inquirer;

/// Generated from `proto/chapar/inquiry/v1/inquiry.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub(crate) mod pb {
    tonic::include_proto!("chapar.inquiry.v1");
}

/// The descriptors of the service, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inquiry.binpb"));

/// Maximum size in bytes of a request. A part's request holds a few identifiers, and there are 16 parts at
/// most.
pub(crate) const MAX_REQUEST: usize = 64 << 10;
/// The service.
pub(crate) struct Inquiry;

type Answers = Pin<Box<dyn Stream<Item = Result<pb::PartAnswer, Status>> + Send>>;

/// The tasks of an inquiry's parts, each until its part begins to answer.
type Running = JoinSet<Started>;

/// How a part has begun to answer.
enum Started {
    /// It has ended: with its only message, or without one.
    Ended(Box<pb::PartAnswer>),
    /// Its messages follow as the caller reads them, as those of a stream that comes alone do.
    Streams(Answers),
}

#[tonic::async_trait]
impl pb::inquiry_server::Inquiry for Inquiry {
    type AskStream = Answers;
    type AskProcedureStream = Answers;

    async fn ask(&self, request: Request<pb::AskRequest>) -> Result<Response<Answers>, Status> {
        let inquirer = inquirer(&request)?;
        ask::start(&inquirer, request.into_inner()).map(Response::new)
    }

    async fn ask_procedure(
        &self,
        request: Request<pb::AskProcedureRequest>,
    ) -> Result<Response<Answers>, Status> {
        let inquirer = inquirer(&request)?;
        procedure::start(&inquirer, request.into_inner()).map(Response::new)
    }

    async fn list_procedures(
        &self,
        request: Request<pb::ListProceduresRequest>,
    ) -> Result<Response<pb::ListProceduresResponse>, Status> {
        let inquirer = inquirer(&request)?;
        Ok(Response::new(procedure::list(&inquirer)))
    }
}

/// What `stack` has put into the request.
fn inquirer<T>(request: &Request<T>) -> Result<Inquirer, Status> {
    let inquirer = request.extensions().get::<Inquirer>();
    inquirer.cloned().ok_or_else(|| Status::internal("the caller was not identified"))
}

/// The answers of running parts, as they come. Dropping it, as when the caller goes away, cancels the parts
/// that still run, and each is recorded as cancelled.
fn answers(running: Running) -> Answers {
    let streams = SelectAll::<Answers>::new();
    Box::pin(stream::unfold((running, streams), |(mut running, mut streams)| async move {
        loop {
            let answer = tokio::select! {
                Some(started) = running.join_next() => match started {
                    Ok(Started::Ended(answer)) => Ok(*answer),
                    Ok(Started::Streams(stream)) => {
                        streams.push(stream);
                        continue;
                    }
                    // A part that panicked has no end, and the inquiry must not look whole.
                    Err(_) => Err(Status::internal("a part of the inquiry was lost")),
                },
                Some(answer) = streams.next(), if !streams.is_empty() => answer,
                else => return None,
            };
            return Some((answer, (running, streams)));
        }
    }))
}
