//! This module implements `chapar explain`: it shows the decision of a supposed or past call check by check.
//! It is for providers and operators, because callers are told a reason and no more.

use std::path::PathBuf;

use chapar_evidence::{VerifierKey, verify};
use chapar_model::{CaseNumber, ClerkId, Clock, MemberId, Purpose, SubsystemId};
use chapar_registry::{Explanation, Question};
use jiff::Timestamp;

use super::names;
use super::registry::{Contracts, load};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Explain why a call is allowed or refused, check by check
///
/// The command makes the same decision as the gateway, from the files of a registry. Options describe the
/// call, or the receipt of a past call does; an option overrides the receipt. The exit code is 1 if the call
/// is refused.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar explain registry --contracts contracts --as gov/welfare/benefits --call GetPerson --purpose benefit.eligibility\n  chapar explain registry --contracts contracts --receipt receipt.txt --trust evidence.pub"
)]
pub(super) struct Args {
    /// The registry's folder, or a store
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    contracts: Contracts,
    /// The caller, e.g. `gov/welfare/benefits`
    #[arg(long = "as", value_name = "SUBSYSTEM")]
    caller: Option<SubsystemId>,
    /// The method; the end of its name is enough where it is unambiguous
    #[arg(long, value_name = "METHOD")]
    call: Option<String>,
    /// The purpose of the call
    #[arg(long, value_name = "CODE")]
    purpose: Option<Purpose>,
    /// The case: the caller's file number
    #[arg(long, value_name = "NUMBER")]
    case: Option<CaseNumber>,
    /// The clerk: the person who asks
    #[arg(long, value_name = "NAME")]
    clerk: Option<ClerkId>,
    /// The member whose delegated right is used
    #[arg(long, value_name = "MEMBER")]
    on_behalf_of: Option<MemberId>,
    /// The time of the call, e.g. `2026-11-24T10:00:00+03:30`; default: the time of the receipt, or now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The receipt of a past call
    #[arg(long, requires = "trust", value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// The public key of the evidence log, which verifies the receipt
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

/// A call to be explained.
#[derive(Default)]
struct Call {
    caller: Option<SubsystemId>,
    method: Option<String>,
    purpose: Option<Purpose>,
    case: Option<CaseNumber>,
    clerk: Option<ClerkId>,
    on_behalf_of: Option<MemberId>,
    at: Option<Timestamp>,
    /// The digest of the registry that decided, and the outcome, both from the record.
    then: Option<(String, String)>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let registry = load(&args.folder, &args.contracts.load()?)?;
    let past = match (&args.receipt, &args.trust) {
        (Some(receipt), Some(trust)) => recorded(receipt, trust)?,
        _ => Call::default(),
    };
    // What is given on the command line comes before the receipt, so that "what if" can be asked about a past
    // call.
    let caller = args
        .caller
        .as_ref()
        .or(past.caller.as_ref())
        .ok_or_else(|| Failure::usage("the caller is missing: give `--as SUBSYSTEM`"))?;
    let typed = args
        .call
        .as_ref()
        .or(past.method.as_ref())
        .ok_or_else(|| Failure::usage("the method is missing: give `--call METHOD`"))?;
    // Names are resolved against the registry's services, hidden ones included: the command is for operators.
    let known: Vec<String> =
        registry.services().flat_map(|service| service.methods()).map(|m| m.path().to_string()).collect();
    let path = names::resolve(typed, &known).map_err(|sentence| Failure::new(Exit::Finding, sentence))?;
    let method = registry
        .method(path)
        .ok_or_else(|| Failure::new(Exit::Finding, "the registry has no such method"))?;
    let question = Question {
        caller,
        method,
        purpose: args.purpose.as_ref().or(past.purpose.as_ref()),
        case: args.case.as_ref().or(past.case.as_ref()),
        clerk: args.clerk.as_ref().or(past.clerk.as_ref()),
        on_behalf_of: args.on_behalf_of.as_ref().or(past.on_behalf_of.as_ref()),
        now: args.at.or(past.at).unwrap_or_else(|| Clock::system().now()),
    };
    if let Some((digest, outcome)) = &past.then {
        out::say(format_args!("recorded outcome: {outcome}"));
        // The explanation follows the files given here, so a difference to the recorded registry must be
        // visible.
        if digest != registry.digest() {
            out::say(format_args!("the recorded call was decided by another registry: {digest}"));
        }
    }
    Ok(tell(&question, &registry.explain(&question)))
}

fn tell(question: &Question<'_>, explanation: &Explanation) -> Exit {
    out::data(format_args!(
        "{} calls {} at {}",
        question.caller,
        question.method.method.path(),
        question.now
    ));
    for check in &explanation.checks {
        match &check.refused {
            None => out::data(format_args!("  ✓ {}", check.name)),
            Some(refused) => {
                out::data(format_args!("  ✗ {}: {}: {}", check.name, refused.reason, refused.detail))
            }
        }
    }
    match &explanation.decision {
        Ok(permit) => {
            let rows = if permit.rows_header.is_empty() { "every row" } else { &permit.rows_header };
            out::data(format_args!("allowed by the grant {}", permit.grant.id));
            out::data(format_args!("  disclosed: {}", permit.disclosed.join(", ")));
            out::data(format_args!("  withheld:  {}", permit.withheld.join(", ")));
            out::data(format_args!("  rows:      {rows}"));
            Exit::Ok
        }
        Err(refused) => {
            out::data(format_args!("refused: {} ({})", refused.reason, refused.detail));
            Exit::Finding
        }
    }
}

fn recorded(receipt: &std::path::Path, trust: &std::path::Path) -> Result<Call, Failure> {
    let unreadable = |path: &std::path::Path, error| {
        Failure::usage(format_args!("cannot read {}: {error}", path.display()))
    };
    let key = chapar_files::read_text(trust).map_err(|error| unreadable(trust, error))?;
    let key: VerifierKey =
        key.parse().map_err(|error| Failure::usage(format_args!("{}: {error}", trust.display())))?;
    let bytes = std::fs::read(receipt).map_err(|error| unreadable(receipt, error))?;
    let verified =
        verify::receipt(&bytes, &key).map_err(|invalid| Failure::new(Exit::EvidenceInvalid, invalid))?;
    let record = verified
        .record()
        .ok_or_else(|| Failure::new(Exit::Finding, "the receipt holds no record of a call"))?;
    let moment = i64::try_from(record.time_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(Call {
        // A part that is empty or does not parse is left out, because the record of a refused call may lack
        // it.
        caller: record.caller.parse().ok(),
        method: (!record.method.is_empty()).then(|| record.method.clone()),
        purpose: record.purpose.parse().ok(),
        case: record.case.parse().ok(),
        clerk: record.clerk.parse().ok(),
        on_behalf_of: record.on_behalf_of.parse().ok(),
        at: moment,
        then: Some((record.registry_digest.clone(), record.outcome.clone())),
    })
}
