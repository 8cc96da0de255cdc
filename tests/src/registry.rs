//! This module has the policy of the harness's bus: a small registry in the real format, and the edits of it
//! that many tests need. A test that needs another policy edits the text.

/// Subsystems of the harness, by the short names that tests use.
pub(crate) const WELFARE: &str = "gov/welfare/benefits";

/// The file with the register's service and all grants.
pub(crate) const CIVIL: &str = "gov/civil-registry.toml";

/// The one limit that there is: of the welfare agency's first grant.
const LIMIT: &str = "{ rate = \"20/s\", burst = 40, concurrent = 16 }";
/// The one scope that there is: of the school's grant.
const ROWS: &str = "rows     = { province = [\"15\"] }\n";

/// [`CIVIL`] without a limit.
pub(crate) fn unlimited(text: String) -> String {
    replaced(&text, &format!("limit    = {LIMIT}\n"), "")
}

/// [`CIVIL`] with this limit in place of the one that there is.
pub(crate) fn limited(text: String, limit: &str) -> String {
    replaced(&text, LIMIT, limit)
}

/// [`CIVIL`] whose register is an agency's own gRPC server.
pub(crate) fn own_grpc_server(text: String) -> String {
    replaced(&text, "[[service]]", "[[service]]\nserver = \"grpc\"")
}

/// [`CIVIL`] without rows in a grant.
pub(crate) fn without_rows(text: String) -> String {
    replaced(&text, ROWS, "")
}

/// A file without addresses of services: their adapters dial.
pub(crate) fn without_endpoints(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with("endpoints"));
    kept.map(|line| format!("{line}\n")).collect()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no `{from}` in the registry:\n{text}");
    text.replace(from, to)
}

/// Path → text of every file. `{…}` is filled in by the builder.
pub(crate) const FILES: [(&str, &str); 7] = [
    ("bus.toml", "[bus]\ntrust_domain = \"lorestan.example\"\n"),
    (
        "bus/lorestan.toml",
        r#"[member]
name = { fa = "گذرگاه لرستان", en = "Lorestan bus" }
issuers = ["{issuer}"]

[[subsystem]]
id = "gateway"
"#,
    ),
    (
        CIVIL,
        r#"[member]
name = { fa = "ثبت احوال", en = "Civil Registration" }
issuers = ["{issuer}"]

[[subsystem]]
id = "adapter"

[[service]]
contract  = "civil.v1.CivilRegistry"
digest    = "{digest}"
adapters  = ["spiffe://lorestan.example/gov/civil-registry/adapter"]
endpoints = ["{endpoint}"]

[[grant]]
id       = "welfare-getperson"
to       = "gov/welfare/benefits"
method   = "civil.v1.CivilRegistry/GetPerson"
purposes = ["benefit.eligibility"]
fields   = ["given_name", "family_name", "birth_date"]
valid    = { from = 2026-01-01, until = 2027-12-31 }
limit    = { rate = "20/s", burst = 40, concurrent = 16 }
basis    = "Test decree 1"

[[grant]]
id       = "welfare-listchildren"
to       = "gov/welfare/benefits"
method   = "civil.v1.CivilRegistry/ListChildren"
purposes = ["benefit.eligibility"]
fields   = ["given_name", "birth_date"]
valid    = { from = 2026-01-01, until = 2027-12-31 }
basis    = "Test decree 2"

[[grant]]
id       = "school-getperson"
to       = "gov/school/admission"
method   = "civil.v1.CivilRegistry/GetPerson"
purposes = ["school.admission"]
fields   = ["given_name", "father_name", "life_status"]
rows     = { province = ["15"] }
valid    = { from = 2026-01-01, until = 2027-12-31 }
requires = ["case", "clerk"]
basis    = "Test decree 3"

[[grant]]
id       = "bank-getperson"
to       = "com/agri-bank/loans"
method   = "civil.v1.CivilRegistry/GetPerson"
purposes = ["loan.farm"]
fields   = ["given_name", "family_name"]
valid    = { from = 2026-01-01, until = 2027-12-31 }
basis    = "Test decree 4"

[[grant]]
id       = "bank-verify"
to       = "com/agri-bank/loans"
method   = "civil.v1.CivilRegistry/VerifyIdentity"
purposes = ["loan.farm"]
fields   = ["matches"]
valid    = { from = 2026-01-01, until = 2027-12-31 }
basis    = "Test decree 5"
"#,
    ),
    (
        "gov/welfare.toml",
        r#"[member]
name = { fa = "بهزیستی", en = "Welfare" }
issuers = ["{issuer}"]

[[subsystem]]
id = "benefits"
"#,
    ),
    (
        "gov/school.toml",
        r#"[member]
name = { fa = "آموزش", en = "Schools" }
issuers = ["{issuer}"]

[[subsystem]]
id = "admission"
"#,
    ),
    (
        "com/agri-bank.toml",
        r#"[member]
name = { fa = "بانک کشاورزی", en = "Agricultural Bank" }
issuers = ["{issuer}"]

[[subsystem]]
id = "loans"

[[delegation]]
id       = "bank-khorramabad-12"
to       = "office/khorramabad-12/counter"
methods  = ["civil.v1.CivilRegistry/GetPerson"]
purposes = ["loan.farm"]
valid    = { from = 2026-01-01, until = 2027-06-30 }
"#,
    ),
    (
        "office/khorramabad-12.toml",
        r#"[member]
name = { fa = "دفتر پیشخوان خرم‌آباد ۱۲", en = "Counter office Khorramabad 12" }
issuers = ["{issuer}"]

[[subsystem]]
id = "counter"

[[subsystem]]
id = "guest"
"#,
    ),
];
