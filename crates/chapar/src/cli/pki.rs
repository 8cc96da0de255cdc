//! This module implements `chapar pki`: it keeps a certificate authority in a folder, for a bus that has
//! none.

use std::path::{Path, PathBuf};

use chapar_model::{Clock, Identity};

use crate::authority::{self, Authority, Chain, Reason};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;
use crate::pki::write_file;

/// Issue, sign, renew, revoke and inspect certificates
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a certificate authority (CA), and print its key hash for a member's `issuers` in the registry
    #[command(after_help = "Example:\n  chapar pki init pki --name \"Lorestan bus CA\"")]
    Init {
        /// The folder of the CA
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The name of the CA
        #[arg(long, value_name = "TEXT")]
        name: String,
        /// How many days the CA's certificate is valid
        #[arg(long, default_value_t = 3650, value_name = "N")]
        days: u32,
    },
    /// Make a key and a certificate: OUT.key and OUT.crt
    #[command(
        after_help = "Example:\n  chapar pki issue pki spiffe://lorestan.example/gov/welfare/benefits --out welfare"
    )]
    Issue {
        /// The authority's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        made: Made,
        /// Overwrite OUT.key, if there is one: what it opens is then lost
        #[arg(long)]
        force: bool,
    },
    /// Make a key and a certificate signing request (CSR): OUT.key, which stays on this machine, and OUT.csr
    #[command(
        after_help = "Example:\n  chapar pki csr spiffe://lorestan.example/gov/welfare/benefits --out welfare"
    )]
    Csr {
        #[command(flatten)]
        names: Names,
        /// Name of the files
        #[arg(long, short, value_name = "OUT")]
        out: PathBuf,
        /// Overwrite OUT.key, if there is one: what it opens is then lost
        #[arg(long)]
        force: bool,
    },
    /// Sign a certificate signing request for an identity: OUT.crt. Only the key of the request is used
    #[command(
        after_help = "Example:\n  chapar pki sign pki welfare.csr spiffe://lorestan.example/gov/welfare/benefits --out welfare"
    )]
    Sign {
        /// The authority's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The certificate signing request
        #[arg(value_name = "CSR")]
        request: PathBuf,
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        made: Made,
    },
    /// Renew a certificate for the same key and names: OUT.crt
    #[command(after_help = "Example:\n  chapar pki renew pki welfare.crt --out welfare")]
    Renew {
        /// The authority's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The certificate
        #[arg(value_name = "CERT")]
        cert: PathBuf,
        #[command(flatten)]
        made: Made,
    },
    /// Revoke a certificate and write a new certificate revocation list (CRL), DIR/ca.crl
    #[command(after_help = "Example:\n  chapar pki revoke pki welfare.crt --reason key-compromise")]
    Revoke {
        /// The authority's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The certificate, or its serial number
        #[arg(value_name = "CERT|SERIAL")]
        what: String,
        /// The reason of the revocation (RFC 5280)
        #[arg(long, value_enum, default_value = "unspecified")]
        reason: Reason,
    },
    /// Write a new certificate revocation list (CRL), DIR/ca.crl, which is valid for 7 days
    #[command(after_help = "Example:\n  chapar pki crl pki")]
    Crl {
        /// The authority's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print the contents of a certificate
    #[command(after_help = "Example:\n  chapar pki inspect welfare.crt")]
    Inspect {
        /// The certificate
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Whom a certificate names.
#[derive(Debug, clap::Args)]
pub(super) struct Names {
    /// The identity, e.g. `spiffe://lorestan.example/gov/welfare/benefits`
    #[arg(value_name = "IDENTITY")]
    identity: Identity,
    /// A DNS name of the server, which clients dial; may be repeated
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
}

/// What is made.
#[derive(Debug, clap::Args)]
pub(super) struct Made {
    /// How many days the certificate is valid
    #[arg(long, default_value_t = 90, value_name = "N")]
    days: u32,
    /// Name of the files
    #[arg(long, short, value_name = "OUT")]
    out: PathBuf,
}

pub(super) fn run(command: Command) -> Outcome {
    let clock = Clock::system();
    let open = |dir: &Path| Authority::open(dir, &clock).map_err(failed);
    match command {
        Command::Init { dir, name, days } => {
            out::data(Authority::create(&dir, &name, days, &clock).map_err(failed)?.spki_sha256());
        }
        Command::Issue { dir, names, made, force } => {
            // Checked before anything is signed, so that the CA issues no certificate whose key could not be
            // written.
            spare_key(&made.out, force)?;
            spare_authority(&dir, &made.out)?;
            let (chain, key) = open(&dir)?.issue(&names.identity, &names.dns, made.days).map_err(failed)?;
            write(&made.out, "key", &key, 0o600)?;
            issued(&chain, &made.out)?;
        }
        Command::Csr { names, out, force } => {
            spare_key(&out, force)?;
            let (request, key) = authority::request(&names.identity, &names.dns, &clock).map_err(failed)?;
            // The key is written first, because a request without its key is of no use.
            write(&out, "key", &key, 0o600)?;
            write(&out, "csr", &request, 0o644)?;
        }
        Command::Sign { dir, request, names, made } => {
            spare_authority(&dir, &made.out)?;
            let chain =
                open(&dir)?.sign(&read(&request)?, &names.identity, &names.dns, made.days).map_err(failed)?;
            issued(&chain, &made.out)?;
        }
        Command::Renew { dir, cert, made } => {
            spare_authority(&dir, &made.out)?;
            issued(&open(&dir)?.renew(&read(&cert)?, made.days).map_err(failed)?, &made.out)?;
        }
        Command::Revoke { dir, what, reason } => {
            // An argument that is no file is taken for a serial number.
            let text = if Path::new(&what).exists() { read(Path::new(&what))? } else { what };
            for entry in open(&dir)?.revoke(&text, reason).map_err(failed)? {
                out::say(format_args!("{} ({}) is revoked", entry.serial, entry.identity));
            }
        }
        Command::Crl { dir } => {
            let number = open(&dir)?.write_crl().map_err(failed)?;
            out::say(format_args!(
                "{} is the certificate revocation list with the number {number}",
                dir.join("ca.crl").display()
            ));
        }
        Command::Inspect { file } => {
            authority::inspect(&read(&file)?).map_err(failed)?.into_iter().for_each(out::data)
        }
    }
    Ok(Exit::Ok)
}

/// A private key that is overwritten cannot be made again.
fn spare_key(out: &Path, force: bool) -> Result<(), Failure> {
    let key = named(out, "key");
    if force || !key.exists() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Finding,
        format_args!("{} exists: give another `--out`, or `--force` to overwrite the key", key.display()),
    ))
}

/// Nothing is signed whose certificate would take the place of the authority's own, or could not be written.
fn spare_authority(dir: &Path, out: &Path) -> Result<(), Failure> {
    let certificate = named(out, "crt");
    let own = dir.join("ca.crt").canonicalize().ok();
    if own.is_some() && certificate.canonicalize().ok() == own {
        let problem = format_args!("{} is the authority's own: give another `--out`", certificate.display());
        return Err(Failure::new(Exit::Finding, problem));
    }
    let folder = certificate.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Folders are not made for `--out`, so the nearest one above would say nothing.
    let is_there = folder.map_or(Ok(()), |folder| std::fs::read_dir(folder).map(drop));
    is_there.and_then(|()| chapar_files::can_replace(&certificate)).map_err(|error| {
        Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", certificate.display()))
    })
}

fn failed(error: authority::Error) -> Failure {
    Failure::error(Exit::Finding, error)
}

fn issued(chain: &Chain, out: &Path) -> Result<(), Failure> {
    write(out, "crt", &chain.pem, 0o644)?;
    out::data(&chain.serial);
    Ok(())
}

/// `OUT.EXTENSION`, whatever dots OUT has.
fn named(out: &Path, extension: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    name.into()
}

fn write(out: &Path, extension: &str, text: &str, mode: u32) -> Result<(), Failure> {
    write_file(&named(out, extension), text.as_bytes(), mode)
        .map_err(|error| Failure::error(Exit::Finding, error))
}

fn read(file: &Path) -> Result<String, Failure> {
    chapar_files::read_text(file)
        .map_err(|error| Failure::new(Exit::Finding, format_args!("cannot read {}: {error}", file.display())))
}
