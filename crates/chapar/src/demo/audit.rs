//! This module starts the auditor of the demo and two witnesses. The witnesses run before the gateways, whose
//! settings name them; the auditor after them, since it follows their logs.

use std::net::SocketAddr;
use std::path::Path;

use chapar_auditor::{Auditor, Config, Witness, listen, read_log_keys, read_witness_key, serve_witness};
use chapar_evidence::WitnessKey;
use chapar_model::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::files::{Numbered, key_name};
use super::registry::{AUDITOR, SERVER_NAME, TRUST_DOMAIN};
use crate::exit::{Exit, Failure};
use crate::pki::write_file;

/// The auditor's settings, in the demo's folder.
pub(super) const SETTINGS: &str = "auditor.toml";
/// How many witnesses the demo has. All of them must cosign.
pub(super) const WITNESSES: u16 = 2;

/// One witness that serves.
pub(super) struct RunningWitness {
    /// `http://HOST:PORT`.
    pub(super) url: String,
    /// Its public key, in the demo's folder.
    pub(super) key: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The auditor that serves.
pub(super) struct RunningAuditor {
    pub(super) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningWitness {
    /// Starts the witness of this number for the logs of so many gateways. Its key is made once, because what
    /// it cosigned outlives its process.
    ///
    /// # Errors
    /// Names the file or address at fault.
    pub(super) async fn start(
        dir: &Path,
        number: u16,
        at: SocketAddr,
        gateways: u16,
        clock: &Clock,
    ) -> Result<Self, Failure> {
        let name = |extension: &str| format!("witness-{number}{extension}");
        let (secret, public) = (dir.join(name(".key")), dir.join(name(".pub")));
        if !(secret.exists() && public.exists()) {
            let key = WitnessKey::generate(&format!("witness-{number}.{TRUST_DOMAIN}"));
            let key = key.map_err(|error| Failure::error(Exit::Finding, error))?;
            put(&secret, &key.to_secret_text(), 0o600)?;
            put(&public, &key.cosigner().to_string(), 0o644)?;
        }
        let key = read_witness_key(&secret).map_err(|error| Failure::error(Exit::Finding, error))?;
        let logs = (1..=gateways).map(|number| dir.join(Numbered(number).name("evidence", ".pub")));
        let logs: Vec<_> = logs.collect();
        let logs = read_log_keys(logs.iter().map(|log| &**log));
        let logs = logs.map_err(|error| Failure::error(Exit::Finding, error))?;
        let witness = Witness::open(key, logs, &dir.join(name(".state")));
        let witness = witness.map_err(|error| Failure::error(Exit::Finding, error))?;
        let listener = listen(at).await.map_err(|error| Failure::error(Exit::Finding, error))?;
        let address = listener.local_addr().map_err(|error| Failure::error(Exit::Finding, error))?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve_witness(listener, witness, clock.clone(), stop.clone()));
        Ok(Self { url: format!("http://{address}"), key: name(".pub"), stop, task })
    }

    /// Stops it and waits for its end.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.task.await.ok();
    }
}

/// The section of `gateway.toml` that names these witnesses.
pub(super) fn section(witnesses: &[RunningWitness]) -> String {
    let mut text = format!("\n[witnesses]\nquorum = {WITNESSES}\n");
    for RunningWitness { url, key, .. } in witnesses {
        text.push_str(&format!("\n[[witnesses.witness]]\nurl = \"{url}\"\nkey = \"{key}\"\n"));
    }
    text
}

impl RunningAuditor {
    /// Writes the auditor's settings and starts it.
    ///
    /// # Errors
    /// Names the file or address at fault.
    pub(super) async fn start(
        dir: &Path,
        at: SocketAddr,
        gateways: &[SocketAddr],
        clock: &Clock,
    ) -> Result<Self, Failure> {
        // The settings are written here with the port that was asked for, and below with the one that was
        // free.
        put(&dir.join(SETTINGS), &settings(at, gateways), 0o644)?;
        let config =
            Config::load(&dir.join(SETTINGS)).map_err(|error| Failure::error(Exit::Finding, error))?;
        let auditor = Auditor::bind(config, clock.clone()).await;
        let auditor = auditor.map_err(|error| Failure::error(Exit::Finding, error))?;
        let address = auditor.local_addr();
        put(&dir.join(SETTINGS), &settings(address, gateways), 0o644)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(auditor.run(stop.clone()));
        Ok(Self { address, stop, task })
    }

    /// Stops it and waits for its end.
    ///
    /// # Errors
    /// What ended it before.
    pub(super) async fn end(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.task.await.map_err(|error| Failure::error(Exit::Finding, error))
    }
}

fn settings(listen: SocketAddr, gateways: &[SocketAddr]) -> String {
    let name = key_name(AUDITOR);
    let mut text = format!(
        r#"# The auditor of the demo: it follows the gateways' logs from outside.
[auditor]
listen    = "{listen}"
state     = "auditor"
questions = "audit.{TRUST_DOMAIN}/questions"

[identity]
cert = "pki/{name}.crt"
key  = "pki/{name}.key"
ca   = "pki/ca.crt"

[rules]
many_subjects    = {{ subjects = 30, within = "1h" }}
repeated_subject = {{ times = 20, within = "24h" }}
"#
    );
    for (number, gateway) in (1..).map(Numbered).zip(gateways) {
        let (key, period) = (number.name("evidence", ".pub"), number.name("period", ".key"));
        text.push_str(&format!(
            "\n[[log]]\nkey         = \"{key}\"\ngateway     = \"{gateway}\"\nserver_name = \"{SERVER_NAME}\"\nperiod_keys = [\"{period}\"]\n"
        ));
    }
    text
}

fn put(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let text = format!("{}\n", text.trim_end());
    write_file(path, text.as_bytes(), mode).map_err(|error| Failure::error(Exit::Finding, error))
}
