//! `answer` handles one call: it reads deadline and granted fields and rows from the metadata, binds the
//! request, takes the grant's plan, runs the statement, and returns its rows.

use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use chapar_model::{CallId, Purpose, Reason, SubsystemId, header};
use chapar_telemetry::{Origin, Tracer, names, propagate};
use chapar_transport::timeout;
use http::{HeaderMap, Response};

use crate::body::{Answer, Streaming};
use crate::encode::LARGEST_MESSAGE;
use crate::observe::{Figures, Observation, Observer};
use crate::page::{Asker, Page, PageSink};
use crate::plan::Plan;
use crate::refusal;
use crate::served_method::ServedMethod;
use crate::shape::Cardinality;
use crate::source::{Batch, Failure, Reading, RowSink, Rows};

/// A caller's deadline of at least this many tenths of the method's timeout counts as all of it, because a
/// gateway forwards what is left of that timeout, which is always a little less.
const NEARLY_ALL: u32 = 9;

/// The terms of one call: its deadline, and the granted fields and rows from its metadata.
struct Terms {
    deadline: Instant,
    late: Reason,
    fields: String,
    rows: String,
}

/// Answers one call of `served`, which is counted in `figures`; `read` gives the request message and is
/// awaited under the deadline.
pub(crate) async fn answer<R>(
    served: &ServedMethod,
    observer: &Observer,
    figures: &Figures,
    headers: &HeaderMap,
    read: R,
) -> Response<Answer>
where
    R: Future<Output = Result<Bytes, Failure>>,
{
    // The gateway's trace is joined here, because it comes from a peer that is trusted. The gateway itself
    // only links its callers'.
    let parent = propagate::extract(headers);
    let server = observer.tracer.server(&served.path, Origin::child(parent.as_ref()));
    let mut observation = Observation::begin(server, figures);
    let call = known::<CallId>(headers, header::CALL_ID);
    // A span that is not sampled drops its attributes, so their text is not built for it.
    if observation.server.is_recording() {
        observation.server.set(names::CALL_ID, call.clone());
        observation.server.set(names::CALLER, known::<SubsystemId>(headers, header::CALLER));
    }
    match run(served, &observer.tracer, headers, read, &mut observation).await {
        Ok((_, Outcome::Message(frame))) => {
            observation.end(Ok(()));
            response(Answer::whole(frame))
        }
        Ok((terms, Outcome::Rows(first, rows))) => response(Answer::stream(Streaming {
            first: Some(first),
            rows,
            deadline: Box::pin(tokio::time::sleep_until(terms.deadline.into())),
            late: terms.late,
            observation,
            method: served.path.clone(),
            call,
            refusals: observer.refusals.clone(),
        })),
        Err(failure) => {
            refusal::log(&observer.refusals, Some(&served.path), &call, &failure);
            observation.end(Err(failure.reason));
            refusal::status(&failure).into_http()
        }
    }
}

enum Outcome {
    /// A whole message in its frame.
    Message(Bytes),
    /// The first rows of a stream, and the source of more.
    Rows(Batch, Option<Rows>),
}

async fn run<R>(
    served: &ServedMethod,
    tracer: &Tracer,
    headers: &HeaderMap,
    read: R,
    observation: &mut Observation,
) -> Result<(Terms, Outcome), Failure>
where
    R: Future<Output = Result<Bytes, Failure>>,
{
    let terms = terms(served, headers)?;
    let late = || Failure::new(terms.late, "the deadline passed");
    // Reading the request is under the deadline too, else a gateway that stalls would hold the call for ever.
    let message = tokio::time::timeout_at(terms.deadline.into(), read).await.map_err(|_| late())??;
    let bound = served.binder.bind(&message)?;
    let asker = || Asker {
        caller: known::<SubsystemId>(headers, header::CALLER),
        purpose: known::<Purpose>(headers, header::PURPOSE),
        fields: &terms.fields,
        rows: &terms.rows,
    };
    let page = served.pages.as_ref().map(|pages| Page::asked(pages, &bound, &asker())).transpose()?;
    let is_next = page.as_ref().is_some_and(Page::is_next);
    let plan = served.plans.plan(&terms.fields, &terms.rows, is_next)?;
    observation.columns = Some(Arc::clone(&plan.columns));
    let paged = page.as_ref().map(|page| page.sink(plan.encoder.clone(), plan.width()));
    observation.ask(tracer, served.asks, &served.path);
    let reading = Reading {
        sink: sink_of(&plan, paged.as_ref()),
        subject: bound.subject,
        most: page.as_ref().map_or(served.most, Page::rows),
        excess: served.excess,
        reader_waits: served.plans.shape().cardinality != Cardinality::Stream,
        deadline: terms.deadline,
        late: terms.late,
    };
    let fetched = plan.fetch.run(&bound.parameters, page.as_ref().map(Page::bindings), reading);
    let mut rows = fetched.await?;
    let next = tokio::time::timeout_at(terms.deadline.into(), rows.next());
    // The first batch is awaited before the response begins, so that a statement that fails is answered
    // trailers-only.
    let first = next.await.map_err(|_| late())??;
    let outcome = match served.plans.shape().cardinality {
        Cardinality::Stream => {
            let more = (!first.last).then_some(rows);
            Outcome::Rows(first, more)
        }
        cardinality => {
            // The answer is gathered whole, since a unary answer must not begin before its last row is known
            // to be sound.
            let whole = tokio::time::timeout_at(terms.deadline.into(), collect(first, rows, observation));
            let mut message = whole.await.map_err(|_| late())??;
            if let (Some(page), Some(paged)) = (&page, &paged) {
                message.push(page.end(paged)?);
            }
            if cardinality == Cardinality::One && observation.rows() == 0 {
                return Err(Failure::new(Reason::RecordNotFound, "no row"));
            }
            Outcome::Message(framed(&message)?)
        }
    };
    Ok((terms, outcome))
}

async fn collect(first: Batch, mut rows: Rows, observation: &mut Observation) -> Result<Vec<Bytes>, Failure> {
    let mut parts = Vec::new();
    let mut length = 0;
    let mut batch = first;
    loop {
        observation.took(&batch);
        length += batch.bytes.len();
        // Checked while it grows, so that no more than one message is ever held in memory.
        if length > LARGEST_MESSAGE {
            return Err(Failure::new(Reason::TooManyRows, "the answer is larger than a message may be"));
        }
        parts.push(batch.bytes);
        if batch.last {
            return Ok(parts);
        }
        batch = rows.next().await?;
    }
}

fn framed(parts: &[Bytes]) -> Result<Bytes, Failure> {
    let length: usize = parts.iter().map(Bytes::len).sum();
    // The length field of a gRPC frame has 32 bits.
    let head =
        u32::try_from(length).map_err(|_| Failure::new(Reason::TooManyRows, "the answer is too long"))?;
    let mut frame = BytesMut::with_capacity(5 + length);
    // The flag of a gRPC frame: not compressed.
    frame.put_u8(0);
    frame.put_u32(head);
    for part in parts {
        frame.extend_from_slice(part);
    }
    Ok(frame.freeze())
}

fn terms(served: &ServedMethod, headers: &HeaderMap) -> Result<Terms, Failure> {
    let malformed = |_| Failure::new(Reason::TimeoutMalformed, "`grpc-timeout` is malformed");
    let given = timeout::of(headers).map_err(malformed)?.unwrap_or(served.timeout).min(served.timeout);
    // A caller that gave too little time must not get the reason of a slow database.
    let late = match given * 10 < served.timeout * NEARLY_ALL {
        true => Reason::DeadlineExceeded,
        false => Reason::SourceTimeout,
    };
    let deadline = Instant::now() + given;
    // Without a list of fields nothing is selected by default: a missing mask must not mean all columns.
    let fields = single(headers, header::FIELDS)?.ok_or_else(|| {
        Failure::new(Reason::RequestMalformed, "the gateway did not say which fields are granted")
    })?;
    let rows = single(headers, header::ROWS)?.unwrap_or_default();
    Ok(Terms { deadline, late, fields: fields.to_owned(), rows: rows.to_owned() })
}

/// Where the rows go: to the encoder, by way of the page if there is one.
pub(crate) fn sink_of(plan: &Plan, page: Option<&Arc<PageSink>>) -> Arc<dyn RowSink> {
    match page {
        Some(page) => Arc::<PageSink>::clone(page),
        None => plan.encoder.clone(),
    }
}

/// Returns a header's value, and refuses a repeated header: what a grant allows must not depend on which of
/// two values is read.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let ambiguous =
        || Failure::new(Reason::MetadataAmbiguous, "metadata of the gateway is repeated or is not ASCII");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ambiguous()),
        (Some(_), Some(_)) => Err(ambiguous()),
    }
}

/// Reads an id of the gateway for logs and spans; empty if it is absent or malformed.
fn known<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> String {
    let value =
        headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| text.parse::<T>().is_ok());
    value.unwrap_or_default().to_owned()
}

fn response(answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}
