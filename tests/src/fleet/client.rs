//! This module has default clients, which are tonic's channel with its defaults over mutual TLS and without a
//! retry by the application, and the load that they make.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes};
use parking_lot::Mutex;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};

use super::CITIZEN;
use crate::until;

/// The deadline of a caller that keeps a ledger.
const PATIENCE: Duration = Duration::from_secs(2);

/// One caller with one channel. Clones share it.
#[derive(Clone)]
pub struct Client(Channel);

impl Client {
    pub(crate) fn new(address: SocketAddr, pki: &Path, name: &str) -> Self {
        let read = |file: String| std::fs::read_to_string(pki.join(file)).expect("a PEM file");
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.crt".to_owned())))
            .identity(Identity::from_pem(read(format!("{name}.crt")), read(format!("{name}.key"))))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
        Self(endpoint.tls_config(tls).expect("TLS files").connect_lazy())
    }

    /// Asks for the one citizen.
    ///
    /// # Errors
    /// The status, as a default client sees it.
    pub async fn get_person(&self) -> Result<Bytes, Status> {
        Ok(self.unary("/civil.v1.CivilRegistry/GetPerson", about_the_citizen()).await?.into_inner())
    }

    /// The same; what the bus said of its record: the call's id, and `ORIGIN/INDEX`.
    ///
    /// # Errors
    /// The status, as a default client sees it.
    pub async fn recorded(&self) -> Result<(String, String), Status> {
        let mut request = about_the_citizen();
        // The fleet's contract leaves a call half a minute.
        request.set_timeout(PATIENCE);
        let answer = self.unary("/civil.v1.CivilRegistry/GetPerson", request).await?;
        let said =
            |name| answer.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let missing = || Status::data_loss("an answer without the coordinates of its record");
        Ok((said("chapar-call-id").ok_or_else(missing)?, said("chapar-entry").ok_or_else(missing)?))
    }

    /// Whether `grpc.health.v1` says that the gateway serves.
    ///
    /// # Errors
    /// The status, if it says nothing.
    pub async fn is_serving(&self) -> Result<bool, Status> {
        let answer = self.unary("/grpc.health.v1.Health/Check", Request::new(Bytes::new())).await?;
        Ok(answer.get_ref().as_ref() == [0x08, 1])
    }

    /// Whether the gateway does not answer: asked for its health, it says nothing for two seconds, or breaks
    /// off.
    pub async fn is_gone(&self) -> bool {
        !matches!(tokio::time::timeout(Duration::from_secs(2), self.is_serving()).await, Ok(Ok(_)))
    }

    /// The messages of the children's stream, as they come.
    ///
    /// # Errors
    /// The status, if it does not begin.
    pub async fn children(&self) -> Result<tonic::Streaming<Bytes>, Status> {
        let mut grpc = self.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/civil.v1.CivilRegistry/ListChildren");
        Ok(grpc.server_streaming(about_the_citizen(), path, Raw).await?.into_inner())
    }

    async fn unary(&self, path: &'static str, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let mut grpc = self.ready().await?;
        grpc.unary(request, http::uri::PathAndQuery::from_static(path), Raw).await
    }

    async fn ready(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unknown(format!("not ready: {error:?}")))?;
        Ok(grpc)
    }
}

fn about_the_citizen() -> Request<Bytes> {
    let ask = Text { text: CITIZEN.to_owned() }.encode_to_vec();
    let mut request = Request::new(Bytes::from(ask));
    request
        .metadata_mut()
        .insert("chapar-purpose", tonic::metadata::MetadataValue::from_static("benefit.eligibility"));
    request
}

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Callers at work: each makes the next call as soon as its last has ended and a pause has passed.
pub struct Load {
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
    shared: Arc<Shared>,
}

struct Shared {
    answered: AtomicU64,
    failed: Mutex<Vec<(Duration, Status)>>,
}

/// What came of a load.
#[derive(Debug)]
pub struct Tally {
    /// Calls that were answered.
    pub answered: u64,
    /// Those that were not: when after the beginning, and the status.
    pub failed: Vec<(Duration, Status)>,
}

impl Load {
    /// `callers` over those channels in turn.
    pub fn start(channels: &[Client], callers: usize, pause: Duration) -> Self {
        let shared = Shared { answered: AtomicU64::new(0), failed: Mutex::default() };
        let shared = Arc::new(shared);
        let stop = CancellationToken::new();
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for client in channels.iter().cycle().take(callers) {
            let client = client.clone();
            let shared = Arc::clone(&shared);
            let stop = stop.clone();
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    match client.get_person().await {
                        Ok(_) => {
                            shared.answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(status) => shared.failed.lock().push((began.elapsed(), status)),
                    }
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { stop, tasks, shared }
    }

    /// Calls answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls were answered.
    ///
    /// # Panics
    /// If they are not within a minute.
    pub async fn more(&self, calls: u64) {
        let wanted = self.answered() + calls;
        let detail = || format!("failed: {:?}", self.shared.failed.lock());
        until("calls are answered", Duration::from_secs(60), async || self.answered() >= wanted, detail)
            .await;
    }

    /// Lets every caller finish its call.
    pub async fn stop(mut self) -> Tally {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let failed = std::mem::take(&mut *self.shared.failed.lock());
        Tally { answered: self.answered(), failed }
    }
}
