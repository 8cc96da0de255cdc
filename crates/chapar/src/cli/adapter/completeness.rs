//! This module implements `chapar adapter completeness`: how completely an adapter's methods were answered,
//! as its state folder has it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chapar_adapter::{Config, Counts, FieldCounts};
use chapar_contract::{JALALI_YEARS, gregorian_of_jalali};
use chapar_model::{Clock, tehran};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::json;

use super::super::list::Output;
use super::super::rights::table;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Days that are shown if the first one is not given: a month and the day before it.
const DAYS_SHOWN: i64 = 31;

/// Show how completely the adapter's methods were answered
///
/// The first table has a line for each method: calls that were answered in full, in part (a field was NULL),
/// without a record, and not at all because of the database. The second has a line for each field that was
/// NULL in some record. The counts are those of calls that the bus made; they name no record. A running
/// adapter writes them every minute, and when it stops.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar adapter completeness --since 2026-11-01 --until 2026-11-30 --config adapter.toml"
)]
pub(super) struct Args {
    /// The settings file of the adapter, `adapter.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The first day in Asia/Tehran [default: 31 days before the last]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    since: Option<Date>,
    /// The last day [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    until: Option<Date>,
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
}

/// Reads a day of the Gregorian calendar.
fn day(text: &str) -> Result<Date, String> {
    let day: Date = text.parse().map_err(|_| "not a day, such as 2026-11-27".to_owned())?;
    if !JALALI_YEARS.contains(&i32::from(day.year())) {
        return Ok(day);
    }
    let month = day.month().unsigned_abs();
    let of_month = day.day().unsigned_abs();
    match gregorian_of_jalali(day.year().into(), month, of_month) {
        Some(gregorian) => Err(format!("a day of the Jalali calendar; write {gregorian}")),
        None => Err("a year of the Jalali calendar; write a Gregorian day".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = Config::load(&args.config).map_err(Failure::finding)?;
    let until = args.until.unwrap_or_else(|| tehran::day(Clock::system().now()));
    let since = args.since.unwrap_or_else(|| until.saturating_sub(DAYS_SHOWN.days()));
    if since > until {
        return Err(Failure::usage(format!("--since {since} is after --until {until}")));
    }
    let methods = chapar_adapter::completeness(&config.state, since, until)
        .map_err(|error| Failure::new(Exit::Finding, error))?;
    if let Output::Json = args.output {
        out::data(json!({ "since": since, "until": until, "methods": methods }));
        return Ok(Exit::Ok);
    }
    out::data(format_args!("Completeness from {since} to {until}, days in Asia/Tehran"));
    if methods.is_empty() {
        out::say("no call was counted in these days");
        return Ok(Exit::Ok);
    }
    out::data("");
    table(&of_methods(&methods)).iter().for_each(out::data);
    let fields = of_fields(&methods);
    if fields.len() > 1 {
        out::data("");
        table(&fields).iter().for_each(out::data);
    }
    Ok(Exit::Ok)
}

fn of_methods(methods: &BTreeMap<String, Counts>) -> Vec<Vec<String>> {
    let head = ["METHOD", "CALLS", "FULL", "PARTIAL", "NO RECORD", "FAILED"];
    let row = |(method, counts): (&String, &Counts)| {
        let calls = counts.calls();
        let shares = [counts.full, counts.partial, counts.missing, counts.failed];
        let shares = shares.map(|count| share(count, calls));
        [method.clone(), calls.to_string()].into_iter().chain(shares).collect()
    };
    std::iter::once(head.map(str::to_owned).to_vec()).chain(methods.iter().map(row)).collect()
}

/// The fields that were NULL in some record, of each method the most often absent first.
fn of_fields(methods: &BTreeMap<String, Counts>) -> Vec<Vec<String>> {
    let mut rows = vec![["METHOD", "FIELD", "RECORDS", "NULL", "SHARE"].map(str::to_owned).to_vec()];
    for (method, counts) in methods {
        let absent = counts.fields.iter().filter(|(_, counts)| counts.absent > 0);
        let mut absent: Vec<(&String, &FieldCounts)> = absent.collect();
        // Compared as fractions: a field that few grants have is as absent as its share says.
        absent.sort_by(|(_, one), (_, other)| {
            let left = u128::from(other.absent) * u128::from(one.records);
            left.cmp(&(u128::from(one.absent) * u128::from(other.records)))
        });
        rows.extend(absent.into_iter().map(|(field, counts)| {
            let share = share(counts.absent, counts.records);
            vec![method.clone(), field.clone(), counts.records.to_string(), counts.absent.to_string(), share]
        }));
    }
    rows
}

/// A share in per cent with one decimal; rounded, but 0 and 100 only if it is that.
fn share(part: u64, of: u64) -> String {
    if part == 0 || of == 0 {
        return "0 %".to_owned();
    }
    if part == of {
        return "100 %".to_owned();
    }
    let tenths = (u128::from(part) * 1000 + u128::from(of) / 2) / u128::from(of);
    let tenths = tenths.clamp(1, 999);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_and_neither_none_nor_all_unless_it_is() {
        for (part, of, told) in [
            (0, 7, "0 %"),
            (7, 7, "100 %"),
            (1, 3, "33.3 %"),
            (2, 3, "66.7 %"),
            (1, 1_000_000, "0.1 %"),
            (999_999, 1_000_000, "99.9 %"),
        ] {
            assert_eq!(share(part, of), told);
        }
    }

    #[test]
    fn a_jalali_day_is_told_with_its_gregorian_one() {
        assert_eq!(day("2026-11-27").map(|day| day.to_string()), Ok("2026-11-27".to_owned()));
        assert_eq!(day("1405-09-06"), Err("a day of the Jalali calendar; write 2026-11-27".to_owned()));
        assert!(day("27/11/2026").is_err());
    }

    #[test]
    fn fields_are_sorted_by_their_share() {
        let field = |records, absent| FieldCounts { records, absent };
        let fields = [("few", field(10, 9)), ("many", field(1000, 100)), ("none", field(5, 0))];
        let fields = fields.map(|(name, counts)| (name.to_owned(), counts)).into();
        let methods = [("a.v1.A/Get".to_owned(), Counts { fields, ..Counts::default() })].into();
        let rows = of_fields(&methods);
        let told: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
        assert_eq!(told, ["FIELD", "few", "many"]);
    }
}
