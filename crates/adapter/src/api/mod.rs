//! `Api` asks an agency's HTTP API: requests at once are bounded, each ends at its deadline, secrets come
//! from files, and the answer is read whole, up to 8 MiB, before its rows are made. Redirects are not
//! followed. What a request is and where its rows stand is in `request_file`; `pointer`, `rows` and
//! `template` are its parts.

mod compile;
mod connector;
mod pointer;
mod request_file;
mod rows;
mod status;
mod template;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use chapar_model::Reason;
use chapar_telemetry::SourceFigures;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::compile::{CompiledRequest, Untellable, compile_request, find_in_json};
use self::connector::ApiConnector;
pub(crate) use self::pointer::Pointer;
pub(crate) use self::request_file::{HeaderPiece, RequestFile, unknown_secret};
pub(crate) use self::rows::{Selected, Selection, Taken};
pub(crate) use self::status::{Answered, failure, sentence};
use crate::config::{ApiServer, Limits};
use crate::source::connection_slots::ConnectionSlots;
use crate::source::output::{Output, WAITING_BATCHES};
use crate::source::{Batch, Failure, Parameter, Reading, Rows, tls};

/// Maximum size of an answer in bytes. With the connections of a source it bounds the memory of answers,
/// which are held whole, and as much again for the places of their rows.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// Rows that are made before others of the thread's work may go on.
const ROWS_AT_ONCE: usize = 256;
/// How long an idle connection is kept. Servers and firewalls close them after a minute or more.
const LONGEST_IDLE: std::time::Duration = std::time::Duration::from_secs(30);

/// One agency's API.
pub(crate) struct Api {
    /// Scheme, host and the first part of every path, without a `/` at its end.
    base: String,
    secrets: BTreeMap<String, String>,
    client: Client<ApiConnector, Full<Bytes>>,
    slots: ConnectionSlots,
    figures: SourceFigures,
}

/// A request that is made for calls of one grant.
pub(crate) struct Exchange {
    pub(crate) request: Arc<RequestFile>,
    pub(crate) selection: Selection,
}

impl Api {
    /// Reads the files that the settings name. Nothing is asked.
    ///
    /// # Errors
    /// A sentence that says which file is wrong.
    pub(crate) fn open(server: &ApiServer, limits: Limits, figures: SourceFigures) -> Result<Self, String> {
        let mut secrets = BTreeMap::new();
        for (name, file) in &server.secrets {
            let secret = tls::password(file)?;
            // The value is in no message: it is a secret.
            if secret.is_empty() {
                return Err(format!("`{}` is empty", file.display()));
            }
            if !secret.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
                let text = "is no single line of visible ASCII, as a header needs it";
                return Err(format!("`{}` {text} (RFC 9110 §5.5)", file.display()));
            }
            secrets.insert(name.clone(), secret);
        }
        let tls = match &server.tls {
            Some(files) => tls::client(files)?,
            None => tls::without_roots()?,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(LONGEST_IDLE));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        // A source in clear is one that is near, or that someone has written is meant so.
        let connector = match server.tls.is_some() {
            true => connector.https_only().enable_http1().wrap_connector(tcp),
            false => connector.https_or_http().enable_http1().wrap_connector(tcp),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(LONGEST_IDLE)
            .pool_max_idle_per_host(limits.max_connections)
            .build(ApiConnector::new(connector, figures.clone()));
        Ok(Self {
            base: server.url.trim_end_matches('/').to_owned(),
            secrets,
            client,
            slots: ConnectionSlots::new(limits.max_connections, limits.acquire_timeout, figures.clone()),
            figures,
        })
    }

    /// Names of its secrets.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// Asks for the rows, as soon as a request may be made.
    pub(crate) async fn run(
        self: &Arc<Self>,
        exchange: &Arc<Exchange>,
        values: &[Parameter],
        reading: Reading,
    ) -> Result<Rows, Failure> {
        let request = self.request(&exchange.request, values)?;
        let slot = self.slots.take(&reading).await?;
        let (batches, rows) = mpsc::channel(WAITING_BATCHES);
        let reader_waits = reading.reader_waits;
        let deadline = reading.deadline;
        let api = Arc::clone(self);
        let exchange = Arc::clone(exchange);
        let work = async move {
            api.serve(&exchange, request, &reading, batches).await;
            drop(slot);
        };
        if reader_waits {
            return Ok(Rows::made_by(rows, deadline, Box::pin(work)));
        }
        tokio::spawn(work);
        Ok(Rows::new(rows, deadline))
    }

    /// Asks once for a trial, and says how it was answered.
    ///
    /// # Errors
    /// If there is no answer, or its rows are not where the file says.
    pub(crate) async fn try_out(
        &self,
        file: &RequestFile,
        values: &[Parameter],
        reading: &Reading,
    ) -> Result<Answered, Failure> {
        let request = self.request(file, values)?;
        let _slot = self.slots.take(reading).await?;
        let asked = async {
            let (answered, body) = self.ask(file, request).await?;
            if let Answered::Rows = answered {
                rows::rows(&file.answer.rows, &body)?;
            }
            Ok(answered)
        };
        let late = |_| Err(reading.is_late());
        tokio::time::timeout_at(reading.deadline.into(), asked).await.unwrap_or_else(late)
    }

    async fn serve(
        &self,
        exchange: &Exchange,
        request: Request<Full<Bytes>>,
        reading: &Reading,
        batches: mpsc::Sender<Result<Batch, Failure>>,
    ) {
        // Neither is looked at: dropping the exchange ends it.
        let over = CancellationToken::new();
        let answered = Arc::<AtomicBool>::default();
        let mut output = Output::new(reading, batches.clone(), over, answered);
        let work = self.exchange(exchange, request, &mut output);
        let deadline = reading.deadline.into();
        let ended = tokio::select! {
            biased;
            result = work => result,
            // Dropping the exchange closes its connection, or resets its stream.
            () = batches.closed() => return,
            () = tokio::time::sleep_until(deadline) => {
                // A reader that has left batches unread is late itself, and is told so by `Rows`.
                batches.try_send(Err(reading.is_late())).ok();
                return;
            }
        };
        if let Err(failure) = ended {
            tokio::time::timeout_at(deadline, batches.send(Err(failure))).await.ok();
        }
    }

    async fn exchange(
        &self,
        exchange: &Exchange,
        request: Request<Full<Bytes>>,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let file = &exchange.request;
        let (answered, body) = self.ask(file, request).await?;
        match answered {
            Answered::Rows => {
                for (number, row) in rows::rows(&file.answer.rows, &body)?.into_iter().enumerate() {
                    // The deadline and a reader that leaves are looked at between two parts of the work.
                    if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
                        tokio::task::yield_now().await;
                    }
                    let Some(row) = exchange.selection.read(row)? else { continue };
                    if output.write(&row)? {
                        output.send(false).await;
                    }
                }
            }
            Answered::NoRecord => {}
            Answered::Refused(status) => return Err(failure(status)),
        }
        output.send(true).await;
        Ok(())
    }

    /// Sends a request and reads its answer.
    async fn ask(
        &self,
        file: &RequestFile,
        request: Request<Full<Bytes>>,
    ) -> Result<(Answered, Bytes), Failure> {
        let mut response = self.client.request(request.clone()).await;
        // A connection that waited may have been closed by the API just now. All requests only read, so a
        // second one does no harm.
        if response.as_ref().is_err_and(has_ended) {
            self.figures.retries.inc();
            response = self.client.request(request).await;
        }
        let response = response.map_err(|error| {
            let detail = match error.is_connect() {
                true => format!("the API cannot be reached: {}", causes(&error)),
                // The other causes may hold words of the API.
                false => {
                    "the connection ended before an answer began, or what began is no HTTP/1.1".to_owned()
                }
            };
            Failure::new(Reason::SourceDown, detail)
        })?;
        let answered = Answered::of(response.status(), &file.answer);
        if !matches!(answered, Answered::Rows) {
            return Ok((answered, Bytes::new()));
        }
        Ok((answered, body(response).await?))
    }

    fn request(&self, file: &RequestFile, values: &[Parameter]) -> Result<Request<Full<Bytes>>, Failure> {
        let wrong = |_| Failure::new(Reason::SourceRefused, "the file's request cannot be written");
        let uri: Uri = format!("{}{}", self.base, file.target.write(values)?).parse().map_err(|_| {
            Failure::new(Reason::FieldInvalid, "a field makes the request's target longer than one may be")
        })?;
        let mut request = Request::builder().method(&file.method).uri(uri);
        request = request.header(USER_AGENT, "chapar-adapter");
        if !file.headers.iter().any(|(name, _)| name == ACCEPT) {
            request = request.header(ACCEPT, "application/json");
        }
        for (name, pieces) in &file.headers {
            let mut value = String::new();
            for piece in pieces {
                value.push_str(match piece {
                    HeaderPiece::Literal(text) => text,
                    // `backend` has found every secret that a file names.
                    HeaderPiece::Secret(name) => self.secrets.get(&name.text).map_or("", String::as_str),
                });
            }
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| Failure::new(Reason::SourceRefused, "a header of the file cannot be written"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let body = match &file.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.write(values).to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body)).map_err(wrong)
    }
}

/// Reads the body of an answer that has rows.
async fn body(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let media = header(CONTENT_TYPE).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // RFC 6839 §3.1: `+json` is JSON too.
    if media != "application/json" && !media.ends_with("+json") {
        return Err(Failure::new(Reason::SchemaDrift, "the API's answer is not of a JSON content type"));
    }
    if header(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Failure::new(
            Reason::SchemaDrift,
            "the API's answer is compressed, which nobody asked for",
        ));
    }
    match Limited::new(response.into_body(), LARGEST_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::new(Reason::TooManyRows, "the API's answer is longer than 8 MiB"))
        }
        Err(_) => Err(Failure::new(Reason::SourceDown, "the API's answer was cut off")),
    }
}

/// Whether the connection ended before an answer began.
fn has_ended(error: &legacy::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
        }
        next = error.source();
    }
    false
}

/// An error with its causes. They name hosts, addresses and TLS, never a request's target.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // The outermost says only that the client failed.
        if let Some(cause) = error.source() {
            let separator = if text.is_empty() { "" } else { ": " };
            text.push_str(&format!("{separator}{cause}"));
        }
        next = error.source();
    }
    text
}
