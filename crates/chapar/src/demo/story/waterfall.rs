//! Step 7 shows the trace of the first question and of those asked beside it, from gateway through adapter to
//! SQL.

use std::time::Duration;

use chapar_telemetry::waterfall;
use serde_json::json;

use super::caller::Answer;
use super::{Outcome, StepReport};
use crate::demo::bus::Bus;

/// Columns of the drawing.
const WIDTH: usize = 110;

pub(super) async fn step(bus: &Bus, answers: Option<&[Answer]>) -> Outcome {
    let first = answers.and_then(|answers| answers.first()).ok_or("there was no first answer")?;
    // A span is stored when it ends, which for the gateway's is a moment after the answer.
    let mut trace = None;
    for _ in 0..40 {
        trace = bus.traces.by_call(&first.call_id).filter(|trace| trace.spans.len() >= 3);
        if trace.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let trace = trace.ok_or("the trace has fewer than three spans")?;
    for role in ["gateway", "adapter civil"] {
        if !trace.spans.iter().any(|span| span.service == role) {
            return Err(format!("the trace has no span of {role}"));
        }
    }
    let lines = waterfall::render(&trace, WIDTH).lines().map(str::to_owned).collect();
    let outcome = format!("{} spans of one trace, gateway to SQL", trace.spans.len());
    Ok(StepReport { outcome, lines, detail: json!({ "trace": trace }) })
}
