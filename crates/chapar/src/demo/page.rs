//! This module starts the counter office's page of the demo, with one clerk. Each start makes a new password,
//! which only the owner of the demo's folder can read.

use std::net::SocketAddr;
use std::path::Path;

use chapar_counter::{Config, Counter};
use chapar_model::Clock;

use super::files::{At, key_name};
use super::registry::{COUNTER, SERVER_NAME};
use super::story::CLERK;
use crate::exit::{Exit, Failure};
use crate::pki::write_file;

/// The name of the page's certificate and key in `pki/`.
pub(super) const KEY_NAME: &str = "counter-page";
/// The file of the clerk's password, in the demo's folder.
pub(super) const PASSWORD_FILE: &str = "counter.password";
/// The page's settings, in the demo's folder.
const SETTINGS: &str = "counter.toml";
/// Random bytes of a password.
const PASSWORD_BYTES: usize = 12;

/// Writes the page's settings, its file of clerks and their password, and takes its port.
///
/// # Errors
/// Names the file or address at fault.
pub(super) async fn open(
    dir: &Path,
    listen: SocketAddr,
    gateway: At,
    clock: &Clock,
) -> Result<Counter, Failure> {
    let failed = |error| Failure::error(Exit::Finding, error);
    let password = password()?;
    let hash = chapar_counter::hash_password(&password).map_err(failed)?;
    let clerks = format!(
        "# Who may sign in to the counter page. `chapar counter hash` makes the hash of a password.\n\
         [[clerk]]\nid       = \"{CLERK}\"\nname     = \"زهرا کریمی\"\npassword = \"{hash}\"\n"
    );
    let put = |name: &str, text: &str, mode: u32| {
        write_file(&dir.join(name), text.as_bytes(), mode)
            .map_err(|error| Failure::error(Exit::Finding, error))
    };
    put("clerks.toml", &clerks, 0o600)?;
    put(PASSWORD_FILE, &format!("{password}\n"), 0o600)?;
    // The settings are written here with the port that was asked for, and below with the one that was free.
    put(SETTINGS, &settings(listen, gateway.gateway), 0o644)?;
    let config = Config::load(&dir.join(SETTINGS)).map_err(|error| Failure::error(Exit::Finding, error))?;
    let counter = Counter::bind(config, clock.clone()).await;
    let counter = counter.map_err(|error| Failure::error(Exit::Finding, error))?;
    put(SETTINGS, &settings(counter.local_addr(), gateway.gateway), 0o644)?;
    Ok(counter)
}

/// The page's URL at this address of this machine.
pub(super) fn url(at: SocketAddr) -> String {
    format!("https://localhost:{}/", at.port())
}

fn settings(listen: SocketAddr, gateway: SocketAddr) -> String {
    let office = key_name(COUNTER);
    format!(
        r#"# The web page of the counter office.
[counter]
listen = "{listen}"
cert   = "pki/{KEY_NAME}.crt"
key    = "pki/{KEY_NAME}.key"
clerks = "clerks.toml"

[gateway]
address     = "{gateway}"
server_name = "{SERVER_NAME}"
cert        = "pki/{office}.crt"
key         = "pki/{office}.key"
ca          = "pki/ca.crt"
"#
    )
}

/// A random password, in hexadecimal.
fn password() -> Result<String, Failure> {
    let mut bytes = [0; PASSWORD_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::Finding, "the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
