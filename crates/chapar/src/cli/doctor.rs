//! This module implements `chapar doctor connect`: it goes the way of a call, step by step, and says at which
//! step it ends and what to do. It makes no call of an agency.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chapar_client::{CallError, Client, Config};
use chapar_model::Clock;
use chapar_transport::tls::{self, Files, Shown};
use tokio::net::TcpStream;

use super::connect::{ConnectArgs, Target};
use super::names;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Find out why something does not work
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Connect(ConnectDoctor),
}

/// Go the way of a call to the gateway, step by step
///
/// The steps are: your certificate, the gateway's name, TCP, TLS, whom the registry takes you for, and your
/// rights. The first step that fails is told with what to do, and ends the command. No agency is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chapar doctor connect --demo DIR --as gov/welfare/benefits\n  \
                  chapar doctor connect GetPerson --gateway bus.example:7443 --cert my.crt --key my.key --ca ca.crt")]
pub(super) struct ConnectDoctor {
    /// A method that you mean to call: whether a grant gives it to you
    #[arg(value_name = "SERVICE/METHOD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    method: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The longest wait for each address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(command: Command) -> Outcome {
    let Command::Connect(ConnectDoctor { method, connect }) = command;
    let target = connect.target()?;
    certificate(&target)?;
    let addresses = name(&target.gateway).await?;
    tcp(&addresses).await?;
    let client = handshake(&target).await?;
    registry(&client).await?;
    rights(&client, method.as_deref()).await?;
    Ok(Exit::Ok)
}

fn passed(step: &str, found: impl Display) {
    out::data(format_args!("ok      {step:<12} {found}"));
}

fn failed(step: &str, exit: Exit, found: impl Display, help: &str) -> Failure {
    out::data(format_args!("FAILED  {step:<12} {found}"));
    Failure::new(exit, help)
}

/// The caller's own files: a certificate that is over, or of another key, looks like a fault of the line.
fn certificate(target: &Target) -> Result<(), Failure> {
    const STEP: &str = "certificate";
    let Target { cert, key, ca, .. } = target;
    let files = Files { cert: cert.clone(), key: key.clone(), trust: ca.clone(), crl: None };
    let now = Clock::system().now();
    let unusable = |error: chapar_transport::Error| {
        failed(
            STEP,
            Exit::Finding,
            error,
            "the file cannot be used as it is: is it there, readable, and what its option asks for?",
        )
    };
    let own = tls::own_certificate(&files, Shown::AsClient, now).map_err(unusable)?;
    tls::client(&files, tls::Expect::DnsName).map_err(unusable)?;
    if !own.is_usable {
        let help = "ask the authority that issued it for a new one (`chapar pki csr`, `chapar pki renew`)";
        return Err(failed(STEP, Exit::Finding, own.remarks.join("; "), help));
    }
    passed(STEP, format_args!("{}, for another {}", own.identity, own.left(now)));
    own.remarks.iter().for_each(|remark| out::data(format_args!("        {:<12} {remark}", "")));
    Ok(())
}

async fn name(gateway: &str) -> Result<Vec<SocketAddr>, Failure> {
    const STEP: &str = "name";
    let help =
        "the name does not resolve here: check its spelling, and this machine's resolver (/etc/resolv.conf)";
    let found = tokio::net::lookup_host(gateway).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(found) => found.collect(),
        Err(error) => return Err(failed(STEP, Exit::Unreachable, format_args!("{gateway}: {error}"), help)),
    };
    if addresses.is_empty() {
        return Err(failed(STEP, Exit::Unreachable, format_args!("{gateway} has no address"), help));
    }
    let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    passed(STEP, format_args!("{gateway} is {}", list.join(", ")));
    Ok(addresses)
}

/// One address that answers is enough: a call tries the others too.
async fn tcp(addresses: &[SocketAddr]) -> Result<(), Failure> {
    const STEP: &str = "TCP";
    let mut last = None;
    for address in addresses {
        let began = Instant::now();
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let problem = match connected {
            Ok(Ok(_)) => {
                passed(STEP, format_args!("{address} in {:.1} ms", began.elapsed().as_secs_f64() * 1e3));
                return Ok(());
            }
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address}: no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        };
        if let Some(earlier) = last.replace(problem) {
            out::data(format_args!("        {STEP:<12} {earlier}"));
        }
    }
    let help = "nothing accepts connections there: does the gateway run, is the port right, and does a firewall stand between?";
    Err(failed(STEP, Exit::Unreachable, last.unwrap_or_default(), help))
}

async fn handshake(target: &Target) -> Result<Client, Failure> {
    const STEP: &str = "TLS";
    let Target { gateway, server_name, cert, key, ca, .. } = target.clone();
    let config = Config { gateway, server_name, cert, key, ca };
    let client = Client::connect(config).await.map_err(|error| {
        let said = error.to_string();
        let help = if said.contains("InvalidContentType") {
            "this port does not speak TLS: is it the gateway's port, and not that of its admin pages?".to_owned()
        } else if said.ends_with("timed out") {
            "something accepts the connection and does not answer: a wrong port, a proxy, or a gateway that hangs".to_owned()
        } else {
            format!(
                "the gateway's certificate must be valid now, name `{}` and be of a CA in {}; see it by \
                 `openssl s_client -connect {} -servername {} -showcerts`",
                target.server_name,
                target.ca.display(),
                target.gateway,
                target.server_name
            )
        };
        failed(STEP, Exit::Unreachable, error, &help)
    })?;
    passed(STEP, format_args!("the gateway is {}", target.server_name));
    Ok(client)
}

async fn registry(client: &Client) -> Result<(), Failure> {
    const STEP: &str = "registry";
    match client.who_am_i().await {
        Ok(me) => {
            passed(STEP, format_args!("you are {}, of {}", me.identity, me.member));
            Ok(())
        }
        // In TLS 1.3 a client hears of its certificate's refusal only when it first reads.
        Err(error @ (CallError::Broken { .. } | CallError::Unreachable { .. })) => {
            let help = "the gateway ended the connection after the handshake: it takes no certificate of your issuer, or yours \
                        is revoked; its log has a line about it";
            Err(failed(STEP, Exit::Unreachable, error, help))
        }
        Err(error @ CallError::Late { .. }) => {
            let help =
                "the handshake is done, and no call is answered: a gateway that hangs, or another server";
            Err(failed(STEP, Exit::Unreachable, error, help))
        }
        Err(error @ CallError::Garbled { .. }) => {
            Err(failed(STEP, Exit::Finding, error, "what answers there is no gateway: is the port right?"))
        }
        Err(error) => Err(told(STEP, error)),
    }
}

async fn rights(client: &Client, method: Option<&str>) -> Result<(), Failure> {
    const STEP: &str = "rights";
    let allowed = client.allowed_methods().await.map_err(|error| told(STEP, error))?;
    let mut known: Vec<String> = allowed.iter().map(|allowed| allowed.method.clone()).collect();
    known.sort();
    known.dedup();
    let Some(method) = method else {
        match known.len() {
            0 => passed(STEP, "none: no grant in force is yours"),
            number => passed(STEP, format_args!("to {number} of the methods; `chapar list` shows them")),
        }
        return Ok(());
    };
    if method.trim_start_matches('/').starts_with("chapar.admin.v1.") {
        client.status().await.map_err(|error| told(STEP, error))?;
        passed(STEP, format_args!("{method}, by a role of an operator"));
        return Ok(());
    }
    if names::is_own(method) {
        passed(STEP, format_args!("{method} is the gateway's own, and needs no grant"));
        return Ok(());
    }
    match names::resolve(method, &known) {
        Ok(name) => {
            let of_method = allowed.iter().filter(|allowed| allowed.method == name);
            let grants: Vec<&str> = of_method.map(|allowed| allowed.grant.as_str()).collect();
            passed(STEP, format_args!("{name}, by {}", grants.join(", ")));
            Ok(())
        }
        Err(why) => {
            let help = "of the methods that are granted to you none is meant by this name: if it is spelled right, its provider has to grant it, \
                        and `chapar explain` says what is missing";
            Err(failed(STEP, Exit::Finding, why, help))
        }
    }
}

/// A refusal has its own words and its own exit code.
fn told(step: &str, error: CallError) -> Failure {
    out::data(format_args!("FAILED  {step:<12} {error}"));
    error.into()
}
