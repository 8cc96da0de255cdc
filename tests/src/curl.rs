//! `Curl` calls a gateway by the command-line program `curl`, as a vendor's script does: plain HTTP with
//! JSON.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Bus, Certificate};

/// A caller with a certificate of its own.
pub struct Curl {
    folder: PathBuf,
    address: String,
    name: String,
    more: Vec<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct CurlAnswer {
    /// `HTTP/2` or `HTTP/1.1`.
    pub version: String,
    /// The HTTP status.
    pub status: u16,
    /// By names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Curl {
    /// A caller with this subsystem's certificate.
    pub fn of(bus: &Bus, subsystem: &str) -> Self {
        let name = format!("curl-{}", subsystem.replace('/', "-"));
        bus.issue(&Certificate::of(subsystem), &name);
        let (folder, address) = (bus.folder().to_owned(), bus.address().to_string());
        Self { folder, address, name, more: Vec::new() }
    }

    /// The same with more arguments.
    #[must_use]
    pub fn with(&self, more: &[&str]) -> Self {
        let more = self.more.iter().cloned().chain(more.iter().map(|&more| more.to_owned())).collect();
        Self { folder: self.folder.clone(), address: self.address.clone(), name: self.name.clone(), more }
    }

    /// Posts a body to a path.
    ///
    /// # Panics
    /// If curl cannot be run, or its output is no answer of HTTP.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> CurlAnswer {
        let pki = self.folder.join("pki");
        // A file of its own, because a body may be any bytes.
        let sent = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(sent.path(), body).expect("a file");
        let output = Command::new("curl")
            .args(["-sS", "-i", "--max-time", "20", "--connect-to", &format!("::{}", self.address)])
            .arg("--cacert")
            .arg(pki.join("ca.crt"))
            .arg("--cert")
            .arg(pki.join(format!("{}.crt", self.name)))
            .arg("--key")
            .arg(pki.join(format!("{}.key", self.name)))
            .args(["-H", &format!("content-type: {content_type}")])
            .arg("--data-binary")
            .arg(format!("@{}", sent.path().display()))
            .args(&self.more)
            .arg(format!("https://gateway.lorestan.example{path}"))
            .stdin(Stdio::null())
            .output()
            .expect("curl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl: {said}");
        CurlAnswer::parse(&output.stdout)
    }

    /// Calls a method that answers with a stream: its messages and its end.
    pub fn stream(
        &self,
        method: &str,
        json: &serde_json::Value,
    ) -> (Vec<serde_json::Value>, serde_json::Value) {
        let body = envelope(json.to_string().as_bytes());
        self.post(&format!("/{method}"), "application/connect+json", &body).envelopes()
    }

    /// Calls a method with JSON.
    pub fn call(&self, method: &str, json: &str) -> CurlAnswer {
        self.post(&format!("/{method}"), "application/json", json.as_bytes())
    }
}

/// A message as the Connect protocol puts it into a stream: flags, a length in 32 bits, the message.
pub fn envelope(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

impl CurlAnswer {
    /// The messages of a streamed answer, and its end.
    ///
    /// # Panics
    /// If it is none.
    pub fn envelopes(&self) -> (Vec<serde_json::Value>, serde_json::Value) {
        let mut rest = self.body.as_slice();
        let mut messages = Vec::new();
        loop {
            let (head, after) = rest.split_first_chunk::<5>().expect("the head of an envelope");
            let [flags, length @ ..] = *head;
            let (message, after) = after.split_at(u32::from_be_bytes(length) as usize);
            let json = serde_json::from_slice(message).expect("JSON");
            rest = after;
            if flags == 2 {
                assert!(rest.is_empty(), "nothing follows the end");
                return (messages, json);
            }
            messages.push(json);
        }
    }

    pub(crate) fn parse(output: &[u8]) -> Self {
        let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(output[..end].to_vec()).expect("text");
        let mut lines = head.split("\r\n");
        let mut status = lines.next().expect("a status").split(' ');
        let version = status.next().expect("a version").to_owned();
        let status = status.next().and_then(|code| code.parse().ok()).expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { version, status, headers, body: output[end + 4..].to_vec() }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        let shown = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {shown}"))
    }

    /// The reason's word in the details of an error.
    pub fn reason(&self) -> String {
        reason(&self.json())
    }
}

/// The reason's word in an error of the Connect protocol.
///
/// # Panics
/// If it has none.
pub fn reason(error: &serde_json::Value) -> String {
    let details = error["details"].as_array().unwrap_or_else(|| panic!("no details in {error}"));
    let info = details.iter().find(|detail| detail["type"] == "google.rpc.ErrorInfo");
    info.and_then(|info| info["debug"]["reason"].as_str()).expect("a reason").to_owned()
}
