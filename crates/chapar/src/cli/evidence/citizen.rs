//! This module implements `chapar evidence citizen`, which prints what a citizen may see.

use std::path::PathBuf;

use chapar_model::Clock;
use serde_json::json;

use super::logs::{self, LogArgs};
use super::search::Output;
use crate::cli::registry::load_with_contracts;
use crate::disclosures::{Disclosure, MemberName, Terms, view};
use crate::exit::{Exit, Failure, Outcome};
use crate::gateway_log::{Checked, GatewayLog};
use crate::out;

/// Show a citizen who was given their records
///
/// For each disclosure: the agency, the office that asked on its behalf, the purpose, the legal basis in the
/// words of the grant, the fields, and the time. The logs are verified first. Disclosures under a grant that
/// hides them until a day (`citizen = "after …"`) are left out until then, and so are those under a grant
/// that the registry no longer has, whose terms cannot be told: for these, name the registry of that time by
/// `--registry`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar evidence citizen NATIONAL_ID --config gateway.toml --language fa")]
pub(in crate::cli) struct Args {
    /// The citizen's national id; `-` reads it from standard input
    #[arg(value_name = "NATIONAL_ID")]
    subject: String,
    #[command(flatten)]
    logs: LogArgs,
    /// A registry of an earlier time, for grants that are gone; may be repeated
    #[arg(long, value_name = "DIR")]
    registry: Vec<PathBuf>,
    /// The contracts of those registries, where they differ from today's; may be repeated
    #[arg(long, requires = "registry", value_name = "DIR")]
    contracts: Vec<PathBuf>,
    /// The language of names and dates
    #[arg(long, value_enum, default_value_t = Language::En, value_name = "LANGUAGE")]
    language: Language,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Language {
    /// English names, the Gregorian calendar in UTC
    En,
    /// Persian names, the Jalali calendar in Iran's time
    Fa,
}

pub(super) fn run(args: &Args) -> Outcome {
    let subject = logs::subject(&args.subject)?;
    let logs = args.logs.open()?;
    let terms = logs.iter().map(|log| args.terms(log)).collect::<Result<Vec<_>, _>>()?;
    let view = view(logs.iter().zip(&terms), &subject, Clock::system().now())?;
    match args.output {
        Output::Json => {
            let log = |log: &Checked| json!({ "origin": log.origin, "verified": log.sentence });
            let logs: Vec<_> = view.logs.iter().map(log).collect();
            out::data(json!({ "disclosures": view.disclosures, "left_out": view.unknown, "logs": logs }));
        }
        Output::Text => view.disclosures.iter().for_each(|found| out::data(text(found, args.language))),
    }
    view.logs.iter().for_each(|log| out::say(&log.sentence));
    if view.disclosures.is_empty() && view.unknown == 0 {
        out::say("no disclosure of this citizen's records that may be shown");
    }
    if view.unknown > 0 {
        out::say(format_args!(
            "{} left out: the registry no longer has their grants, so nothing tells whether they may be shown; name \
             the registry of that time by `--registry`",
            view.unknown
        ));
    }
    Ok(Exit::Ok)
}

impl Args {
    /// The terms of a gateway's registry, and then of those of earlier times.
    fn terms(&self, log: &GatewayLog) -> Result<Terms, Failure> {
        let serving = &log.config.gateway;
        let mut terms = Terms::default();
        terms.add(&load_with_contracts(&serving.registry, &serving.contracts)?);
        let contracts = if self.contracts.is_empty() { &serving.contracts } else { &self.contracts };
        for folder in &self.registry {
            terms.add(&load_with_contracts(folder, contracts)?);
        }
        Ok(terms)
    }
}

fn text(found: &Disclosure, language: Language) -> String {
    let name = |name: &MemberName| match language {
        Language::En => printable(&name.en),
        Language::Fa => printable(&name.fa),
    };
    let (time, comma) = match language {
        Language::En => (&found.time, ", "),
        Language::Fa => (&found.time_jalali, "، "),
    };
    let by = match found.asked_by == found.agency {
        true => String::new(),
        false => format!(" ({})", name(&found.asked_by_name)),
    };
    format!(
        "{time}  {}{by}  {}\n    {}\n    {}\n    {}",
        name(&found.agency_name),
        found.purpose,
        printable(&found.basis),
        found.fields.join(comma),
        found.entry
    )
}

/// What the registry's authors wrote, without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
