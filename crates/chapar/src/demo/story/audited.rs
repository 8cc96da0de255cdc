//! One step asks those who watch the bus from outside: witnesses have cosigned the checkpoint of the first
//! answer's receipt, and an auditor has verified every entry of every log.

use std::time::Duration;

use chapar_auditor::{AuditStatus, Config, Index};
use chapar_evidence::verify::{self, Witnesses};
use serde_json::json;
use tokio::time::Instant;

use super::caller::Answer;
use super::{Outcome, StepReport, first_entry};
use crate::demo::audit::SETTINGS;
use crate::demo::bus::Bus;

/// The longest wait for witnesses and auditor: a checkpoint a second, and some rounds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn step(bus: &Bus, answers: Option<&[Answer]>) -> Outcome {
    let (first, index) = first_entry(answers)?;
    let size = bus.log.size().await;
    let until = Instant::now() + PATIENCE;
    let is_cosigned = || bus.log.cosigned().is_some_and(|(checkpoint, _)| checkpoint.size > index);
    while !is_cosigned() {
        wait(until, "the witnesses have not cosigned the first answer's entry").await?;
    }
    let receipt = bus.log.receipt(index).await.map_err(|error| format!("no receipt: {error}"))?.to_bytes();
    let keys = bus.witness_keys().map_err(|failure| failure.report.to_string())?;
    let quorum = keys.len();
    let witnesses = Witnesses::new(keys, quorum).map_err(|error| error.to_string())?;
    let verified = verify::receipt_cosigned(&receipt, bus.log.verifier(), &witnesses)
        .map_err(|invalid| format!("the receipt does not verify with its witnesses: {invalid}"))?;
    let config = Config::load(&bus.dir.join(SETTINGS)).map_err(|error| error.to_string())?;
    let known = Index::open_existing(&config.state).map_err(|error| error.to_string())?;
    let status = loop {
        let status = AuditStatus::of(&known).map_err(|error| error.to_string())?;
        let own = status.logs.iter().find(|log| log.origin == bus.log.origin());
        if own.is_some_and(|log| log.verified >= size) {
            break status;
        }
        wait(until, "the auditor has not verified all entries").await?;
    };
    if let Some(alarm) = status.alarms.first() {
        return Err(format!("the auditor has an alarm: {} is {}: {}", alarm.log, alarm.kind, alarm.sentence));
    }
    let all: u64 = status.logs.iter().map(|log| log.verified).sum();
    Ok(StepReport {
        outcome: format!(
            "{quorum} witnesses cosigned it; an auditor verified {all} entries, without an alarm"
        ),
        lines: vec![verified.sentence().to_owned()],
        detail: json!({ "entry": first.entry, "sentence": verified.sentence(), "auditor": status }),
    })
}

async fn wait(until: Instant, problem: &str) -> Result<(), String> {
    if Instant::now() > until {
        return Err(problem.to_owned());
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
