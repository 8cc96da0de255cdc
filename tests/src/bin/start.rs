//! `start` measures how long a gateway's evidence log takes to open, by its size: from the resume file, which
//! is the normal start, and from the log's beginning, which is the start if that file cannot be used. Each
//! log is opened three times in turns, and the fastest of each counts.
//!
//! `cargo run --release -p chapar-tests --bin start -- [RECORDS …]`, by default 10000 100000 1000000.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chapar_evidence::{Config, Kind, Log, RECORD_VERSION, RecordDraft, create_keys};
use chapar_model::{CallId, Clock};

type Error = Box<dyn std::error::Error + Send + Sync>;

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
    say("records     log     resumed  from its beginning");
    for size in sizes {
        let folder = tempfile::tempdir()?;
        let config = config(folder.path())?;
        let log = Log::open(config.clone(), Clock::system())?;
        fill(&log, *size).await?;
        log.close().await?;
        let mut best = [Duration::MAX; 2];
        for _ in 0..3 {
            for (kind, best) in best.iter_mut().enumerate() {
                let kept = config.state.join("resume.kept");
                if kind == 1 && config.state.join("resume").exists() {
                    std::fs::rename(config.state.join("resume"), &kept)?;
                }
                let began = Instant::now();
                let log = Log::open(config.clone(), Clock::system())?;
                *best = began.elapsed().min(*best);
                log.close().await?;
                if kept.exists() {
                    std::fs::rename(&kept, config.state.join("resume"))?;
                }
            }
        }
        let bytes = bytes(&config.path.join("segments"))?;
        let [resumed, whole] = best.map(|time| format!("{:.0} ms", time.as_secs_f64() * 1e3));
        say(&format!("{size:>9} {:>4} MiB {resumed:>10} {whole:>19}", bytes >> 20));
    }
    Ok(())
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
                grant: "gov/welfare#1",
                outcome: "OK",
                subject_pseudonym: &log.pseudonym("4061234560"),
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
