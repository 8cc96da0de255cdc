//! Steps 2 and 3 ask for what the policy does not allow. A purpose without a grant refuses the call. A field
//! without a grant is not in the answer, and is named as withheld.

use serde_json::json;

use super::caller::{Asked, Caller};
use super::{BANK, Outcome, StepReport};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;
use crate::demo::registry::{COUNTER, WELFARE};

const GET_PERSON: &str = "civil.v1.CivilRegistry/GetPerson";
/// A purpose that the contract knows and nobody gave to the bank.
const OTHER_PURPOSE: &str = "counter.identity_check";
/// A delegation for other purposes gives no right to this one.
const EXPECTED: &str = "PURPOSE_NOT_GRANTED";
/// A field that the welfare agency's grant lacks.
const WITHHELD: &str = "life_status";

/// The counter asks for a purpose that the bank has not delegated.
pub(super) async fn purpose(bus: &Bus, counter: &Caller, applicant: &Sample) -> Outcome {
    let fields = [("national_id", applicant.national_id.as_str())];
    let asked =
        Asked { method: GET_PERSON, fields: &fields, purpose: OTHER_PURPOSE, on_behalf_of: Some(BANK) };
    match counter.ask(bus.contract("civil"), &asked).await {
        Ok(_) => Err(format!("answered, though the purpose {OTHER_PURPOSE} was never granted")),
        Err(refused) if refused.reason == EXPECTED => Ok(StepReport {
            outcome: format!("refused: {} {}", refused.code, refused.reason),
            lines: vec![format!("{COUNTER} asks for {OTHER_PURPOSE}: {}", refused.message)],
            detail: json!({"purpose": OTHER_PURPOSE, "code": refused.code, "reason": refused.reason, "message": refused.message}),
        }),
        Err(refused) => Err(format!("refused with {} instead of {EXPECTED}", refused.reason)),
    }
}

/// The welfare agency asks by right, and its grant has no `life_status`.
pub(super) async fn field(bus: &Bus, welfare: &Caller, applicant: &Sample) -> Outcome {
    let fields = [("national_id", applicant.national_id.as_str())];
    let asked =
        Asked { method: GET_PERSON, fields: &fields, purpose: "benefit.eligibility", on_behalf_of: None };
    let answer =
        welfare.ask(bus.contract("civil"), &asked).await.map_err(|refused| format!("refused: {refused}"))?;
    let message = answer.messages.first().ok_or("answered with nothing")?;
    let has = |name: &str| message.has_field_by_name(name);
    // Both are checked: a withheld field must be missing, and the caller must be told which one it is.
    if has(WITHHELD) || !answer.withheld.iter().any(|field| field == WITHHELD) {
        return Err(format!("{WITHHELD} was not granted, and is in the answer or not named as withheld"));
    }
    if let Some(missing) = ["given_name", "family_name", "birth_date"].into_iter().find(|name| !has(name)) {
        return Err(format!("{missing} was granted, and is not in the answer"));
    }
    Ok(StepReport {
        outcome: format!(
            "{} fields disclosed, {} withheld and named",
            answer.disclosed.len(),
            answer.withheld.len()
        ),
        lines: vec![
            format!("{WELFARE} asks by its own grant"),
            format!("disclosed  {}", answer.disclosed.join(", ")),
            format!("withheld   {}", answer.withheld.join(", ")),
        ],
        detail: json!({"disclosed": answer.disclosed, "withheld": answer.withheld}),
    })
}
