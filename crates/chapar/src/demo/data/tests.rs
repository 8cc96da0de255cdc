//! These tests check what the five databases promise together: the same people, complete files or none, and
//! gaps in the documented shares.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use rusqlite::Connection;

use super::*;

const PEOPLE: u32 = 20_000;

fn built() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), PEOPLE).unwrap();
    dir
}

fn count(dir: &Path, register: &str, sql: &str) -> f64 {
    let database = Connection::open(dir.join(format!("{register}.db"))).unwrap();
    for other in REGISTERS {
        let path = dir.join(format!("{other}.db"));
        database.execute(&format!("ATTACH ?1 AS {other}_db"), [path.to_str().unwrap()]).unwrap();
    }
    database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as f64
}

#[test]
fn gaps_have_the_documented_shares() {
    let dir = built();
    let count = |register, sql| count(dir.path(), register, sql);
    let persons = count("civil", "SELECT count(*) FROM person");
    let missing = 1.0 - persons / f64::from(PEOPLE);
    assert!((0.025..0.035).contains(&missing), "{missing}");
    let insured = count("health", "SELECT count(*) FROM insured");
    assert!((0.965..0.975).contains(&(insured / f64::from(PEOPLE))));
    let nameless = count("civil", "SELECT count(*) FROM person WHERE father_name IS NULL") / persons;
    assert!((0.025..0.035).contains(&nameless), "{nameless}");
    let misspelt = count(
        "health",
        "SELECT count(*) FROM insured JOIN civil_db.person ON national_id = code_melli WHERE surname <> family_name",
    ) / insured;
    assert!((0.005..0.012).contains(&misspelt), "{misspelt}");
}

#[test]
fn nobody_is_in_a_register_who_does_not_exist() {
    let dir = built();
    let all = People::new(SEED, PEOPLE);
    let database = Connection::open(dir.path().join("civil.db")).unwrap();
    database.execute("CREATE TEMP TABLE everybody (id TEXT PRIMARY KEY)", []).unwrap();
    for person in all.families().flat_map(|family| family.people) {
        database.execute("INSERT INTO everybody VALUES (?1)", [person.national_id]).unwrap();
    }
    for (register, id, table) in [
        ("civil", "national_id", "person"),
        ("civil", "coalesce(father_id, mother_id, national_id)", "person"),
        ("health", "code_melli", "insured"),
        ("health", "coalesce(main_insured, code_melli)", "insured"),
        ("education", "student_id", "enrolment"),
        ("education", "student_id", "degree"),
        ("agriculture", "national_code", "farmer"),
        ("agriculture", "farmer", "parcel"),
        ("banking", "national_id", "customer"),
        ("banking", "owner", "account"),
    ] {
        let path = dir.path().join(format!("{register}.db"));
        database.execute("ATTACH ?1 AS other", [path.to_str().unwrap()]).unwrap();
        let sql = format!("SELECT count(*) FROM other.{table} WHERE {id} NOT IN (SELECT id FROM everybody)");
        let strangers: i64 = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(strangers, 0, "{table}");
        database.execute("DETACH other", []).unwrap();
    }
}

#[test]
fn the_sample_says_truly_which_registers_hold_a_person() {
    let dir = built();
    let sample = sample(PEOPLE).unwrap();
    assert_eq!(sample[0].has, REGISTERS);
    assert!(sample[0].iban.is_some() && sample.len() > 8);
    assert!(sample.iter().any(|one| one.has.len() == 4));
    let ids = [
        ("civil", "person", "national_id"),
        ("health", "insured", "code_melli"),
        ("education", "enrolment", "student_id"),
        ("agriculture", "farmer", "national_code"),
        ("banking", "customer", "national_id"),
    ];
    for one in &sample {
        for (register, table, id) in ids {
            let held = count(
                dir.path(),
                register,
                &format!("SELECT count(*) FROM {table} WHERE {id} = '{}'", one.national_id),
            );
            assert_eq!(held == 1.0, one.has.iter().any(|name| name == register), "{register}");
        }
    }
}

#[test]
fn the_applicant_has_children_parcels_degrees_and_a_good_standing() {
    let dir = built();
    let id = &sample(PEOPLE).unwrap()[0].national_id;
    for (register, sql, least) in [
        ("civil", "SELECT count(*) FROM person WHERE father_id = ", 2.0),
        ("health", "SELECT count(*) FROM insured WHERE main_insured = ", 3.0),
        ("education", "SELECT count(*) FROM degree WHERE student_id = ", 3.0),
        ("agriculture", "SELECT count(*) FROM parcel WHERE farmer = ", 2.0),
        ("banking", "SELECT count(*) FROM customer WHERE standing = 1 AND national_id = ", 1.0),
    ] {
        let rows = count(dir.path(), register, &format!("{sql}'{id}'"));
        assert!(rows >= least, "{register}: {rows}");
    }
}

#[test]
fn the_fewest_people_already_include_the_applicant_and_the_same_ones_come_every_time() {
    let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = build(first.path(), MIN_PEOPLE).unwrap();
    build(second.path(), MIN_PEOPLE).unwrap();
    assert_eq!(one.sample[0].has.len(), 5);
    for name in REGISTERS {
        let [a, b] =
            [&first, &second].map(|dir| std::fs::read(dir.path().join(format!("{name}.db"))).unwrap());
        assert!(a == b, "{name} differs");
    }
}

#[test]
fn a_build_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".education.db.partial")).unwrap();
    let error = build(dir.path(), 200).unwrap_err();
    assert!(error.to_string().contains(".education.db.partial"), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".education.db.partial"]);
}

#[test]
fn a_build_that_is_stopped_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(matches!(build_until(dir.path(), 200, &stop), Err(Error::Stopped)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn too_few_and_too_many_people_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for people in [0, MIN_PEOPLE - 1, MAX_PEOPLE + 1] {
        assert!(matches!(build(dir.path(), people), Err(Error::People(_))));
    }
}
