//! The last step shows the applicant who was given their records, from the logs of all gateways.

use std::collections::HashSet;

use chapar_model::Clock;
use chapar_registry::Registry;
use serde_json::json;

use super::lookup::QUESTIONS;
use super::{BANK, LOAN, Outcome, StepReport, show};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;
use crate::disclosures::{Disclosure, Terms, view};
use crate::gateway_log::{self, GatewayLog};

pub(super) async fn step(bus: &Bus, applicant: &Sample) -> Outcome {
    let mut terms = Terms::default();
    // The legal basis and what the citizen may see stand in the grants, not in the records.
    let registry = Registry::load(&bus.dir.join("registry"), &bus.contracts);
    terms.add(&registry.map_err(|error| error.to_string())?);
    let files = gateway_log::settings_in(&bus.dir).map_err(|failure| failure.report.to_string())?;
    let logs: Result<Vec<_>, _> = files.iter().map(|file| GatewayLog::open(file, &[])).collect();
    let logs = logs.map_err(|failure| failure.report.to_string())?;
    let under_terms = logs.iter().map(|log| (log, &terms));
    let seen = view(under_terms, &applicant.national_id, Clock::system().now());
    let seen = seen.map_err(|failure| failure.report.to_string())?;
    let of_loan = |method: &str| {
        let mut loans = seen.disclosures.iter().filter(|found| found.agency == BANK && found.purpose == LOAN);
        loans.any(|found| found.method == method)
    };
    if let Some(missing) = QUESTIONS.iter().find(|question| !of_loan(question.method)) {
        return Err(format!("the disclosure of {} is not among those that are shown", missing.method));
    }
    if seen.unknown > 0 {
        return Err(format!("{} disclosures are under no grant of the registry", seen.unknown));
    }
    let disclosures = &seen.disclosures;
    let agencies: HashSet<&str> = disclosures.iter().map(|found| found.agency.as_str()).collect();
    Ok(StepReport {
        outcome: format!(
            "{} disclosures to {} agencies, each with its legal basis",
            disclosures.len(),
            agencies.len()
        ),
        lines: lines(disclosures),
        detail: json!({ "disclosures": disclosures }),
    })
}

/// One row for each question of an agency, however often it was asked.
fn lines(disclosures: &[Disclosure]) -> Vec<String> {
    let mut rows: Vec<(&Disclosure, u64)> = Vec::new();
    for found in disclosures {
        let is_same = |(row, _): &&mut (&Disclosure, u64)| {
            (&row.agency, &row.asked_by, &row.method, &row.basis)
                == (&found.agency, &found.asked_by, &found.method, &found.basis)
        };
        match rows.iter_mut().find(is_same) {
            Some((_, times)) => *times += 1,
            None => rows.push((found, 1)),
        }
    }
    let heading = ["given to", "record", "for", "legal basis", "fields", "times"].map(str::to_owned);
    let cells = |(row, times): &(&Disclosure, u64)| {
        let fields = row.fields.len().to_string();
        let record = row.method.rsplit_once('/').map_or(row.method.as_str(), |(_, name)| name);
        let name = row.agency_name.en.clone();
        [name, record.to_owned(), row.purpose.clone(), row.basis.clone(), fields, times.to_string()]
    };
    show::table(&heading, &rows.iter().map(cells).collect::<Vec<_>>())
}
