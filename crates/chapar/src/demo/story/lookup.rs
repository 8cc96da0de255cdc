//! Step 1 asks five agencies at once for everything that the bank must know of the applicant.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::caller::{Answer, Asked, Caller, Refused};
use super::{BANK, CASE, CLERK, LOAN, StepReport, show};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;
use crate::demo::registry::{AGENCIES, COUNTER};

/// One question, and the paper that its answer makes unnecessary.
pub(super) struct Question {
    pub(super) register: &'static str,
    pub(super) method: &'static str,
    paper: &'static str,
    paper_fa: &'static str,
}

/// What a farm loan needs.
pub(super) const QUESTIONS: [Question; 7] = [
    Question {
        register: "civil",
        method: "civil.v1.CivilRegistry/GetPerson",
        paper: "copy of the identity booklet",
        paper_fa: "رونوشت شناسنامه",
    },
    Question {
        register: "health",
        method: "health.v1.InsuranceRegistry/GetCoverage",
        paper: "letter that confirms insurance",
        paper_fa: "گواهی بیمه",
    },
    Question {
        register: "education",
        method: "education.v1.EducationRegistry/ListDegrees",
        paper: "certified copies of degrees",
        paper_fa: "رونوشت مدارک تحصیلی",
    },
    Question {
        register: "agriculture",
        method: "agriculture.v1.FarmRegistry/GetFarmer",
        paper: "farmer's certificate",
        paper_fa: "گواهی بهره‌برداری",
    },
    Question {
        register: "agriculture",
        method: "agriculture.v1.FarmRegistry/ListParcels",
        paper: "copies of deeds and leases",
        paper_fa: "رونوشت اسناد زمین",
    },
    Question {
        register: "banking",
        method: "banking.v1.AccountRegistry/VerifyAccount",
        paper: "account certificate",
        paper_fa: "گواهی شماره شبا",
    },
    Question {
        register: "banking",
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

/// Asks all questions at once, as the counter does for the bank.
pub(super) async fn ask_all(bus: &Bus, counter: &Caller, applicant: &Sample) -> Vec<Found> {
    let asked = QUESTIONS.iter().map(|question| async move {
        let mut fields = vec![("national_id", applicant.national_id.as_str())];
        // This method compares an account with a person, so it needs both.
        if question.method.ends_with("/VerifyAccount") {
            fields.push(("iban", applicant.iban.as_deref().unwrap_or_default()));
        }
        let asked =
            Asked { method: question.method, fields: &fields, purpose: LOAN, on_behalf_of: Some(BANK) };
        let started = Instant::now();
        let result = counter.ask(bus.contract(question.register), &asked).await;
        Found { question, result, took: started.elapsed() }
    });
    join_all(asked).await
}

/// All seven must be answered. Gives the answers too, for the steps that come back to them.
pub(super) async fn step(
    bus: &Bus,
    counter: &Caller,
    applicant: &Sample,
) -> Result<(Vec<Answer>, StepReport), String> {
    let started = Instant::now();
    // All at once, because the story is about the time that it takes together.
    let found = ask_all(bus, counter, applicant).await;
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
    let mut lines =
        vec![format!("{COUNTER}, clerk {CLERK}, asks on behalf of {BANK} for {LOAN}, case {CASE}")];
    lines.extend(show::table(&heading, &rows.concat()));
    let outcome = format!(
        "{} answers in {}; {} papers not carried",
        answers.len(),
        show::span(together),
        answers.len()
    );
    Ok((answers, StepReport { outcome, lines, detail: json!({ "questions": detail }) }))
}
