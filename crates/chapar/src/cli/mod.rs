//! The command line has one file per command. Data goes to standard output, messages go to standard error,
//! and the exit code says how the command ended ([`Exit`]).

mod adapter;
mod ask;
mod auditor;
mod call;
mod check;
mod connect;
mod console;
mod contract;
mod counter;
mod coverage;
mod describe;
mod doctor;
mod evidence;
mod explain;
mod gateway;
mod generate;
mod init;
mod limits;
mod list;
mod names;
mod options;
mod pki;
mod refusal;
mod registry;
mod result_file;
mod rights;
mod serve;
mod session;
mod status;
#[cfg(test)]
mod tests;
mod traces;
mod whoami;
mod witness;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Outcome};
use crate::out;

/// Chapar is a government service bus: agencies call each other's services, and each call is authorised, rate
/// limited, cut down to the granted fields and recorded in an evidence log.
#[derive(Debug, Parser)]
#[command(name = "chapar", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(crate::demo::Args),
    Init(init::Args),
    Gateway(gateway::Args),
    Adapter(adapter::Args),
    Counter(counter::Args),
    Auditor(auditor::Args),
    Witness(witness::Args),
    Call(call::Args),
    Ask(ask::Args),
    List(list::Args),
    Describe(describe::Args),
    Whoami(whoami::Args),
    Check(check::Args),
    Status(status::Args),
    Traces(traces::Args),
    Console(console::Args),
    #[command(subcommand)]
    Doctor(doctor::Command),
    #[command(subcommand)]
    Limits(limits::Command),
    #[command(subcommand)]
    Evidence(evidence::Command),
    Coverage(coverage::Args),
    Explain(explain::Args),
    #[command(subcommand)]
    Pki(pki::Command),
    #[command(subcommand)]
    Registry(registry::Command),
    #[command(subcommand)]
    Contract(contract::Command),
    #[command(subcommand)]
    Generate(generate::Command),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // A usage error prints itself and exits 2; `--help` and `--version` exit 0.
    let cli = Cli::parse();
    // Lines are not wrapped: `FILE:LINE:COLUMN: what` stays one line, for editors and for grep.
    let _already_set = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).terminal_links(false).build())
    }));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::say(format_args!("cannot start the runtime: {error}"));
            return Exit::Finding.into();
        }
    };
    let outcome = runtime.block_on(run(cli.command));
    // A blocking thread still busy (a read of a dead disk, say) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(exit)
            if exit == Exit::Ok
                && let Some(error) = out::failed() =>
        {
            out::say(format_args!("standard output is incomplete: {error}"));
            Exit::Finding.into()
        }
        Ok(exit) => exit.into(),
        Err(failure) => {
            out::say(format_args!("{:?}", failure.report));
            failure.exit.into()
        }
    }
}

async fn run(command: Command) -> Outcome {
    match command {
        Command::Demo(args) => Box::pin(crate::demo::run(args)).await,
        Command::Init(args) => init::run(&args),
        Command::Gateway(args) => Box::pin(gateway::run(args)).await,
        Command::Adapter(args) => Box::pin(adapter::run(args)).await,
        Command::Counter(args) => Box::pin(counter::run(args)).await,
        Command::Auditor(args) => Box::pin(auditor::run(args)).await,
        Command::Witness(args) => witness::run(args).await,
        Command::Call(args) => Box::pin(call::run(args)).await,
        Command::Ask(args) => Box::pin(ask::run(args)).await,
        Command::List(args) => list::run(args).await,
        Command::Describe(args) => describe::run(args).await,
        Command::Whoami(args) => whoami::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Traces(args) => traces::run(args).await,
        Command::Console(args) => console::run(args).await,
        Command::Doctor(command) => doctor::run(command).await,
        Command::Limits(command) => limits::run(command).await,
        Command::Evidence(command) => evidence::run(command).await,
        Command::Coverage(args) => coverage::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Pki(command) => pki::run(command),
        Command::Registry(command) => registry::run(command),
        Command::Contract(command) => contract::run(command),
        Command::Generate(command) => generate::run(command),
    }
}

#[cfg(test)]
mod command_line {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_codes_are_those_of_the_reference() {
        let codes = [
            Exit::Ok,
            Exit::Finding,
            Exit::Usage,
            Exit::ChecksFailed,
            Exit::Unreachable,
            Exit::EvidenceInvalid,
            Exit::Refused(7),
        ];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 2, 3, 4, 71]);
    }
}
