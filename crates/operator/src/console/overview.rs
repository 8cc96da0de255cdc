//! The first page: checks that do not hold, the gateways, the services, and the calls by method and outcome.

use std::collections::BTreeMap;

use chapar_client::{ServiceStatus, Status};
use chapar_model::Language;
use chapar_transport::tls::HumanDuration;
use maud::{Markup, html};

use super::page::{Frame, dot, ltr};
use crate::bus::{Answer, Seen};
use crate::check::{Check, Mark};

pub(super) fn title(language: Language) -> &'static str {
    language.pick("نمای کلی", "Overview")
}

pub(super) fn content(frame: &Frame, answers: &[Answer<Seen>], checks: &[Check]) -> Markup {
    let statuses: Vec<&Status> =
        answers.iter().filter_map(|answer| answer.answer.as_ref().ok()).map(|seen| &seen.status).collect();
    html! {
        section { h2 { (frame.pick("بررسی‌ها", "Checks")) } (checked(frame, checks)) }
        section { h2 { (frame.pick("دروازه‌ها", "Gateways")) } (gateways(frame, answers)) }
        section { h2 { (frame.pick("سرویس‌ها", "Services")) } (services(frame, &statuses)) }
        section { h2 { (frame.pick("پاسخ‌ها از آغاز کار دروازه‌ها", "Calls since the gateways began")) } (calls(frame, &statuses)) }
    }
}

/// What does not hold; how many do.
fn checked(frame: &Frame, checks: &[Check]) -> Markup {
    let good = checks.iter().filter(|check| check.mark == Mark::Good).count();
    let found = checks.iter().filter(|check| check.mark != Mark::Good);
    html! {
        @if good == checks.len() {
            p { (dot("good")) (frame.pick("همه برقرارند", "All hold")) " (" (frame.number(good as u64)) ")" }
        } @else {
            ul.checks {
                @for check in found {
                    li.(check.mark.as_str()) {
                        strong { (check.mark.sign()) " " (ltr(check.id.as_str())) } " " (ltr(&check.of)) ": " (ltr(&check.text))
                        @if let Some(fix) = &check.fix { br; (frame.pick("چاره: ", "To do: ")) (ltr(fix)) }
                    }
                }
            }
            p { (frame.number(good as u64)) " " (frame.pick("بررسی دیگر برقرارند", "other checks hold")) }
        }
    }
}

fn gateways(frame: &Frame, answers: &[Answer<Seen>]) -> Markup {
    let language = frame.language();
    html! {
        table {
            thead { tr {
                th { (frame.pick("نشانی", "Address")) } th { (frame.pick("وضع", "State")) } th { (frame.pick("نسخه", "Version")) }
                th { (frame.pick("روشن", "Up")) } th { (frame.pick("در جریان", "In flight")) } th { (frame.pick("اتصال‌ها", "Connections")) }
                th { (frame.pick("ثبت‌ها", "Records")) } th { (frame.pick("امضا شده", "Signed")) }
            } }
            tbody { @for Answer { gateway, answer } in answers {
                tr {
                    td { (ltr(gateway)) }
                    @match answer {
                        Ok(Seen { status, .. }) => {
                            td {
                                @if status.is_ready { (dot("good")) (frame.pick("پذیرا", "takes calls")) }
                                @else { (dot("failed")) (ltr(&status.not_ready)) }
                            }
                            td { (ltr(&status.version)) }
                            td { (ltr(&HumanDuration(status.now_ms.saturating_sub(status.started_ms) / 1000).to_string())) }
                            td { (frame.number(status.calls_in_flight)) }
                            td { (frame.number(status.caller_connections)) " + " (frame.number(status.adapter_connections)) }
                            td { (frame.number(status.evidence.as_ref().map_or(0, |log| log.size))) }
                            td { (frame.number(status.evidence.as_ref().map_or(0, |log| log.checkpoint_size))) }
                        }
                        Err(error) => { td colspan="7" { (dot("failed")) (ltr(&error.to_string())) } }
                    }
                }
            } }
        }
        p.hint { (language.pick("اتصال‌ها: فراخوان‌ها + رابط‌ها", "Connections: callers + adapters")) }
    }
}

/// Each service once, with the endpoints that each gateway sees.
fn services(frame: &Frame, statuses: &[&Status]) -> Markup {
    let mut by_name: BTreeMap<&str, Vec<&ServiceStatus>> = BTreeMap::new();
    for service in statuses.iter().flat_map(|status| &status.services) {
        by_name.entry(&service.name).or_default().push(service);
    }
    let list = |of_each: &[&ServiceStatus], number: fn(&ServiceStatus) -> u64| {
        of_each.iter().map(|service| frame.number(number(service))).collect::<Vec<_>>().join(" · ")
    };
    html! {
        table {
            thead { tr {
                th { (frame.pick("سرویس", "Service")) } th { (frame.pick("دستگاه", "Agency")) } th { (frame.pick("برپا", "Up")) }
                th { (frame.pick("مدارشکن باز", "Breaker open")) } th { (frame.pick("در صف", "Waiting")) } th {}
            } }
            tbody { @for (name, of_each) in &by_name {
                @let first = of_each.first();
                @let is_up = of_each.iter().all(|service| service.up > 0);
                tr {
                    td { (dot(if is_up { "good" } else { "failed" })) (ltr(name)) }
                    td { (first.map_or("", |service| frame.pick(&service.provider_name_fa, &service.provider_name_en))) }
                    td { (list(of_each, |service| service.up)) }
                    td { (list(of_each, |service| service.ejected)) }
                    td { (list(of_each, |service| service.waiting)) }
                    td { a href=(frame.link("/traces", &[("method", name)])) { (frame.pick("فراخوانی‌ها", "calls")) } }
                }
            } }
        }
    }
}

/// Calls by method: how many were answered, and what the others were refused for.
fn calls(frame: &Frame, statuses: &[&Status]) -> Markup {
    let mut by_method: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for call in statuses.iter().flat_map(|status| &status.calls) {
        *by_method.entry(&call.method).or_default().entry(&call.outcome).or_default() += call.count;
    }
    html! {
        table {
            thead { tr { th { (frame.pick("متد", "Method")) } th { "OK" } th { (frame.pick("پذیرفته نشد", "Refused")) } } }
            tbody { @for (method, outcomes) in &by_method {
                tr {
                    td { (ltr(method)) }
                    td { (frame.number(outcomes.get("OK").copied().unwrap_or_default())) }
                    td {
                        @for (outcome, count) in outcomes.iter().filter(|(outcome, _)| **outcome != "OK") {
                            // Calls of methods that the registry does not know have no method in their
                            // traces.
                            @let of_method = ("method", if *method == "unknown" { "" } else { *method });
                            a.outcome href=(frame.link("/traces", &[of_method, ("outcome", outcome)])) {
                                (ltr(outcome)) " " (frame.number(*count))
                            } " "
                        }
                    }
                }
            } }
        }
    }
}
