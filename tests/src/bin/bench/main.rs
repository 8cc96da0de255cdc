//! This benchmark measures one proxy after the other on the same work, in turns; see `tests/bench/README.md`.
//! The binary is the load generator with its upstream, the two bare proxies that are the floor, and the
//! table. `tests/bench/run.sh` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is its purpose")]

mod entry;
mod journal;
mod load;
mod options;
mod pki;
mod process;
mod proxy;
mod round;
mod table;
mod upstream;
mod wire;

use std::process::ExitCode;

use options::{Command, Options};

/// Anything that ends the benchmark.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let ended = Options::parse(std::env::args().skip(1)).and_then(|command| {
        chapar_transport::tls::install_provider();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, async {
            match command {
                Command::Measure(options) => round::measure(&options).await,
                Command::Proxy(options) => proxy::run(&options).await,
                Command::Load(options) => round::load_only(&options).await,
            }
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
