//! Step 7 shows the trace of the inquiry: the first question from gateway through adapter to SQL, and of
//! those asked beside it when they began and ended.

use std::time::Duration;

use chapar_telemetry::{SpanRecord, Trace, names, waterfall};
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
        trace = bus.traces.by_call(&first.call_id).filter(is_whole);
        if trace.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let trace = trace.ok_or("the trace has no first span")?;
    for role in ["gateway", "adapter civil"] {
        if !trace.spans.iter().any(|span| span.service == role) {
            return Err(format!("the trace has no span of {role}"));
        }
    }
    let lines = waterfall::render(&shortened(&trace, first), WIDTH).lines().map(str::to_owned).collect();
    let outcome = format!("{} spans of one trace, gateway to SQL", trace.spans.len());
    Ok(StepReport { outcome, lines, detail: json!({ "trace": trace }) })
}

/// Whether the inquiry's own span is there, which ends last.
fn is_whole(trace: &Trace) -> bool {
    trace.spans.iter().any(|span| span.parent.is_none())
}

/// The trace without what is below the other questions: seven times the same would hide the first.
fn shortened(trace: &Trace, first: &Answer) -> Trace {
    let is_first =
        |span: &SpanRecord| span.attributes.get(names::CALL_ID).is_some_and(|id| *id == json!(first.call_id));
    let parent = |span: &SpanRecord| {
        trace.spans.iter().find(|other| span.parent.as_deref() == Some(other.span_id.as_str()))
    };
    let is_shown = |span: &&SpanRecord| {
        let mut above = Some(*span);
        while let Some(one) = above {
            if is_first(one) {
                return true;
            }
            above = parent(one);
        }
        // The inquiry itself, and the questions directly below it.
        parent(span).is_none_or(|above| above.parent.is_none())
    };
    Trace { spans: trace.spans.iter().filter(is_shown).cloned().collect(), ..trace.clone() }
}
