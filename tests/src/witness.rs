//! Witnesses of the harness's bus: real ones of `chapar_auditor`, and servers that answer what a test says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_auditor::{Witness, read_witness_key, serve_witness};
use chapar_evidence::{CosignerKey, VerifierKey, WitnessKey};
use chapar_model::Clock;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Builder, Bus};

/// The auditors' subsystem.
pub const AUDITOR: &str = "bus/lorestan/auditor";

/// A witness that has its port and its key, and does not serve yet: a gateway's settings name it before the
/// gateway has made its log's key.
pub struct WitnessAt {
    folder: TempDir,
    listener: Option<std::net::TcpListener>,
    address: SocketAddr,
    key: CosignerKey,
}

impl WitnessAt {
    /// A new one of this name.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = WitnessKey::generate(name).expect("a key");
        let at = |file: &str| folder.path().join(file);
        let written = chapar_files::replace(&at("witness.key"), key.to_secret_text().as_bytes(), 0o600);
        written.expect("a file");
        std::fs::write(at("witness.pub"), key.cosigner().to_string()).expect("a file");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        Self { key: key.cosigner().clone(), folder, listener: Some(listener), address }
    }

    /// Its public key.
    pub fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// Its private key, with which a test can answer in its place.
    pub fn secret(&self) -> WitnessKey {
        read_witness_key(&self.secret_file()).expect("a key")
    }

    /// The file with its private key.
    pub fn secret_file(&self) -> PathBuf {
        self.folder.path().join("witness.key")
    }

    /// The settings of a gateway with this witness where another one is.
    pub fn in_place_of(&self, other: &Self, settings: &str) -> String {
        let key = |witness: &Self| witness.folder.path().join("witness.pub").display().to_string();
        let settings = settings.replace(&other.address.to_string(), &self.address.to_string());
        settings.replace(&key(other), &key(self))
    }

    fn listener(&mut self) -> TcpListener {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => {
                let listener = std::net::TcpListener::bind(self.address).expect("the port is free again");
                listener.set_nonblocking(true).expect("a listener");
                listener
            }
        };
        TcpListener::from_std(listener).expect("a listener")
    }

    /// Serves the log with this key, until the guard is dropped. Its state stays.
    pub fn serve(&mut self, log: &VerifierKey, clock: Clock) -> DropGuard {
        let witness = Witness::open(self.secret(), vec![log.clone()], &self.folder.path().join("state"));
        let witness = witness.expect("a witness");
        let stop = CancellationToken::new();
        tokio::spawn(serve_witness(self.listener(), witness, clock, stop.clone()));
        stop.drop_guard()
    }

    /// Answers each request with what `answer` makes of its body, byte by byte with this pause between, until
    /// the guard is dropped.
    pub fn answer(
        &mut self,
        pause: std::time::Duration,
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> (DropGuard, Arc<Mutex<usize>>) {
        let listener = self.listener();
        let stop = CancellationToken::new();
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let answer = Arc::new(answer);
        let serving = async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                *count.lock() += 1;
                tokio::spawn(respond(stream, pause, Arc::clone(&answer)));
            }
        };
        let token = stop.clone();
        tokio::spawn(async move { token.run_until_cancelled(serving).await });
        (stop.drop_guard(), asked)
    }
}

async fn respond(
    mut stream: tokio::net::TcpStream,
    pause: std::time::Duration,
    answer: Arc<impl Fn(&str) -> Vec<u8>>,
) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    // The body is short, and its end is that of the note.
    while !String::from_utf8_lossy(&request).contains("\n— ") {
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let bytes = answer(body);
    if pause.is_zero() {
        stream.write_all(&bytes).await.ok();
        return;
    }
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

impl Builder {
    /// Witnesses of which a quorum must cosign; `more` is a line of `[witnesses]`.
    pub fn with_witnesses(self, witnesses: &[&WitnessAt], quorum: usize, more: &str) -> Self {
        let mut text = format!("\n[witnesses]\nquorum = {quorum}\n{more}\n");
        for witness in witnesses {
            let key = witness.folder.path().join("witness.pub");
            let url = format!("http://{}", witness.address);
            text.push_str(&format!(
                "\n[[witnesses.witness]]\nurl = \"{url}\"\nkey = \"{}\"\n",
                key.display()
            ));
        }
        // A section of its own, after the last one of the file.
        self.evidence(&text)
    }

    /// The registry knows an auditor.
    pub fn with_auditor(self) -> Self {
        let subsystem = "\n[[subsystem]]\nid = \"auditor\"\n";
        let role = format!("\n[[operator]]\nid = \"{AUDITOR}\"\nroles = [\"auditor\"]\n");
        self.edit("bus/lorestan.toml", move |text| text + subsystem)
            .edit("bus.toml", move |text| text + &role)
    }
}

impl Bus {
    /// The settings of an auditor that follows this bus's log over the gateway, with its state in `state`.
    pub fn auditor_config(&self, state: &Path) -> chapar_auditor::Config {
        let name = "bus-lorestan-auditor";
        self.issue(&crate::Certificate::of(AUDITOR), name);
        let pki = self.folder().join("pki");
        chapar_auditor::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state: state.to_owned(),
            witness_key: None,
            questions: "audit.lorestan.example/questions".to_owned(),
            late: std::time::Duration::from_secs(60),
            logs: vec![chapar_auditor::LogConfig {
                key: self.folder().join("evidence.pub"),
                source: chapar_auditor::SourceConfig::Gateway(chapar_client::Config {
                    gateway: self.address().to_string(),
                    server_name: "gateway.lorestan.example".to_owned(),
                    cert: pki.join(format!("{name}.crt")),
                    key: pki.join(format!("{name}.key")),
                    ca: pki.join("ca.crt"),
                }),
                period_keys: vec![self.folder().join("period.key")],
            }],
            rules: chapar_auditor::Rules::default(),
        }
    }
}
