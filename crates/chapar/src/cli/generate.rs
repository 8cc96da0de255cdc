//! This module implements `chapar generate`: what packages ship beside the program, made from the command
//! line's own definition.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Make shell completions and manual pages
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the completion script of a shell
    #[command(
        after_help = "Example:\n  chapar generate completions bash > /usr/share/bash-completion/completions/chapar"
    )]
    Completions {
        /// Which
        #[arg(value_enum, value_name = "SHELL")]
        shell: Shell,
    },
    /// Write a manual page for each command into a folder
    #[command(after_help = "Example:\n  chapar generate man /usr/share/man/man1")]
    Man {
        /// The folder, which is there
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

pub(super) fn run(command: Command) -> Outcome {
    let mut cli = Cli::command();
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli, "chapar", &mut script);
            out::bytes(&script);
        }
        Command::Man { dir } => clap_mangen::generate_to(cli, &dir)
            .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", dir.display())))?,
    }
    Ok(Exit::Ok)
}
