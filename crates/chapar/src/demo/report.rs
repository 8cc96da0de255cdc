//! This module prints the demo's output: the story step by step, or one JSON document at its end, and the
//! commands to try next.

use std::time::Duration;

use serde_json::json;

use super::bus::Bus;
use super::folder::Databases;
use super::page;
use super::registry::{COUNTER, WELFARE};
use super::story::show::{millis, span};
use super::story::{CASE, CLERK, Step};
use crate::exit::Exit;
use crate::out;

/// The story in one of its two forms.
pub(super) struct Report {
    is_json: bool,
    setup: Duration,
}

impl Report {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json, setup: Duration::ZERO }
    }

    /// The bus is up, `setup` after the start.
    pub(super) fn ready(&mut self, bus: &Bus, made: &Databases, setup: Duration) {
        self.setup = setup;
        if self.is_json {
            return;
        }
        let from = if made.is_new { "made" } else { "taken up" };
        out::data("Chapar چاپار: the record crosses the bus, and the citizen carries no paper.");
        out::data("");
        out::data(format_args!(
            "{} invented citizens in 5 registers, 5 adapters, {}, mutual TLS between all: {from} in {}",
            made.people,
            match bus.gateways.len() {
                1 => "1 gateway".to_owned(),
                several => format!("{several} gateways"),
            },
            span(setup)
        ));
        out::data(format_args!(
            "gateway {}   admin http://{}   folder {}",
            bus.gateway,
            bus.admin,
            bus.dir.display()
        ));
    }

    /// One more step has come out.
    pub(super) fn step(&self, step: &Step) {
        if self.is_json {
            return;
        }
        let mark = if step.ok { "✓" } else { "✗" };
        out::data("");
        out::data(format_args!("{mark} {}. {}  {}", step.number, step.title, step.title_fa));
        for line in &step.lines {
            out::data(format_args!("     {line}"));
        }
        out::data(format_args!("   → {} ({:.1} ms)", step.outcome, step.took_ms));
    }

    /// The story is over.
    pub(super) fn end(&self, bus: &Bus, made: &Databases, steps: &[Step], once: bool) -> Exit {
        let wrong: Vec<&Step> = steps.iter().filter(|step| !step.ok).collect();
        // A story without steps has failed, because it has shown nothing.
        let ok = wrong.is_empty() && !steps.is_empty();
        for step in &wrong {
            out::say(format_args!(
                "step {} ({}) did not come out as expected: {}",
                step.number, step.title, step.outcome
            ));
        }
        if self.is_json {
            out::data(json!({
                "ok": ok, "people": made.people, "setup_ms": millis(self.setup), "dir": bus.dir,
                "gateway": bus.gateway.to_string(), "admin": format!("http://{}", bus.admin), "steps": steps,
            }));
        }
        // The closing line is for people only, and is left out if a step went wrong.
        if !self.is_json && ok {
            out::data("");
            out::data(format_args!(
                "All {} steps came out as expected. همه چیز همان شد که باید.",
                steps.len()
            ));
        }
        if !once {
            self.invite(bus, made);
        }
        if ok { Exit::Ok } else { Exit::Finding }
    }

    /// How to try it oneself. Talk, so that a JSON document stays one.
    fn invite(&self, bus: &Bus, made: &Databases) {
        let say = |line: String| if self.is_json { out::say(line) } else { out::data(line) };
        let citizen = made.sample.first().map_or("NATIONAL_ID", |sample| sample.national_id.as_str());
        // With `--json` these lines go to standard error, as logs do. Tests search that output for citizens'
        // data, so the id is left out.
        let citizen = if self.is_json { "NATIONAL_ID" } else { citizen };
        say(String::new());
        say("Try it yourself, in another terminal:".to_owned());
        say(format!("  export CHAPAR_DEMO={} CHAPAR_AS={WELFARE}", bus.dir.display()));
        say("  chapar list".to_owned());
        say(format!(
            "  chapar call civil.v1.CivilRegistry/GetPerson national_id={citizen} --purpose benefit.eligibility"
        ));
        // Its account number is a value of the citizen, as the id is.
        let iban = made.sample.first().and_then(|sample| sample.iban.as_deref());
        let iban = iban.filter(|_| !self.is_json).unwrap_or("IBAN");
        say(format!(
            "  chapar ask farm-loan {citizen} iban={iban} --case {CASE} --clerk {CLERK} --as {COUNTER}"
        ));
        say("  chapar evidence verify $CHAPAR_DEMO/evidence".to_owned());
        say("  chapar auditor status --config $CHAPAR_DEMO/auditor.toml".to_owned());
        say(format!("  curl http://{}/metrics", bus.admin));
        say(String::new());
        let password = bus.dir.join(page::PASSWORD_FILE);
        say(format!(
            "The counter's page: {}  clerk {CLERK}, password in {}; trust {} in the browser",
            page::url(bus.page),
            password.display(),
            bus.dir.join("pki/ca.crt").display()
        ));
        say("The bus is up. Ctrl-C stops it.".to_owned());
    }
}
