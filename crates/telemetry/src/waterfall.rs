//! This module draws a trace as text: one line per span, children below their parents, a bar on a common time
//! axis.

use std::fmt::Write;

use crate::{SpanRecord, Trace, names};

/// Draws one trace. See [`render_all`].
pub fn render(trace: &Trace, width: usize) -> String {
    render_all(std::slice::from_ref(trace), width)
}

/// Draws traces under one another on one time axis, so that concurrent calls are seen to overlap.
///
/// Each span's line has the service, the name (indented by depth), the offset from the first start, the
/// duration, and a bar. `width` is the width of a line in columns; the bars take what the words leave, at
/// least 10 columns.
pub fn render_all(traces: &[Trace], width: usize) -> String {
    let start = traces.iter().map(Trace::start_unix_us).min().unwrap_or(0);
    let ends = traces
        .iter()
        .flat_map(|trace| &trace.spans)
        .map(|span| span.start_unix_us.saturating_add(span.duration_us));
    // At least 1, because times are divided by it below.
    let total = ends.max().unwrap_or(start).saturating_sub(start).max(1);
    let rows: Vec<Row<'_>> = traces.iter().flat_map(rows).collect();
    let service = rows.iter().map(|row| row.span.service.chars().count()).max().unwrap_or(0);
    let name = rows.iter().map(Row::name_width).max().unwrap_or(0);
    // 24 columns are for offset, duration and the spaces around them.
    let bar = width.saturating_sub(service + name + 24).max(10);
    let mut text = String::new();
    for row in &rows {
        let span = row.span;
        let offset = span.start_unix_us.saturating_sub(start);
        // What was refused stands out, whether or not it is an error of whoever answered.
        let failed = if span.attributes.get(names::OUTCOME).is_some_and(|outcome| outcome != names::OK) {
            " !"
        } else {
            ""
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{service_name:service$}  {indent}{span_name:name$}  {at:>8}  {took:>8}  {drawn}{failed}",
            service_name = span.service,
            indent = "  ".repeat(row.depth),
            span_name = span.name,
            name = name - 2 * row.depth,
            at = millis(offset),
            took = millis(span.duration_us),
            drawn = draw(offset, span.duration_us, total, bar),
        );
    }
    text
}

/// One line of a waterfall.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The span.
    pub span: &'a SpanRecord,
    /// How many spans it stands under.
    pub depth: usize,
}

impl Row<'_> {
    fn name_width(&self) -> usize {
        2 * self.depth + self.span.name.chars().count()
    }
}

/// The spans of a trace depth first, in order of start. A span whose parent is elsewhere stands at the left.
/// At most as many as there are spans, also if two have one id.
pub fn rows(trace: &Trace) -> Vec<Row<'_>> {
    let here = |id: &str| trace.spans.iter().any(|span| span.span_id == id);
    let mut waiting: Vec<Row<'_>> = Vec::new();
    let roots = trace.spans.iter().filter(|span| !span.parent.as_deref().is_some_and(here));
    waiting.extend(roots.map(|span| Row { span, depth: 0 }));
    // The last row is taken first, so siblings are put in reverse order.
    waiting.reverse();
    let mut rows: Vec<Row<'_>> = Vec::new();
    while let Some(row) = waiting.pop() {
        // A trace from another process may have a span under itself, which would never end.
        if rows.len() == trace.spans.len() {
            break;
        }
        let children =
            trace.spans.iter().filter(|span| span.parent.as_deref() == Some(row.span.span_id.as_str()));
        let depth = row.depth + 1;
        let first = waiting.len();
        waiting.extend(children.map(|span| Row { span, depth }));
        waiting[first..].reverse();
        rows.push(row);
    }
    rows
}

/// A bar of eighths: at least one mark, never past `columns`.
fn draw(offset: u64, duration: u64, total: u64, columns: usize) -> String {
    // In 128 bits, because microseconds times columns may exceed 64.
    let scale = |time: u64| (u128::from(time) * columns as u128 / u128::from(total)) as usize;
    let from = scale(offset).min(columns - 1);
    let to = scale(offset.saturating_add(duration)).clamp(from + 1, columns);
    format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(columns - to))
}

fn millis(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn span(
        id: &str,
        parent: Option<&str>,
        service: &str,
        start_unix_us: u64,
        duration_us: u64,
    ) -> SpanRecord {
        let outcome = if id == "c" { "NOT_GRANTED" } else { names::OK };
        SpanRecord {
            span_id: id.to_owned(),
            parent: parent.map(str::to_owned),
            name: format!("span {id}"),
            service: service.to_owned(),
            kind: "internal",
            start_unix_us,
            duration_us,
            attributes: BTreeMap::from([(names::OUTCOME.to_owned(), outcome.into())]),
            status: "unset",
            links: Vec::new(),
        }
    }

    #[test]
    fn children_stand_under_their_parents_on_one_axis() {
        let spans = vec![
            span("a", None, "gateway", 1_000_000, 4000),
            span("b", Some("a"), "adapter", 1_001_000, 2000),
            span("d", Some("a"), "gateway", 1_003_000, 1000),
            span("c", Some("b"), "adapter", 1_001_500, 500),
        ];
        let drawn = render(&Trace { trace_id: "t".to_owned(), spans }, 61);
        let expected = "\
gateway  span a       0.00 ms   4.00 ms  ████████████████████
adapter    span b     1.00 ms   2.00 ms  ·····██████████·····
adapter      span c   1.50 ms   0.50 ms  ·······███·········· !
gateway    span d     3.00 ms   1.00 ms  ···············█████
";
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn a_span_under_itself_ends() {
        let ids = |spans: Vec<SpanRecord>| rows(&Trace { trace_id: "t".to_owned(), spans }).len();
        let one = |id, parent| span(id, parent, "gateway", 1, 1);
        assert_eq!(ids(vec![one("a", None), one("a", Some("a"))]), 2, "two of one id");
        assert_eq!(ids(vec![one("a", Some("b")), one("b", Some("a"))]), 0, "a circle begins nowhere");
    }

    #[test]
    fn a_span_whose_parent_is_elsewhere_is_drawn_and_nothing_is_drawn_of_nothing() {
        let spans = vec![span("a", Some("elsewhere"), "adapter", 5, 0)];
        assert_eq!(render(&Trace { trace_id: "t".to_owned(), spans }, 0).lines().count(), 1);
        assert_eq!(render_all(&[], 80), "");
    }
}
