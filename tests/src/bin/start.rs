//! `start` measures how long a gateway's evidence log takes to open, by its size: from the resume file, which
//! is the normal start, and from the log's beginning, which is the start if that file cannot be used; and how
//! long it takes to count quotas from all of its records, as if they were of the last day. Each is done three
//! times in turns, and the fastest counts.
//!
//! `cargo run --release -p chapar-tests --bin start -- [RECORDS …]`, by default 10000 100000 1000000.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chapar_evidence::{Config, Kind, Log, RECORD_VERSION, RecordDraft, create_keys};
use chapar_limit::{QuotaCall, QuotaKeeper};
use chapar_model::{CallId, Clock, GrantId, Quotas, SubjectQuota};

type Error = Box<dyn std::error::Error + Send + Sync>;

const GRANT: &str = "welfare-getperson";
/// Records that wait for the disk at once while the log is made.
const AT_ONCE: u64 = 4096;

#[tokio::main]
async fn main() -> ExitCode {
    let sizes: Result<Vec<u64>, _> = std::env::args().skip(1).map(|size| size.parse()).collect();
    let measured = match sizes {
        Ok(sizes) if sizes.is_empty() => measure(&[10_000, 100_000, 1_000_000]).await,
        Ok(sizes) => measure(&sizes).await,
        Err(error) => Err(error.into()),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("start: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(sizes: &[u64]) -> Result<(), Error> {
    say("records     log     resumed  from its beginning  quotas counted");
    for size in sizes {
        let folder = tempfile::tempdir()?;
        let config = config(folder.path())?;
        let log = Log::open(config.clone(), Clock::system())?;
        fill(&log, *size).await?;
        log.close().await?;
        let (mut best, mut counted) = ([Duration::MAX; 2], Duration::MAX);
        for _ in 0..3 {
            for (kind, best) in best.iter_mut().enumerate() {
                let kept = config.state.join("resume.kept");
                if kind == 1 && config.state.join("resume").exists() {
                    std::fs::rename(config.state.join("resume"), &kept)?;
                }
                let began = Instant::now();
                let log = Log::open(config.clone(), Clock::system())?;
                *best = began.elapsed().min(*best);
                counted = count_quotas(&log, *size)?.min(counted);
                log.close().await?;
                if kept.exists() {
                    std::fs::rename(&kept, config.state.join("resume"))?;
                }
            }
        }
        let bytes = bytes(&config.path.join("segments"))?;
        let [resumed, whole, counted] =
            [best[0], best[1], counted].map(|time| format!("{:.0} ms", time.as_secs_f64() * 1e3));
        say(&format!("{size:>9} {:>4} MiB {resumed:>10} {whole:>19} {counted:>15}", bytes >> 20));
    }
    Ok(())
}

/// Counts every record into quotas of calls, citizens and citizens of a clerk.
fn count_quotas(log: &Log, size: u64) -> Result<Duration, Error> {
    let grant: GrantId = GRANT.parse()?;
    let most = NonZeroU32::new(u32::MAX);
    let subjects = SubjectQuota { hour: most, day: most };
    let quotas = Quotas { daily: most, subjects, clerk_subjects: subjects };
    let mut keeper = QuotaKeeper::new([(grant.clone(), quotas)], NonZeroU32::MIN);
    let now_ms = Clock::system().now().as_millisecond().unsigned_abs();
    let began = Instant::now();
    let mut records = 0;
    log.recent(0, &mut |_, record| {
        records += 1;
        let call = QuotaCall {
            grant: &grant,
            caller: &record.caller,
            clerk: &record.clerk,
            subject: &record.subject_pseudonym,
            at_ms: record.time_unix_ms,
        };
        keeper.recorded(&call, now_ms);
    })?;
    if records < size {
        return Err(format!("{records} of {size} records were counted").into());
    }
    Ok(began.elapsed())
}

fn config(folder: &Path) -> Result<Config, Error> {
    let at = |name: &str| folder.join(name);
    create_keys("bus.example/evidence", &at("key"), &at("pub"), &at("period"))?;
    Ok(Config {
        path: at("log"),
        state: at("state"),
        origin: "bus.example/evidence".to_owned(),
        signing_key: at("key"),
        period_key: at("period"),
        checkpoint_every: Duration::from_secs(1),
        queue: usize::try_from(AT_ONCE)?,
        low_water: 0,
    })
}

/// Writes records as those of unary calls are.
async fn fill(log: &Log, size: u64) -> Result<(), Error> {
    let mut written = 0;
    while written < size {
        let mut waiting = Vec::new();
        for _ in 0..AT_ONCE.min(size - written) {
            let call = CallId::now();
            let draft = RecordDraft {
                version: RECORD_VERSION,
                kind: Kind::Unary,
                call_id: call.as_bytes(),
                time_unix_ms: log.time_ms(Clock::system().now().as_millisecond().unsigned_abs()),
                caller: "lorestan.example/gov/welfare/benefits",
                method: "civil.v1.CivilRegistry/GetPerson",
                purpose: "benefit.eligibility",
                clerk: "z.karimi",
                grant: GRANT,
                outcome: "OK",
                subject_pseudonym: &log.pseudonym(&(written + waiting.len() as u64).to_string()),
                request_commitment: &log.commit(&call, b"request"),
                response_commitment: &log.commit(&call, b"response"),
                salt_hash: &log.commit(&call, &[]),
                messages: 1,
                ..RecordDraft::default()
            };
            waiting.push(log.reserve()?.append(draft));
        }
        written += waiting.len() as u64;
        for appended in waiting {
            appended.await?;
        }
    }
    Ok(())
}

fn bytes(folder: &Path) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

#[expect(clippy::print_stdout, reason = "a measurement's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}
