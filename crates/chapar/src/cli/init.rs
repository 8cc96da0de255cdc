//! This module implements `chapar init`: the files of a real bus, which a gateway can start from. What is
//! there already is kept, so a second run completes a first one. The texts are in `init/`.

mod files;

use std::io::{BufRead as _, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chapar_model::Identity;

use self::files::{Files, Made};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Make the files of a new bus
///
/// DIR gets a certificate authority (or, with `--ca`, a request to the one that you have), the gateway's and
/// the operator's certificates, the keys of the evidence log, a registry with the bus itself and its first
/// approver, `gateway.toml`, units for systemd, and a README with the next steps. A file that is there
/// already is kept.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar init /etc/chapar --domain lorestan.example --host gateway.lorestan.example\n  chapar init bus --domain lorestan.example --ca state-ca.crt --yes"
)]
pub(super) struct Args {
    /// The folder that gets the files
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The trust domain: a DNS name of yours, of which every identity on the bus is
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The bus's own code as a member; default: the first label of DOMAIN
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// A DNS name by which clients reach the gateway; may be repeated; default: `gateway.DOMAIN`
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// The address of the mutual-TLS port
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:7443")]
    listen: SocketAddr,
    /// The address of the admin pages, on loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7480")]
    admin: SocketAddr,
    /// Who makes and approves changes of the registry, the first of them
    #[arg(long, value_name = "NAME", default_value = "operator")]
    approver: String,
    /// The certificate of an authority that you have: then no authority is made, and `pki/gateway.csr` and
    /// `pki/operator.csr` are requests to it
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Do not ask before writing
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let code =
        args.code.clone().unwrap_or_else(|| args.domain.split('.').next().unwrap_or_default().to_owned());
    let identity = |subsystem: &str| {
        let text = format!("spiffe://{}/bus/{code}/{subsystem}", args.domain);
        text.parse::<Identity>()
            .map_err(|error| Failure::usage(format_args!("`{text}` is no identity: {error}")))
    };
    if args.approver.contains('/') {
        return Err(Failure::usage("an approver's name is that of a file too, and has no `/`"));
    }
    let files = Files {
        // The units name files by their whole path.
        dir: std::path::absolute(&args.dir).map_err(|error| unusable(&args.dir, &error))?,
        domain: args.domain.clone(),
        code: code.clone(),
        gateway: identity("gateway")?,
        operator: identity("operator")?,
        hosts: match args.host.as_slice() {
            [] => vec![format!("gateway.{}", args.domain)],
            hosts => hosts.to_vec(),
        },
        listen: args.listen,
        admin: args.admin,
        approver: args.approver.clone(),
        ca: args.ca.clone(),
    };
    agree(args)?;
    for (path, made) in files.make()? {
        let word = match made {
            Made::New => "made",
            Made::Kept => "kept",
        };
        out::data(format_args!("{word} {}", path.display()));
    }
    out::say(format_args!("next: read {}", files.dir.join("README.md").display()));
    Ok(Exit::Ok)
}

/// Asks whether to write into a folder that holds something else.
fn agree(args: &Args) -> Result<(), Failure> {
    let is_empty = match std::fs::read_dir(&args.dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(unusable(&args.dir, &error)),
    };
    if is_empty || args.yes {
        return Ok(());
    }
    let question =
        format!("{} is not empty. What is there is kept; write what is missing?", args.dir.display());
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Finding, format_args!("{question} Say so by `--yes`")));
    }
    out::say(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| unusable(&args.dir, &error))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Finding, "nothing was written")),
    }
}

fn unusable(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Finding, format_args!("{}: {error}", dir.display()))
}
