//! This module implements `chapar counter`: it serves the web page of a counter office, and makes the hashes
//! that the office's file of clerks holds.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use chapar_counter::{Config, Counter};
use chapar_model::Clock;

use super::serve::LogArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::{out, signal};

/// Run the web page of a counter office
///
/// Clerks sign in, choose a procedure, and see what the agencies answer about one citizen. The page holds the
/// office's certificate and asks the gateway as any other client does. It serves until SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  chapar counter --config counter.toml --check\n  \
                  read -rs PASSWORD; printf %s \"$PASSWORD\" | chapar counter hash"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The settings file of the page, `counter.toml`
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
    /// Print the hash of a password, for the file of clerks
    ///
    /// The password, 12 characters to 1024 bytes, is read from standard input, without the newline at its
    /// end. The hash is argon2id's (RFC 9106).
    Hash,
}

/// Maximum length of what is read as a password, in bytes: one more than the longest with its newline.
const LONGEST_INPUT: u64 = 1024 + 3;

pub(super) async fn run(args: Args) -> Outcome {
    let failed = |error| Failure::error(Exit::Finding, error);
    let file = match (args.command, args.config) {
        (Some(Command::Hash), _) => return hash(),
        (None, Some(file)) => file,
        (None, None) => return Err(Failure::usage("`--config` is required")),
    };
    let config = Config::load(&file).map_err(|error| Failure::error(Exit::Finding, error))?;
    if args.check {
        Counter::check(&config).map_err(failed)?;
        out::say(format_args!("{}: good", file.display()));
        return Ok(Exit::Ok);
    }
    args.log.start()?;
    let counter = Counter::bind(config, Clock::system()).await.map_err(failed)?;
    tracing::info!(address = %counter.local_addr(), "counter page serving");
    counter.run(signal::stop()?).await;
    Ok(Exit::Ok)
}

fn hash() -> Outcome {
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        // A terminal would show the password.
        return Err(Failure::usage(
            "the password is read from standard input, and a terminal would show it: \
             read -rs PASSWORD; printf %s \"$PASSWORD\" | chapar counter hash",
        ));
    }
    let mut password = String::new();
    let read = input.by_ref().take(LONGEST_INPUT).read_to_string(&mut password);
    read.map_err(|error| Failure::new(Exit::Finding, format_args!("standard input: {error}")))?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    let hash = chapar_counter::hash_password(password);
    out::data(hash.map_err(|error| Failure::error(Exit::Finding, error))?);
    Ok(Exit::Ok)
}
