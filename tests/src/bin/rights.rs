//! `rights` makes a registry of 10,000 members, 100,000 grants and 5,000 offices in groups in a temporary
//! folder, and measures how long it takes to load, how much memory it holds, and how long a decision takes.
//! See `tests/README.md`.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a command of the tests")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use chapar_contract::Contract;
use chapar_model::{MemberId, Purpose, SubsystemId};
use chapar_registry::{Question, Registry};
use hdrhistogram::Histogram;
use jiff::Timestamp;

const PROVIDERS: usize = 100;
const CONSUMERS: usize = 4_900;
const OFFICES: usize = 5_000;
const GRANTS: usize = 100_000;
/// Of those, for all offices of a county.
const OF_GROUPS: usize = 200;
const COUNTIES: usize = 10;
const METHODS: usize = 10;
const DECISIONS: usize = 2_000_000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let contract = contract(folder.path());
    let dir = folder.path().join("registry");
    files(&dir, contract.digest());
    let contracts = [contract];
    let before = resident();
    let started = Instant::now();
    let registry = Registry::load(&dir, &contracts).unwrap_or_else(|errors| panic!("{errors}"));
    let loaded = started.elapsed();
    println!("load: {loaded:.2?}; {} MiB, {} MiB before", resident() / 1024, before / 1024);
    let started = Instant::now();
    let again = Registry::load(&dir, &contracts).unwrap_or_else(|errors| panic!("{errors}"));
    let took = started.elapsed();
    let both = resident();
    println!(
        "the next one, beside it: {took:.2?}; {} MiB with both; {} grants",
        both / 1024,
        again.grants().count()
    );
    drop(again);
    decisions(&registry);
}

/// Decisions of callers at random: their own grants, those of their group, by a delegation, and none.
fn decisions(registry: &Registry) {
    let now: Timestamp = "2026-11-24T08:00:00Z".parse().expect("a moment");
    let purpose: Purpose = "p.one".parse().expect("a purpose");
    let member: MemberId = "com/c0".parse().expect("a member");
    let callers: Vec<SubsystemId> = (0..CONSUMERS)
        .map(|n| format!("com/c{n}/s"))
        .chain((0..OFFICES).map(|n| format!("office/o{n}/counter")))
        .map(|id| id.parse().expect("a subsystem"))
        .collect();
    let methods: Vec<_> = (0..PROVIDERS * METHODS).filter_map(|n| registry.method(&path(n))).collect();
    let mut times = [(); 2].map(|()| Histogram::<u64>::new(3).expect("a histogram"));
    let mut dice = 1_u64;
    let mut next = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    for n in 0..DECISIONS {
        let caller = next(callers.len());
        // Half of the questions hit a grant.
        let method = match n % 2 {
            0 if caller < CONSUMERS => granted(caller, next((GRANTS - OF_GROUPS) / CONSUMERS)),
            0 => of_county((caller - CONSUMERS) % COUNTIES, next(OF_GROUPS / COUNTIES)),
            _ => next(methods.len()),
        };
        let question = Question {
            caller: &callers[caller],
            method: methods[method],
            purpose: Some(&purpose),
            case: None,
            clerk: None,
            on_behalf_of: (n % 16 == 15).then_some(&member),
            now,
        };
        let started = Instant::now();
        let decision = black_box(registry.decide(black_box(&question)));
        let elapsed = started.elapsed();
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).max(1);
        times[usize::from(decision.is_err())].record(nanoseconds).expect("a duration");
    }
    for (what, histogram) in ["allowed", "refused"].iter().zip(&times) {
        let at = |quantile: f64| histogram.value_at_quantile(quantile);
        println!(
            "{what}, {} times: p50 {} ns, p99 {} ns, p99.9 {} ns, the clock's own reading included",
            histogram.len(),
            at(0.5),
            at(0.99),
            at(0.999),
        );
    }
}

/// The method of a consumer's grant; each of a consumer's grants is for another one.
fn granted(consumer: usize, grant: usize) -> usize {
    (consumer * 7 + grant * 41) % (PROVIDERS * METHODS)
}

fn of_county(county: usize, grant: usize) -> usize {
    (county * 3 + grant * 5) % (PROVIDERS * METHODS)
}

fn path(method: usize) -> String {
    format!("big.v1.S{}/M{}", method / METHODS, method % METHODS)
}

fn contract(folder: &Path) -> Contract {
    let mut text =
        String::from("syntax = \"proto3\";\npackage big.v1;\nimport \"chapar/contract/v1/options.proto\";\n");
    for service in 0..PROVIDERS {
        writeln!(text, "service S{service} {{").expect("a line");
        for method in 0..METHODS {
            writeln!(text, "  rpc M{method}(Ask) returns (Person) {{ option (chapar.contract.v1.method) = {{ subject: \"id\" purposes: [\"p.one\", \"p.two\"] row_scopes: [\"province\"] }}; }}").expect("a line");
        }
        text.push_str("}\n");
    }
    text.push_str("message Ask { string id = 1; }\nmessage Person {\n  string id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];\n");
    for field in 2..12 {
        writeln!(text, "  string f{field} = {field} [(chapar.contract.v1.field).class = CLASS_PERSONAL];")
            .expect("a line");
    }
    text.push_str("}\n");
    let dir = folder.join("big");
    std::fs::create_dir(&dir).expect("a folder");
    std::fs::write(dir.join("big.proto"), text).expect("a file");
    Contract::load(&dir).unwrap_or_else(|error| panic!("{error}"))
}

fn files(dir: &Path, digest: &str) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let issuer = "ab".repeat(32);
    let member = |more: &str, subsystem: &str| {
        format!(
            "[member]\nname = {{ fa = \"نام\", en = \"name\" }}\nissuers = [\"sha256:{issuer}\"]\n{more}\n[[subsystem]]\nid = \"{subsystem}\"\n"
        )
    };
    let mut bus = String::from("[bus]\ntrust_domain = \"bus.example\"\n");
    for county in 0..COUNTIES {
        writeln!(bus, "[[group]]\nid = \"county-{county}\"\nwhere = {{ county = [\"{county}\"] }}\nclass = \"office\"\nsubsystem = \"counter\"").expect("a line");
    }
    write("bus.toml", &bus);
    for office in 0..OFFICES {
        let county = format!("attributes = {{ county = \"{}\" }}\n", office % COUNTIES);
        write(&format!("office/o{office}.toml"), &member(&county, "counter"));
    }
    for consumer in 0..CONSUMERS {
        write(&format!("com/c{consumer}.toml"), &member("", "s"));
    }
    let mut providers: Vec<String> = (0..PROVIDERS)
        .map(|n| {
            let service = format!("[[service]]\ncontract = \"big.v1.S{n}\"\ndigest = \"{digest}\"\nadapters = [\"spiffe://bus.example/gov/p{n}/adapter\"]\n");
            member("", "adapter") + &service
        })
        .collect();
    let mut grant = |id: &str, to: &str, method: usize| {
        let text = format!(
            "[[grant]]\nid = \"{id}\"\nto = \"{to}\"\nmethod = \"{}\"\npurposes = [\"p.one\"]\nfields = [\"f2\", \"f3\", \"f4\"]\nrows = {{ province = [\"15\"] }}\nvalid = {{ from = 2026-01-01, until = 2027-12-31 }}\nlimit = {{ rate = \"20/s\", burst = 40, concurrent = 16 }}\nbasis = \"Cabinet decree 1404/118, article 3\"\n",
            path(method)
        );
        providers[method / METHODS].push_str(&text);
    };
    for n in 0..OF_GROUPS {
        let county = n % COUNTIES;
        let nth = n / COUNTIES;
        grant(&format!("g{n}"), &format!("group/county-{county}"), of_county(county, nth));
    }
    for n in 0..GRANTS - OF_GROUPS {
        let consumer = n % CONSUMERS;
        let nth = n / CONSUMERS;
        grant(&format!("c{n}"), &format!("com/c{consumer}/s"), granted(consumer, nth));
    }
    for (n, text) in providers.iter().enumerate() {
        write(&format!("gov/p{n}.toml"), text);
    }
}

/// KiB that the process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
