//! The page of one trace: a waterfall of its spans on one time axis, and what each span tells.

use chapar_model::Language;
use chapar_telemetry::waterfall::{Row, rows};
use chapar_telemetry::{Trace, names};
use maud::{Markup, html};

use super::page::{Frame, ltr};
use crate::moment::{local, millis};

/// Width of the drawing, in units of its own.
const WIDTH: u64 = 1000;
/// Columns for names, in the same units.
const NAMES: u64 = 430;
/// Height of a row.
const ROW: u64 = 26;

pub(super) fn title(language: Language) -> &'static str {
    language.pick("ردّ یک فراخوانی", "Trace of a call")
}

pub(super) fn not_kept(frame: &Frame) -> Markup {
    html! {
        p { (frame.pick(
            "هیچ دروازه‌ای این ردّ را نگه نداشته است. هر دروازه آخرین ردّها را در حافظه دارد (keep_traces).",
            "No gateway keeps this trace. Each keeps its last ones in memory (keep_traces).",
        )) }
        p { a href=(frame.link("/traces", &[])) { (super::traces::title(frame.language())) } }
    }
}

pub(super) fn content(frame: &Frame, trace: &Trace) -> Markup {
    let rows = rows(trace);
    html! {
        p { (frame.pick("شناسه", "Id")) ": " (ltr(&trace.trace_id)) " · " (local(trace.start_unix_us(), frame.language())) }
        (waterfall(frame, trace, &rows))
        @for Row { span, .. } in &rows {
            section {
                h2 { (ltr(&span.name)) " " small { (ltr(&span.service)) " · " (ltr(span.kind)) } }
                dl {
                    dt { (frame.pick("مدت", "Duration")) } dd { (ltr(&millis(span.duration_us))) }
                    @for (name, value) in &span.attributes { dt { (ltr(name)) } dd { (ltr(&shown(value))) } }
                }
            }
        }
    }
}

/// A text as it is; a number or a flag as JSON writes it.
fn shown(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn waterfall(frame: &Frame, trace: &Trace, rows: &[Row<'_>]) -> Markup {
    let begin = trace.start_unix_us();
    // At least 1, because times are divided by it.
    let total = u64::try_from(trace.duration().as_micros()).unwrap_or(u64::MAX).max(1);
    let axis = WIDTH - NAMES;
    let scale =
        |us: u64| u64::try_from(u128::from(us) * u128::from(axis) / u128::from(total)).unwrap_or(axis);
    let height = ROW * rows.len() as u64;
    html! {
        // A narrow screen scrolls it, also by keyboard.
        div.scroll tabindex="0" role="group" aria-label=(frame.pick("زمان هر گام", "The time of each step")) {
            svg.waterfall viewBox={ "0 0 " (WIDTH) " " (height) } direction="ltr" role="img"
                aria-label=(frame.pick("زمان هر گام؛ همان‌ها در زیر به متن", "The time of each step; the same as text below")) {
                @for (place, Row { span, depth }) in rows.iter().enumerate() {
                    @let y = place as u64 * ROW;
                    @let x = scale(span.start_unix_us.saturating_sub(begin)).min(axis - 2);
                    @let width = scale(span.duration_us).max(2).min(axis - x);
                    @let outcome = span.attributes.get(names::OUTCOME);
                    @let class = if span.status == "error" || outcome.is_some_and(|outcome| outcome != names::OK) { "failed" } else { "good" };
                    text x=(depth * 14) y=(y + 17) { (span.service) ": " (span.name) }
                    rect.(class) x=(NAMES + x) y=(y + 5) width=(width) height=(ROW - 10) rx="2" {
                        title { (span.service) ": " (millis(span.duration_us)) }
                    }
                    // Right of the bar, or left of one that reaches the end.
                    @if x + width + 90 < axis {
                        text.time x=(NAMES + x + width + 6) y=(y + 17) { (millis(span.duration_us)) }
                    } @else {
                        text.time.end x=((NAMES + x).saturating_sub(6)) y=(y + 17) text-anchor="end" { (millis(span.duration_us)) }
                    }
                }
            }
        }
    }
}
