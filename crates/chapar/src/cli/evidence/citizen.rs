//! This module implements `chapar evidence citizen`, which prints what a citizen may see.

use std::path::PathBuf;

use chapar_model::Clock;
use serde_json::json;

use super::logs::{self, LogArgs};
use super::search::Output;
use crate::cli::registry::load_with_contracts;
use crate::disclosures::{Disclosure, MemberName, Terms, view};
use crate::exit::{Exit, Outcome};
use crate::out;

/// Show a citizen who was given their records
///
/// For each disclosure: the agency, the office that asked on its behalf, the purpose, the legal basis in the words of
/// the grant, the fields, and the time. The logs are verified first. Disclosures under a grant that hides them until a
/// day (`citizen = "after …"`) are left out until then, and so are those under a grant that the registry no longer
/// has, whose terms cannot be told: for these, name the registry of that time by `--registry`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar evidence citizen NATIONAL_ID --config gateway.toml --language fa")]
pub(in crate::cli) struct Args {
    /// The citizen's national id
    #[arg(value_name = "NATIONAL_ID")]
    subject: String,
    #[command(flatten)]
    logs: LogArgs,
    /// A registry of an earlier time, for grants that are gone; may be repeated
    #[arg(long, value_name = "DIR")]
    registry: Vec<PathBuf>,
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
    let mut terms = Terms::default();
    for log in &logs {
        let serving = &log.config.gateway;
        for folder in std::iter::once(&serving.registry).chain(&args.registry) {
            terms.add(&load_with_contracts(folder, &serving.contracts)?);
        }
    }
    let view = view(&logs, &terms, &subject, Clock::system().now())?;
    match args.output {
        Output::Json => out::data(json!({ "disclosures": view.disclosures })),
        Output::Text => view.disclosures.iter().for_each(|found| out::data(text(found, args.language))),
    }
    view.verified.iter().for_each(out::say);
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

fn text(found: &Disclosure, language: Language) -> String {
    let name = |name: &MemberName| match language {
        Language::En => name.en.clone(),
        Language::Fa => name.fa.clone(),
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
        found.basis,
        found.fields.join(comma),
        found.entry
    )
}
