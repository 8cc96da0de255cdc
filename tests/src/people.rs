//! This module has the invented people of the harness's civil register. National ids have valid check digits
//! and belong to no one.

use std::path::Path;

/// A mother of two in Khorramabad; every column is filled.
pub const ZAHRA: &str = "4061234560";
/// Her first child; the father's name was never entered.
pub const OMID: &str = "0200203241";
/// A valid national id that the register does not hold.
pub const NOBODY: &str = "0499370899";
const SARA: &str = "0010350829";

/// Makes the register's database from its own schema.
pub(crate) fn register(path: &Path, schema: &Path) {
    let database = rusqlite::Connection::open(path).expect("a database");
    database.execute_batch(&std::fs::read_to_string(schema).expect("schema.sql")).expect("the schema");
    let insert = "INSERT INTO person (national_id, given_name, family_name, father_name, mother_id, birth_date, birth_jalali, sex, \
                  life_status, marital_status, province, county) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 2, '15', '1501')";
    for (id, given, father, mother, birth, jalali, sex) in [
        (ZAHRA, "زهرا", Some("علی"), None, "1982-09-06", "1361/06/15", "F"),
        (OMID, "امید", None, Some(ZAHRA), "2008-03-21", "1387/01/02", "M"),
        (SARA, "سارا", Some("رضا"), Some(ZAHRA), "2012-01-01", "1390/10/11", "F"),
    ] {
        database
            .execute(insert, rusqlite::params![id, given, "کریمی", father, mother, birth, jalali, sex])
            .expect("a person");
    }
}
