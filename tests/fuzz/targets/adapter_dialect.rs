//! This target reads arbitrary text as a statement of each kind of database. It is accepted, or the finding
//! has a place in the file and can be shown; and what is written for the database has a placeholder for each
//! bound value.
#![no_main]

use chapar_adapter::compile_statement;
use chapar_fuzz::{assert_inside, assert_renders};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for url in ["sqlite:x", "postgres://r@localhost/x", "mysql://r@localhost/x"] {
        match compile_statement(url, text) {
            Ok((sql, values)) => {
                // Every value has its place; a text may hold more of the same sign in its literals.
                let sign = match url.split(':').next() {
                    Some("postgres") => "$",
                    Some("mysql") => "?",
                    _ => ":",
                };
                assert!(sql.matches(sign).count() >= values, "{url}: {values} values in {sql}");
            }
            Err(findings) => {
                for finding in findings.iter() {
                    assert_inside(text, finding.position(), 1);
                }
                assert_renders(&findings);
            }
        }
    }
});
