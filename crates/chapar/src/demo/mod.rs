//! This module implements `chapar demo`: it runs the whole bus on this machine with invented citizens, and
//! tells the story of one farm loan. This file has the command's options, start and end.

mod audit;
mod bus;
pub mod data;
mod files;
mod folder;
mod keys;
mod made;
mod page;
mod people;
mod redis;
mod registry;
mod report;
mod server;
mod story;

use std::path::PathBuf;
use std::time::Instant;

use chapar_telemetry::logs;

use crate::exit::{Exit, Failure, Outcome};
use crate::signal;
use bus::{Bus, Plan};
use folder::Folder;
use redis::Redis;
use report::Report;
use server::{Server, Sources};

/// Run a demo of the whole bus on this machine, and show one case step by step
///
/// The demo makes keys, a registry and the databases of five agencies with invented citizens. It starts the
/// gateway and five adapters, which join the gateway by mutual TLS. A clerk then handles a farm loan, and the
/// demo checks every step. The bus runs until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chapar demo --once\n  chapar demo --dir target/demo --people 100000")]
pub struct Args {
    /// Exit after the last step: with 0 if every step came out as expected, else with 1
    #[arg(long)]
    once: bool,
    /// Print the steps as one JSON document
    #[arg(long)]
    json: bool,
    /// Keep all files in this folder: a new or empty folder, or the folder of an earlier demo
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Overwrite the files in DIR that were edited since an earlier demo wrote them
    #[arg(long, requires = "dir")]
    force: bool,
    /// Do not remove the temporary folder at the end
    #[arg(long)]
    keep: bool,
    /// How many citizens to invent, 10 to 2,000,000; default 2,000, or as many as are in DIR
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(people::MIN_PEOPLE)..=i64::from(people::MAX_PEOPLE)))]
    people: Option<u32>,
    /// Put the registers on this server in place of SQLite files: `postgres://USER@HOST/DATABASE` or
    /// `mysql://USER@HOST/DATABASE`, where USER may make databases and roles
    ///
    /// Each register gets a schema or database `chapar_demo_NAME` and a role of that name which only reads
    /// it. What an earlier demo made there is dropped. The server is on this machine.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The file that holds the password of the USER in `--database`
    #[arg(long, value_name = "FILE", requires = "database")]
    database_password_file: Option<PathBuf>,
    /// How many gateways, each with an evidence log of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    gateways: u16,
    /// A Redis server through which the gateways share the limits of grants: `redis://HOST:PORT[/DATABASE]`
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// The port of the gateway; the admin pages use the next port, further gateways the ports after that,
    /// then the counter's page, the auditor and the witnesses. Default: free ports
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The format of log lines: `text` for people, `json` for log collectors
    #[arg(long, env = "CHAPAR_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: logs::Format,
    /// The log filter: levels, e.g. `info` or `info,chapar_gateway=debug`
    #[arg(long, env = "CHAPAR_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// Runs the demo.
///
/// # Errors
/// If it cannot start (what was made is removed then) or does not end well. A step of the story that comes
/// out otherwise than expected is told and ends `--once` with [`Exit::Finding`].
pub async fn run(args: Args) -> Outcome {
    logs::init(args.log_format, &args.log).map_err(Failure::usage)?;
    let sources = match &args.database {
        Some(url) => {
            let server = Server::parse(url, args.database_password_file.as_deref());
            Sources::Server(Box::new(server.map_err(Failure::finding)?))
        }
        None => Sources::Files,
    };
    let redis = match &args.redis {
        Some(url) => Some(Redis::at(url).await.map_err(|error| Failure::new(Exit::Finding, error))?),
        None => None,
    };
    let stop = signal::stop()?;
    let failed = |error| Failure::error(Exit::Finding, error);
    let started = Instant::now();
    let folder = match &args.dir {
        Some(dir) => Folder::at(dir, args.force),
        None => Folder::temporary(),
    }
    .map_err(failed)?;
    let wanted = args.people;
    let token = stop.clone();
    // Writing the databases blocks, and a signal must be heard meanwhile.
    let (made, mut folder) = tokio::task::spawn_blocking(move || (folder.databases(wanted, &token), folder))
        .await
        .map_err(|error| Failure::error(Exit::Finding, error))?;
    let interrupted = || {
        if args.once {
            Err(Failure::new(Exit::Finding, "stopped before the end of the story"))
        } else {
            Ok(Exit::Ok)
        }
    };
    let made = match made {
        Err(folder::Error::Data(data::Error::Stopped)) => return interrupted(),
        made => made.map_err(failed)?,
    };
    if let Sources::Server(server) = &sources {
        let loading = stop.run_until_cancelled(Box::pin(server.load(&folder.path().join("databases")))).await;
        match loading {
            None => return interrupted(),
            Some(loaded) => loaded.map_err(Failure::finding)?,
        }
    }
    let plan = Plan { gateways: args.gateways, port: args.port, sources, redis };
    let mut bus = Bus::start(folder.path(), plan, &made.sample).await?;
    folder.ready(args.dir.is_none(), args.keep).map_err(failed)?;
    let mut report = Report::new(args.json);
    report.ready(&bus, &made, started.elapsed());

    let mut show = |step: &story::Step| report.step(step);
    let told = stop.run_until_cancelled(Box::pin(story::all(&mut bus, &made.sample, &mut show))).await;
    let ended = match told {
        None => interrupted(),
        Some(steps) => {
            let exit = report.end(&bus, &made, &steps?, args.once);
            if args.once { Ok(exit) } else { bus.run_until(&stop).await.map(|()| Exit::Ok) }
        }
    };
    // The bus ends in every case, so that its logs are closed in good order. The story's own outcome is
    // returned after that.
    bus.end().await?;
    ended
}
