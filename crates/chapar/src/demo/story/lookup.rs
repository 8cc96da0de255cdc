//! Step 1 asks five agencies for everything that the bank must know of the applicant: seven questions in one
//! call.

use std::time::{Duration, Instant};

use serde_json::json;

use super::caller::{Answer, Caller, Refused};
use super::{BANK, CASE, CLERK, LOAN, StepReport, show};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;
use crate::demo::registry::{AGENCIES, COUNTER};

/// One question, and the paper that its answer makes unnecessary.
pub(super) struct Question {
    pub(super) register: &'static str,
    /// Its id in the procedure.
    pub(super) part: &'static str,
    pub(super) method: &'static str,
    paper: &'static str,
    paper_fa: &'static str,
}

/// What a farm loan needs.
pub(super) const QUESTIONS: [Question; 7] = [
    Question {
        register: "civil",
        part: "person",
        method: "civil.v1.CivilRegistry/GetPerson",
        paper: "copy of the identity booklet",
        paper_fa: "رونوشت شناسنامه",
    },
    Question {
        register: "health",
        part: "insurance",
        method: "health.v1.InsuranceRegistry/GetCoverage",
        paper: "letter that confirms insurance",
        paper_fa: "گواهی بیمه",
    },
    Question {
        register: "education",
        part: "degrees",
        method: "education.v1.EducationRegistry/ListDegrees",
        paper: "certified copies of degrees",
        paper_fa: "رونوشت مدارک تحصیلی",
    },
    Question {
        register: "agriculture",
        part: "farmer",
        method: "agriculture.v1.FarmRegistry/GetFarmer",
        paper: "farmer's certificate",
        paper_fa: "گواهی بهره‌برداری",
    },
    Question {
        register: "agriculture",
        part: "parcels",
        method: "agriculture.v1.FarmRegistry/ListParcels",
        paper: "copies of deeds and leases",
        paper_fa: "رونوشت اسناد زمین",
    },
    Question {
        register: "banking",
        part: "account",
        method: "banking.v1.AccountRegistry/VerifyAccount",
        paper: "account certificate",
        paper_fa: "گواهی شماره شبا",
    },
    Question {
        register: "banking",
        part: "loans",
        method: "banking.v1.AccountRegistry/GetLoanStanding",
        paper: "letter about loans and cheques",
        paper_fa: "نامهٔ وضعیت تسهیلات",
    },
];

/// How one question came out.
pub(super) struct Found {
    pub(super) question: &'static Question,
    pub(super) result: Result<Answer, Refused>,
    pub(super) took: Duration,
}

/// The procedure that asks them.
const PROCEDURE: &str = "farm-loan";

/// Asks all questions in one call, as the counter does for the bank.
///
/// # Errors
/// If the inquiry itself was refused, or a part did not come back.
pub(super) async fn ask_all(bus: &Bus, counter: &Caller, applicant: &Sample) -> Result<Vec<Found>, String> {
    let inputs = [("iban", applicant.iban.as_deref().unwrap_or_default())];
    let asked = counter.inquire(bus, PROCEDURE, &applicant.national_id, &inputs).await;
    let mut parts = asked.map_err(|refused| format!("the inquiry was refused: {refused}"))?;
    let found = QUESTIONS.iter().map(|question| {
        let at = parts.iter().position(|part| part.id == question.part);
        let part = parts.swap_remove(at.ok_or_else(|| format!("`{}` was not answered", question.part))?);
        Ok(Found { question, result: part.result, took: part.took })
    });
    found.collect()
}

/// All seven must be answered. Gives the answers too, for the steps that come back to them.
pub(super) async fn step(
    bus: &Bus,
    counter: &Caller,
    applicant: &Sample,
) -> Result<(Vec<Answer>, StepReport), String> {
    let started = Instant::now();
    let found = ask_all(bus, counter, applicant).await?;
    let together = started.elapsed();
    let mut rows = Vec::new();
    let mut detail = Vec::new();
    let mut answers = Vec::new();
    for Found { question, result, took } in found {
        let answer = result.map_err(|refused| format!("{} was refused: {refused}", question.method))?;
        let Some(agency) = AGENCIES.iter().find(|agency| agency.register == question.register) else {
            continue;
        };
        if answer.messages.is_empty() {
            return Err(format!("{} was answered with nothing", question.method));
        }
        rows.push([
            [
                agency.english.to_owned(),
                show::brief(&answer.messages, &applicant.national_id),
                show::span(took),
                question.paper.to_owned(),
            ],
            [
                agency.persian.to_owned(),
                show::names(&answer.disclosed),
                String::new(),
                question.paper_fa.to_owned(),
            ],
        ]);
        detail.push(json!({
            "method": question.method, "agency": agency.english, "agency_fa": agency.persian, "took_ms": show::millis(took),
            "messages": answer.messages.len(), "disclosed": answer.disclosed, "withheld": answer.withheld,
            "call_id": answer.call_id, "entry": answer.entry, "paper": question.paper, "paper_fa": question.paper_fa,
        }));
        answers.push(answer);
    }
    let heading = ["agency", "answer, and the fields disclosed", "time", "instead of"].map(str::to_owned);
    let mut lines = vec![format!(
        "{COUNTER}, clerk {CLERK}, asks `{PROCEDURE}` on behalf of {BANK} for {LOAN}, case {CASE}"
    )];
    lines.extend(show::table(&heading, &rows.concat()));
    let outcome = format!(
        "{} answers in {}; {} papers not carried",
        answers.len(),
        show::span(together),
        answers.len()
    );
    Ok((answers, StepReport { outcome, lines, detail: json!({ "questions": detail }) }))
}
