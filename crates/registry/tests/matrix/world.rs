//! This module makes registries from a seed: the rows that the reference reads, and the TOML that the
//! registry is loaded from. No two grants answer the same call, by construction: own grants and grants of
//! groups are for different purposes.

use jiff::Timestamp;

pub(crate) const PROTO: &str = r#"syntax = "proto3";
package desk.v1;
import "chapar/contract/v1/options.proto";
service Desk {
  rpc Get(Ask) returns (Person) { option (chapar.contract.v1.method) = { subject: "id" purposes: ["a.read", "a.write", "b"] }; }
  rpc List(Ask) returns (stream Person) { option (chapar.contract.v1.method) = { subject: "id" purposes: ["a.read", "a.write", "b"] }; }
}
service Secret {
  rpc Get(Ask) returns (Person) { option (chapar.contract.v1.method) = { subject: "id" purposes: ["a.read", "a.write", "b"] }; }
}
message Ask { string id = 1; }
message Person {
  string id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  string name = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  string note = 3 [(chapar.contract.v1.field).class = CLASS_SECRET];
  Place place = 4;
}
message Place {
  string city = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  string street = 2 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
}
"#;

/// All registered, but the last.
pub(crate) const CALLERS: [&str; 7] = [
    "gov/welfare/benefits",
    "com/bank/loans",
    "gov/tax/audit",
    "office/a/counter",
    "office/a/scanner",
    "office/b/counter",
    "gov/nobody/nothing",
];
const MEMBERS: [(&str, &[&str], &str); 6] = [
    ("gov/desk", &["adapter"], "1501"),
    ("gov/welfare", &["benefits"], "1501"),
    ("com/bank", &["loans"], "1502"),
    ("gov/tax", &["audit"], "1502"),
    ("office/a", &["counter", "scanner"], "1501"),
    ("office/b", &["counter"], "1502"),
];
const WINDOWS: [(&str, &str); 4] = [
    ("2026-01-01", "2026-06-30"),
    ("2026-07-01", "2026-12-31"),
    ("2026-03-01", "2026-09-30"),
    ("2026-06-06", "2026-06-06"),
];

pub(crate) fn provider() -> &'static str {
    "gov/desk"
}

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) method: &'static str,
    pub(crate) purposes: Vec<&'static str>,
    pub(crate) fields: Vec<&'static str>,
    pub(crate) valid: (&'static str, &'static str),
    pub(crate) hours: bool,
    pub(crate) requires: Vec<&'static str>,
    pub(crate) pattern: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) id: String,
    pub(crate) by: String,
    pub(crate) to: String,
    pub(crate) method: &'static str,
    pub(crate) purposes: Vec<&'static str>,
    pub(crate) fields: Option<Vec<&'static str>>,
    pub(crate) valid: (&'static str, &'static str),
}

impl Delegation {
    pub(crate) fn gives(&self, field: &&str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.contains(field))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Suspension {
    pub(crate) of: String,
    pub(crate) from: Option<&'static str>,
    pub(crate) until: Option<&'static str>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) grants: Vec<Grant>,
    pub(crate) delegations: Vec<Delegation>,
    pub(crate) suspensions: Vec<Suspension>,
    /// Of the office `a`.
    pub(crate) licence: Option<(&'static str, &'static str)>,
    pub(crate) hidden: bool,
}

/// Edges of days, hours, windows and suspensions, and moments between them.
pub(crate) fn moments() -> Vec<Timestamp> {
    [
        "2025-12-31T20:29:59Z",
        "2025-12-31T20:30:00Z",
        "2026-02-28T20:29:59Z",
        "2026-03-15T09:00:00Z",
        "2026-06-05T20:30:00Z",
        "2026-06-06T03:59:59Z",
        "2026-06-06T04:00:00Z",
        "2026-06-06T10:29:59Z",
        "2026-06-06T10:30:00Z",
        "2026-06-11T06:00:00Z",
        "2026-06-30T20:29:59Z",
        "2026-06-30T20:30:00Z",
        "2026-08-15T06:00:00Z",
        "2026-09-30T20:30:00Z",
        "2026-12-31T20:30:00Z",
    ]
    .map(|text| text.parse().unwrap())
    .into()
}

/// splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn some<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        let first = self.roll(of.len());
        let mut chosen: Vec<T> = vec![of[first]];
        for (index, item) in of.iter().enumerate() {
            if index != first && self.roll(2) == 0 {
                chosen.push(*item);
            }
        }
        chosen
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut world = Self {
            grants: vec![],
            delegations: vec![],
            suspensions: vec![],
            licence: None,
            hidden: !seed.is_multiple_of(3),
        };
        for method in super::METHODS {
            for to in ["gov/welfare/benefits", "com/bank/loans", "gov/tax/audit", "office/b/counter"] {
                // Of one caller's grants for one method, each window stands once or every purpose does.
                let windows: &[_] = [&WINDOWS[..2], &WINDOWS[2..3], &WINDOWS[3..]][dice.roll(3)];
                for valid in windows {
                    if dice.roll(4) > 0 {
                        // The office is in a group that has the other purpose.
                        let purposes = if to == "office/b/counter" {
                            vec!["a.write"]
                        } else {
                            dice.some(&["a.read", "a.write"])
                        };
                        world.grant(&mut dice, to, method, purposes, *valid);
                    }
                }
            }
            for group in ["group/counters", "group/county"] {
                if dice.roll(3) > 0 {
                    let valid = WINDOWS[dice.roll(4)];
                    // The two groups share an office, so that they must not share a purpose.
                    let purposes = if group == "group/county" { vec!["b"] } else { vec!["a.read"] };
                    world.grant(&mut dice, group, method, purposes, valid);
                }
            }
            for by in ["com/bank", "gov/tax", "office/a"] {
                for purpose in ["a.read", "a.write", "b"] {
                    world.delegate(&mut dice, by, method, purpose);
                }
            }
        }
        for _ in 0..dice.roll(4) {
            let of = [
                "gov/welfare",
                "com/bank",
                "com/bank/loans",
                "office/a",
                "office/a/counter",
                "office/b",
                "gov/desk",
            ];
            let of = match dice.roll(3) {
                0 => format!("grant/{}", world.grants[dice.roll(world.grants.len())].id),
                1 if !world.delegations.is_empty() => {
                    format!("grant/{}", world.delegations[dice.roll(world.delegations.len())].id)
                }
                _ => of[dice.roll(of.len())].to_owned(),
            };
            let edges = [None, Some("2026-03-15T12:30:00+03:30"), Some("2026-06-06T07:30:00+03:30")];
            let from = edges[dice.roll(2)];
            let until = if from.is_some() { edges[2] } else { edges[dice.roll(3)] };
            world.suspensions.push(Suspension { of, from, until });
        }
        if seed == 1 {
            let from = Some("2026-03-15T12:30:00+03:30");
            let until = Some("2026-06-06T07:30:00+03:30");
            world.suspensions.push(Suspension { of: provider().to_owned(), from, until });
        }
        world.licence = (dice.roll(2) == 0).then_some(WINDOWS[dice.roll(3)]);
        world
    }

    fn grant(
        &mut self,
        dice: &mut Dice,
        to: &str,
        method: &'static str,
        purposes: Vec<&'static str>,
        valid: (&'static str, &'static str),
    ) {
        let requires = [vec![], vec!["case"], vec!["clerk"], vec!["case", "clerk"]][dice.roll(4)].clone();
        self.grants.push(Grant {
            id: format!("g{}", self.grants.len()),
            to: to.to_owned(),
            method,
            purposes,
            fields: dice.some(&["name", "note", "place.city", "place.street"]),
            valid,
            hours: dice.roll(3) == 0,
            pattern: requires.contains(&"case") && dice.roll(2) == 0,
            requires,
        });
    }

    /// At most one delegation of a member for one method and purpose, and only of what the member has.
    fn delegate(&mut self, dice: &mut Dice, by: &str, method: &'static str, purpose: &'static str) {
        let to = ["office/b", "office/a/counter", "gov/tax", "group/bus", "office/a"][dice.roll(5)];
        let fields = (dice.roll(2) == 0).then(|| dice.some(&["name", "place.city", "note"]));
        let valid = WINDOWS[dice.roll(4)];
        let delegation = Delegation {
            id: format!("d{}", self.delegations.len()),
            by: by.to_owned(),
            to: to.to_owned(),
            method,
            purposes: vec![purpose],
            fields,
            valid,
        };
        let has = self.grants.iter().any(|grant| {
            self.members_of(&grant.to).contains(&by)
                && grant.method == method
                && grant.purposes.contains(&purpose)
                && grant.fields.iter().any(|field| delegation.gives(field))
        });
        if has && dice.roll(3) > 0 && to.split('/').take(2).collect::<Vec<_>>().join("/") != by {
            self.delegations.push(delegation);
        }
    }

    /// Whether `caller` is meant by `to`.
    pub(crate) fn is(&self, caller: &str, to: &str) -> bool {
        match to {
            // By list, and of their systems the counters.
            "group/counters" => ["office/a/counter", "office/b/counter"].contains(&caller),
            // By county, of any class.
            "group/county" => {
                ["gov/welfare/benefits", "office/a/counter", "office/a/scanner"].contains(&caller)
            }
            // By county and class.
            "group/bus" => caller == "office/b/counter",
            to => caller == to || caller.strip_prefix(to).is_some_and(|rest| rest.starts_with('/')),
        }
    }

    pub(crate) fn members_of(&self, to: &str) -> Vec<&'static str> {
        let of = MEMBERS.iter().filter(|(member, systems, _)| {
            systems.iter().any(|system| self.is(&format!("{member}/{system}"), to))
        });
        of.map(|(member, _, _)| *member).collect()
    }

    /// The registry's files.
    pub(crate) fn files(&self, digest: &str) -> Vec<(String, String)> {
        let mut files = vec![(
            "bus.toml".to_owned(),
            "[bus]\ntrust_domain = \"bus.example\"\n[[group]]\nid = \"bus\"\nwhere = { county = [\"1502\"] }\nclass = \"office\"\n".to_owned(),
        )];
        for (member, systems, county) in MEMBERS {
            let mut text = format!(
                "[member]\nname = {{ fa = \"x\", en = \"x\" }}\nissuers = [\"sha256:{}\"]\nattributes = {{ county = \"{county}\" }}\n",
                "ab".repeat(32)
            );
            if let (Some((from, until)), "office/a") = (self.licence, member) {
                text += &format!(
                    "licence = {{ number = \"1\", valid = {{ from = {from}, until = {until} }} }}\n"
                );
            }
            for system in systems {
                text += &format!("[[subsystem]]\nid = \"{system}\"\n");
            }
            if member == provider() {
                text += &self.provided(digest);
            }
            self.delegations.iter().filter(|d| d.by == member).for_each(|d| text += &d.toml());
            files.push((format!("{member}.toml"), text));
        }
        let suspensions: String = self.suspensions.iter().map(Suspension::toml).collect();
        files.push(("suspensions.toml".to_owned(), suspensions));
        files
    }

    fn provided(&self, digest: &str) -> String {
        let service = |name: &str, hidden: bool| {
            format!(
                "[[service]]\ncontract = \"desk.v1.{name}\"\ndigest = \"{digest}\"\nhidden = {hidden}\nadapters = [\"spiffe://bus.example/gov/desk/adapter\"]\n"
            )
        };
        let groups = "[[group]]\nid = \"counters\"\nmembers = [\"office/a\", \"office/b\"]\nsubsystem = \"counter\"\n\
            [[group]]\nid = \"county\"\nmembers = [\"gov/welfare\"]\nwhere = { county = [\"1501\"] }\nclass = \"office\"\n";
        let grants: String = self.grants.iter().map(Grant::toml).collect();
        format!("{}{}{groups}{grants}", service("Desk", false), service("Secret", self.hidden))
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

impl Grant {
    fn toml(&self) -> String {
        let Self { id, to, method, valid: (from, until), .. } = self;
        let mut text = format!(
            "[[grant]]\nid = \"{id}\"\nto = \"{to}\"\nmethod = \"{method}\"\npurposes = [{}]\nfields = [{}]\nvalid = {{ from = {from}, until = {until} }}\nbasis = \"b\"\nrequires = [{}]\n",
            quoted(&self.purposes),
            quoted(&self.fields),
            quoted(&self.requires),
        );
        if self.hours {
            text += "hours = { days = \"sat-wed\", from = \"07:30\", until = \"14:00\" }\n";
        }
        if self.pattern {
            text += "case_pattern = '14\\d\\d/\\d+'\n";
        }
        text
    }
}

impl Delegation {
    fn toml(&self) -> String {
        let Self { id, to, method, valid: (from, until), .. } = self;
        let fields = self
            .fields
            .as_ref()
            .map_or_else(String::new, |fields| format!("fields = [{}]\n", quoted(fields)));
        format!(
            "[[delegation]]\nid = \"{id}\"\nto = \"{to}\"\nmethods = [\"{method}\"]\npurposes = [{}]\n{fields}valid = {{ from = {from}, until = {until} }}\n",
            quoted(&self.purposes)
        )
    }
}

impl Suspension {
    fn toml(&self) -> String {
        let line = |key: &str, value: Option<&str>| {
            value.map_or_else(String::new, |value| format!("{key} = {value}\n"))
        };
        format!(
            "[[suspension]]\nof = \"{}\"\nreason = \"r\"\n{}{}",
            self.of,
            line("from", self.from),
            line("until", self.until)
        )
    }
}
