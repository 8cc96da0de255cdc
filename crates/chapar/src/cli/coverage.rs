//! This module implements `chapar coverage`: which villages' offices got their services answered, and which
//! papers were avoided.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::evidence::LogArgs;
use super::registry::load_with_contracts;
use super::rights::table;
use crate::coverage::{Coverage, SMALLEST_COUNT, Village, villages};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Count the villages served and the papers avoided, from the evidence logs
///
/// A village over the number of households is covered if its office got an answer of every service in the
/// period. A paper is avoided by an answered call of a part that replaces it, for its procedure's purpose;
/// the same call sent again counts once. No citizen is in the answer, and counts below 5 are told as `<5`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar coverage --config gateway.toml --villages villages.csv --since 2026-11-01 --until 2026-11-30"
)]
pub(super) struct Args {
    #[command(flatten)]
    logs: LogArgs,
    /// The province's list, CSV with the columns `village`, `households` and `office`; without it papers
    /// alone are counted
    #[arg(long, value_name = "FILE")]
    villages: Option<PathBuf>,
    /// Villages with more households than this count
    #[arg(long, default_value_t = 20, value_name = "N")]
    households: u32,
    /// A service that an office must get answered, `package.Service`; may be repeated; default: every service
    /// that a procedure asks
    #[arg(long, value_name = "SERVICE")]
    service: Vec<String>,
    /// The first day, in Tehran
    #[arg(long, value_name = "DAY")]
    since: Option<Date>,
    /// The last day, in Tehran
    #[arg(long, value_name = "DAY")]
    until: Option<Date>,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// Tables to print
    Table,
    /// One JSON document
    Json,
    /// Prometheus's text format, for the node exporter's folder of text files
    Metrics,
}

/// What is told of one village's office.
struct VillageCoverage {
    village: Village,
    missing: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let list = args.villages.as_deref().map(villages).transpose()?;
    let mut coverage = Coverage::of_days(args.since, args.until);
    let logs = args.logs.open()?;
    for log in &logs {
        let serving = &log.config.gateway;
        coverage.add_procedures(&load_with_contracts(&serving.registry, &serving.contracts)?);
    }
    let services = services(args, &coverage)?;
    for log in &logs {
        out::say(log.read(&mut |_, record| coverage.add(record))?.sentence);
    }
    let large = list.map(|list| {
        let large = list.into_iter().filter(|village| village.households > args.households);
        large.map(|village| told(village, &coverage, &services)).collect::<Vec<_>>()
    });
    match args.output {
        Output::Table => print_tables(args, &coverage, &services, large.as_deref()),
        Output::Json => out::data(format_args!("{:#}", document(&coverage, &services, large.as_deref()))),
        Output::Metrics => print_metrics(&coverage, large.as_deref()),
    }
    Ok(Exit::Ok)
}

fn services(args: &Args, coverage: &Coverage) -> Result<BTreeSet<String>, Failure> {
    if args.service.is_empty() {
        return Ok(coverage.services().clone());
    }
    // A service that no procedure asks would count every village as not covered.
    if let Some(unknown) = args.service.iter().find(|service| !coverage.services().contains(*service)) {
        let known = coverage.services().iter().cloned().collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format_args!("no procedure asks `{unknown}`; they ask: {known}")));
    }
    Ok(args.service.iter().cloned().collect())
}

fn told(village: Village, coverage: &Coverage, services: &BTreeSet<String>) -> VillageCoverage {
    let answered = coverage.answered(&village.office, services);
    let missing = services.iter().filter(|service| !answered.contains(service.as_str())).cloned();
    VillageCoverage { missing: missing.collect(), village }
}

fn covered(villages: &[VillageCoverage]) -> usize {
    villages.iter().filter(|told| told.missing.is_empty()).count()
}

/// A count that points at nobody.
fn suppressed(count: u64) -> String {
    if count < SMALLEST_COUNT { format!("<{SMALLEST_COUNT}") } else { count.to_string() }
}

fn print_tables(
    args: &Args,
    coverage: &Coverage,
    services: &BTreeSet<String>,
    villages: Option<&[VillageCoverage]>,
) {
    if let Some(villages) = villages {
        let (covered, all) = (covered(villages), villages.len());
        let share = if all == 0 { 0.0 } else { covered as f64 * 100.0 / all as f64 };
        let most = args.households;
        let names = services.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        out::data(format_args!(
            "{covered} of {all} villages over {most} households ({share:.1} %) got an answer of {names}"
        ));
        let head = ["VILLAGE", "HOUSEHOLDS", "OFFICE", "NOT ANSWERED"].map(str::to_owned).to_vec();
        let rows = villages.iter().map(|told| {
            let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            let Village { village, households, office } = &told.village;
            vec![village.clone(), households.to_string(), dash(office.clone()), dash(told.missing.join(", "))]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()).iter().for_each(out::data);
        out::data("");
    }
    let head = ["MONTH", "PROCEDURE", "OFFICE", "PAPERS AVOIDED", "PAPER"].map(str::to_owned).to_vec();
    let rows = coverage.papers().map(|(key, name, count)| {
        vec![key.month.clone(), key.procedure.clone(), key.office.clone(), suppressed(count), name.en.clone()]
    });
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()).iter().for_each(out::data);
}

fn document(coverage: &Coverage, services: &BTreeSet<String>, villages: Option<&[VillageCoverage]>) -> Value {
    let papers = coverage.papers().map(|(key, name, count)| {
        json!({
            "month": key.month,
            "procedure": key.procedure,
            "office": key.office,
            "part": key.part,
            "paper": { "fa": name.fa, "en": name.en },
            // Null: fewer than 5.
            "count": (count >= SMALLEST_COUNT).then_some(count),
        })
    });
    let list = villages.map(|villages| {
        let rows = villages.iter().map(|told| {
            let Village { village, households, office } = &told.village;
            json!({ "village": village, "households": households, "office": office, "not_answered": told.missing })
        });
        json!({ "covered": covered(villages), "all": villages.len(), "list": rows.collect::<Vec<_>>() })
    });
    json!({ "services": services, "villages": list, "papers": papers.collect::<Vec<_>>() })
}

fn print_metrics(coverage: &Coverage, villages: Option<&[VillageCoverage]>) {
    if let Some(villages) = villages {
        out::data(
            "# HELP chapar_villages Villages over the number of households.\n# TYPE chapar_villages gauge",
        );
        out::data(format_args!("chapar_villages {}", villages.len()));
        out::data(
            "# HELP chapar_villages_covered Those whose office got every service answered.\n# TYPE chapar_villages_covered gauge",
        );
        out::data(format_args!("chapar_villages_covered {}", covered(villages)));
    }
    out::data(
        "# HELP chapar_papers_avoided Papers that an answer replaced, without counts below 5.\n# TYPE chapar_papers_avoided gauge",
    );
    // Ids are letters, digits and `-./`: no label needs an escape.
    for (key, _, count) in coverage.papers().filter(|(.., count)| *count >= SMALLEST_COUNT) {
        out::data(format_args!(
            "chapar_papers_avoided{{month=\"{}\",procedure=\"{}\",office=\"{}\",part=\"{}\"}} {count}",
            key.month, key.procedure, key.office, key.part
        ));
    }
}
