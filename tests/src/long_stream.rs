//! `LongStream` reads a long answer straight from an adapter, as the gateway does, at full speed or slowly.

use std::path::Path;
use std::time::{Duration, Instant};

use chapar_transport::dial::{Pool, Settings};
use chapar_transport::frame::{self, MessageReader};
use chapar_transport::tls::{self, Expect};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;

use crate::measure::{Error, files};

/// A shorter pause of a slow reader is not made.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// A method that streams, whose request is `{ int64 most = 1; }`.
pub struct LongStream {
    pool: Pool,
    path: PathAndQuery,
    headers: HeaderMap,
}

/// What was read of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// Messages.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl LongStream {
    /// A method of the adapter at this port, which has the certificate of the demo's civil register.
    ///
    /// # Errors
    /// If the demo's files are not as a demo writes them.
    pub fn direct(dir: &Path, port: u16, path: &'static str, fields: &'static str) -> Result<Self, Error> {
        let expect = "spiffe://lorestan.example/gov/civil-registry/adapter".parse()?;
        let files = files(dir, dir.join("pki/gateway.crt"), dir.join("pki/gateway.key"));
        let tls = tls::client(&files, Expect::identities(vec![expect]))?;
        let pool = Pool::new(&format!("https://127.0.0.1:{port}"), tls, Settings::default())?;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("chapar-call-id", "01900000-0000-7000-8000-000000000000"),
            ("chapar-caller", "gov/welfare/benefits"),
            ("chapar-fields", fields),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(Self { pool, path: PathAndQuery::from_static(path), headers })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// If it does not within ten seconds.
    pub async fn ready(&self) -> Result<(), Error> {
        let began = Instant::now();
        while let Err(error) = self.read(1, None, Duration::from_secs(5)).await {
            if began.elapsed() > Duration::from_secs(10) {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Asks for `most` rows, and reads them at no more than `pace` bytes a second, to the end or until
    /// `length` is over.
    ///
    /// # Errors
    /// If the answer does not end with OK; one that is left before its end has no status.
    pub async fn read(&self, most: u64, pace: Option<usize>, length: Duration) -> Result<Read, Error> {
        let mut message = vec![0x08];
        prost::encoding::encode_varint(most, &mut message);
        let mut request = Request::new(Full::new(frame::encode(message.into())));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        let response = self.pool.send(self.path.clone(), request).await?;
        let mut reader = MessageReader::new(response.into_body(), 1 << 20);
        let mut read = Read::default();
        let began = Instant::now();
        while let Some(message) = reader.next().await? {
            read.messages += 1;
            read.bytes += message.len() as u64;
            if let Some(pace) = pace {
                let due = Duration::from_secs_f64(read.bytes as f64 / pace as f64);
                let early = due.saturating_sub(began.elapsed());
                // The timer ticks every millisecond, so shorter pauses are gathered.
                if early > SHORTEST_PAUSE {
                    tokio::time::sleep(early).await;
                }
            }
            if began.elapsed() > length {
                return Ok(read);
            }
        }
        let status = reader.trailers().and_then(|trailers| trailers.get("grpc-status").cloned());
        match status {
            Some(status) if status == "0" => Ok(read),
            status => Err(format!("the stream ended after {} rows with {status:?}", read.messages).into()),
        }
    }
}
