//! This module implements `chapar witness`: it cosigns checkpoints of logs, for third parties that follow no
//! log, and makes the keys of witnesses.

use std::path::PathBuf;

use chapar_auditor::{Witness, WitnessConfig, listen, read_log_keys, read_witness_key, serve_witness};
use chapar_model::Clock;

use super::serve::LogArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::pki::write_file;
use crate::{out, signal};

/// Cosign checkpoints of evidence logs, as a witness
///
/// A witness cosigns a checkpoint only if it extends the last one that it cosigned (C2SP tlog-witness), so a
/// log that was cut, forked or put back gets no cosignature. It serves until SIGINT or SIGTERM. Run it where
/// the operator of the bus has no access.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  chapar witness keygen court.lorestan.example/witness --out keys\n  chapar witness --config witness.toml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The settings file of the witness, `witness.toml`
    #[arg(long, short, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Load the settings and every file that they name, report the first error, and exit
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Keygen(Keygen),
}

/// Make the key of a new witness
///
/// DIR gets `witness.key` and its public half `witness.pub`, which the operators of the logs get. Neither is
/// ever overwritten. The public key is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar witness keygen court.lorestan.example/witness --out keys")]
struct Keygen {
    /// The witness's name in cosignatures; it never changes
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder that gets the key
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) async fn run(args: Args) -> Outcome {
    let file = match (args.command, args.config) {
        (Some(Command::Keygen(args)), _) => return keygen(&args),
        (None, Some(file)) => file,
        (None, None) => return Err(Failure::usage("`--config` is required")),
    };
    let config = WitnessConfig::load(&file).map_err(|error| Failure::error(Exit::Finding, error))?;
    let key = read_witness_key(&config.key).map_err(|error| Failure::error(Exit::Finding, error))?;
    let logs = read_log_keys(config.logs.iter().map(|log| &**log));
    let logs = logs.map_err(|error| Failure::error(Exit::Finding, error))?;
    if args.check {
        out::say(format_args!("{}: good", file.display()));
        return Ok(Exit::Ok);
    }
    args.log.start()?;
    let witness =
        Witness::open(key, logs, &config.state).map_err(|error| Failure::error(Exit::Finding, error))?;
    let listener = listen(config.listen).await.map_err(|error| Failure::error(Exit::Finding, error))?;
    let address = listener.local_addr().map_err(|error| Failure::error(Exit::Finding, error))?;
    tracing::info!(%address, witness = witness.cosigner().name(), "witness serving");
    serve_witness(listener, witness, Clock::system(), signal::stop()?).await;
    Ok(Exit::Ok)
}

fn keygen(args: &Keygen) -> Outcome {
    let [secret, public] = ["witness.key", "witness.pub"].map(|name| args.out.join(name));
    if let Some(there) = [&secret, &public].into_iter().find(|file| file.exists()) {
        let sentence = format!("{} is there already, and is not overwritten", there.display());
        return Err(Failure::new(Exit::Finding, sentence));
    }
    let failed =
        |error: std::io::Error| Failure::new(Exit::Finding, format_args!("{}: {error}", args.out.display()));
    std::fs::create_dir_all(&args.out).map_err(failed)?;
    let key = chapar_evidence::WitnessKey::generate(&args.name)
        .map_err(|_| Failure::usage("a witness's name is one word without `+`"))?;
    for (file, text, mode) in
        [(&secret, key.to_secret_text(), 0o600), (&public, key.cosigner().to_string(), 0o644)]
    {
        write_file(file, format!("{text}\n").as_bytes(), mode)
            .map_err(|error| Failure::error(Exit::Finding, error))?;
    }
    out::data(key.cosigner());
    Ok(Exit::Ok)
}
