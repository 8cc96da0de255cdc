//! The page of one trace: a waterfall of its spans on one time axis, and what each span tells.

use chapar_client::{Span, Trace};
use chapar_model::Language;
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
    let rows = rows(&trace.spans);
    html! {
        p { (frame.pick("شناسه", "Id")) ": " (ltr(&trace.trace_id)) " · " (local(start(&trace.spans), frame.language())) }
        (waterfall(frame, &rows))
        @for (span, _) in &rows {
            section {
                h2 { (ltr(&span.name)) " " small { (ltr(&span.service)) " · " (ltr(&span.kind)) } }
                dl {
                    dt { (frame.pick("مدت", "Duration")) } dd { (ltr(&millis(span.duration_us))) }
                    @for (name, value) in sorted(span) { dt { (ltr(name)) } dd { (ltr(value)) } }
                }
            }
        }
    }
}

fn sorted(span: &Span) -> Vec<(&String, &String)> {
    let mut attributes: Vec<_> = span.attributes.iter().collect();
    attributes.sort();
    attributes
}

fn start(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.start_us).min().unwrap_or_default()
}

/// Depth first in order of start, each with its depth; a span whose parent is elsewhere stands at the left.
fn rows(spans: &[Span]) -> Vec<(&Span, u64)> {
    let here = |id: &str| spans.iter().any(|span| span.span_id == id);
    // The last of the stack is taken first, so siblings are put in reverse order.
    let mut stack: Vec<(&Span, u64)> =
        spans.iter().filter(|span| !here(&span.parent)).map(|span| (span, 0)).rev().collect();
    let mut rows = Vec::new();
    while let Some((span, depth)) = stack.pop() {
        // A span that is its own ancestor would never end; more rows than spans cannot be.
        if rows.len() == spans.len() {
            break;
        }
        let children = spans.iter().filter(|child| child.parent == span.span_id);
        stack.extend(children.map(|child| (child, depth + 1)).rev());
        rows.push((span, depth));
    }
    rows
}

fn waterfall(frame: &Frame, rows: &[(&Span, u64)]) -> Markup {
    let begin = rows.iter().map(|(span, _)| span.start_us).min().unwrap_or_default();
    let ends = rows.iter().map(|(span, _)| span.start_us.saturating_add(span.duration_us));
    // At least 1, because times are divided by it.
    let total = ends.max().unwrap_or(begin).saturating_sub(begin).max(1);
    let axis = WIDTH - NAMES;
    let scale =
        |us: u64| u64::try_from(u128::from(us) * u128::from(axis) / u128::from(total)).unwrap_or(axis);
    let height = ROW * rows.len() as u64;
    html! {
        // A narrow screen scrolls it, also by keyboard.
        div.scroll tabindex="0" role="group" aria-label=(frame.pick("زمان هر گام", "The time of each step")) {
            svg.waterfall viewBox={ "0 0 " (WIDTH) " " (height) } direction="ltr" role="img"
                aria-label=(frame.pick("زمان هر گام؛ همان‌ها در زیر به متن", "The time of each step; the same as text below")) {
                @for (place, (span, depth)) in rows.iter().enumerate() {
                    @let y = place as u64 * ROW;
                    @let x = scale(span.start_us.saturating_sub(begin)).min(axis - 2);
                    @let width = scale(span.duration_us).max(2).min(axis - x);
                    @let outcome = span.attributes.get("chapar.outcome").map(String::as_str);
                    @let class = if span.status == "error" || outcome.is_some_and(|outcome| outcome != "OK") { "failed" } else { "good" };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, start_us: u64) -> Span {
        Span { span_id: id.to_owned(), parent: parent.to_owned(), start_us, ..Span::default() }
    }

    #[test]
    fn children_stand_under_their_parents_and_a_circle_ends() {
        let ids = |spans: &[Span]| -> Vec<(String, u64)> {
            rows(spans).into_iter().map(|(span, depth)| (span.span_id.clone(), depth)).collect()
        };
        let spans = [span("a", "", 1), span("b", "a", 2), span("d", "a", 4), span("c", "b", 3)];
        let wanted = [("a", 0), ("b", 1), ("c", 2), ("d", 1)].map(|(id, depth)| (id.to_owned(), depth));
        assert_eq!(ids(&spans), wanted);
        assert_eq!(ids(&[span("a", "elsewhere", 1)]).len(), 1);
        assert!(ids(&[span("a", "b", 1), span("b", "a", 1)]).is_empty());
        assert_eq!(ids(&[span("a", "", 1), span("a", "a", 1)]).len(), 2, "two of one id");
    }
}
