//! The page of calls: a form that filters, and the newest calls of all gateways.

use std::collections::BTreeSet;

use chapar_client::{CallList, CallSummary, TraceFilter};
use chapar_contract::text::ascii_digits;
use chapar_model::Language;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{Frame, dot, ltr};
use crate::bus::{Answer, newest};
use crate::moment::{local, millis};

/// Calls on a page.
const CALLS: usize = 100;

pub(super) fn title(language: Language) -> &'static str {
    language.pick("فراخوانی‌ها", "Calls")
}

/// The form's fields, as the query has them; empty ones filter nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    caller: String,
    method: String,
    provider: String,
    outcome: String,
    grant: String,
    /// Least duration in milliseconds.
    at_least: String,
}

impl Filter {
    /// What a gateway is asked; nothing if the duration is no number of milliseconds.
    pub(super) fn request(&self) -> Option<TraceFilter> {
        let text = |text: &str| text.trim().to_owned();
        let at_least_ms = match ascii_digits(self.at_least.trim()).as_str() {
            "" => 0,
            text => text.parse::<u64>().ok()?,
        };
        Some(TraceFilter {
            caller: text(&self.caller),
            method: text(&self.method),
            provider: text(&self.provider),
            outcome: text(&self.outcome),
            grant: text(&self.grant),
            min_duration_us: at_least_ms.saturating_mul(1000),
            limit: CALLS as u32,
        })
    }
}

pub(super) fn unreadable(frame: &Frame, filter: &Filter) -> Markup {
    html! {
        p.failed role="alert" {
            (frame.pick("«دست‌کم» عددی درست به میلی‌ثانیه است", "“At least” is a whole number of milliseconds"))
        }
        (form(frame, filter, &[]))
    }
}

pub(super) fn content(frame: &Frame, filter: &Filter, answers: &[Answer<CallList>]) -> Markup {
    let calls = newest(answers, CALLS);
    let is_one = answers.len() == 1;
    html! {
        (form(frame, filter, &calls))
        @for Answer { gateway, answer } in answers {
            @if let Err(error) = answer { p.failed { (ltr(gateway)) ": " (ltr(&error.to_string())) } }
        }
        @if calls.is_empty() {
            p { (frame.pick("هیچ فراخوانی با این مشخصات نگه داشته نشده است", "No kept call fits")) }
        } @else {
            table.calls {
                thead { tr {
                    th { (frame.pick("زمان", "Time")) } th { (frame.pick("فراخوان", "Caller")) } th { (frame.pick("متد", "Method")) }
                    th { (frame.pick("نتیجه", "Outcome")) } th { (frame.pick("مدت", "Duration")) }
                    th { (frame.pick("فیلدها", "Fields")) } th { (frame.pick("مجوز", "Grant")) }
                    @if !is_one { th { (frame.pick("دروازه", "Gateway")) } }
                } }
                tbody { @for (gateway, call) in &calls { (row(frame, gateway, call, is_one)) } }
            }
        }
        p.hint {
            @for Answer { gateway, answer } in answers {
                @if let Ok(list) = answer {
                    (ltr(gateway)) ": " (frame.number(list.kept)) " " (frame.pick("فراخوانی نگه‌داشته از", "calls kept of")) " " (frame.number(list.capacity)) ". "
                }
            }
        }
    }
}

fn row(frame: &Frame, gateway: &str, call: &CallSummary, is_one: bool) -> Markup {
    let class = if call.outcome == "OK" { "good" } else { "failed" };
    let unknown = frame.pick("ناشناس", "unknown");
    let or_unknown = |text: &str| {
        if text.is_empty() {
            html! { (unknown) }
        } else {
            ltr(text)
        }
    };
    html! {
        tr {
            td { a href=(frame.link(&format!("/traces/{}", call.trace_id), &[])) { (local(call.start_us, frame.language())) } }
            td { (or_unknown(&call.caller)) }
            td { (or_unknown(&call.method)) }
            td { (dot(class)) (ltr(&call.outcome)) }
            td { (ltr(&millis(call.duration_us))) }
            @let all = call.fields_disclosed.saturating_add(call.fields_withheld);
            td { @if all > 0 {
                (frame.number(call.fields_disclosed)) "/" (frame.number(all))
            } }
            td { (ltr(&call.grant)) }
            @if !is_one { td { (ltr(gateway)) } }
        }
    }
}

fn form(frame: &Frame, filter: &Filter, calls: &[(&str, &CallSummary)]) -> Markup {
    let seen = |of: fn(&CallSummary) -> &str| -> BTreeSet<&str> {
        calls.iter().map(|(_, call)| of(call)).filter(|text| !text.is_empty()).collect()
    };
    let outcomes = seen(|call| &call.outcome).into_iter().chain(["OK", "refused"]).collect::<BTreeSet<_>>();
    let fields = [
        ("caller", frame.pick("فراخوان", "Caller"), &filter.caller, seen(|call| &call.caller)),
        (
            "method",
            frame.pick("متد یا سرویس", "Method or service"),
            &filter.method,
            seen(|call| &call.method),
        ),
        ("provider", frame.pick("دستگاه پاسخ‌گو", "Agency that answers"), &filter.provider, BTreeSet::new()),
        ("outcome", frame.pick("نتیجه", "Outcome"), &filter.outcome, outcomes),
        ("grant", frame.pick("مجوز", "Grant"), &filter.grant, seen(|call| &call.grant)),
        ("at_least", frame.pick("دست‌کم (میلی‌ثانیه)", "At least (ms)"), &filter.at_least, BTreeSet::new()),
    ];
    html! {
        form.filter method="get" action="/traces" {
            (frame.hidden())
            @for (name, label, value, known) in fields {
                p {
                    label for=(name) { (label) }
                    input type="text" dir="ltr" id=(name) name=(name) value=(value) list=[(!known.is_empty()).then(|| format!("known-{name}"))];
                    @if !known.is_empty() {
                        datalist id={ "known-" (name) } { @for text in known { option value=(text) {} } }
                    }
                }
            }
            p { button { (frame.pick("نمایش", "Show")) } }
            p.quick {
                a href=(frame.link("/traces", &[("outcome", "refused")])) { (frame.pick("پذیرفته‌نشده‌ها", "Refused")) } " "
                a href=(frame.link("/traces", &[("at_least", "100")])) { (frame.pick("کندتر از ۱۰۰ م‌ث", "Slower than 100 ms")) } " "
                a href=(frame.link("/traces", &[])) { (frame.pick("همه", "All")) }
            }
        }
    }
}
