//! `audit` measures what watching a log costs: it makes a log of so many entries and then takes the time of a
//! full verification on one core, of an auditor that reads it from its beginning (with the index's size), of
//! searches for one citizen in the index, the auditor's CPU time per record while it follows a log that grows
//! by 5,000 records a second, and the time until a fork, a cut and an older copy are alarms.
//!
//! `cargo build --release -p chapar && cargo run --release -p chapar-tests --bin audit -- [ENTRIES]
//! [FOLDER]` (default 1,000,000 entries, a temporary folder; ten million take some 12 GB)

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement's output is its purpose")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chapar_auditor::{AuditStatus, Index, Query};
use chapar_evidence::{
    Config, Kind, Log, Pseudonyms, RECORD_VERSION, RecordDraft, VerifierKey, create_keys, verify,
};
use chapar_model::{CallId, Clock};
use chapar_tests::copy_folder;
use chapar_tests::measure::Process;

const ORIGIN: &str = "audit.example/evidence";
/// Entries about one citizen, on average.
const EACH: u64 = 10;
/// Clerks, each at one of as many offices.
const CLERKS: u64 = 500;
/// Records a second, while the auditor follows.
const RATE: u64 = 5_000;
/// For how long it follows.
const FOLLOWED: Duration = Duration::from_secs(20);
/// Searches whose times are told.
const SEARCHES: usize = 1_000;
/// How often each change of a log is made.
const CHANGES: usize = 5;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let entries = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let bench = Bench::new(folder)?;
    bench.make(entries).await?;
    bench.verify(entries)?;
    let mut entries = entries;
    for rules in [Rules::None, Rules::Two] {
        bench.rebuild(entries, rules).await?;
        bench.search(entries)?;
        entries = bench.follow(entries, rules).await?;
    }
    bench.changes().await
}

/// What the auditor looks for.
#[derive(Clone, Copy, Debug)]
enum Rules {
    None,
    /// Many citizens within an hour, one citizen often within a day.
    Two,
}

struct Bench {
    folder: PathBuf,
    key: VerifierKey,
}

impl Bench {
    fn new(folder: PathBuf) -> Result<Self, Error> {
        let at = |name: &str| folder.join(name);
        if !at("evidence.pub").exists() {
            create_keys(ORIGIN, &at("evidence.key"), &at("evidence.pub"), &at("period.key"))?;
        }
        let key = std::fs::read_to_string(at("evidence.pub"))?.trim().parse()?;
        Ok(Self { folder, key })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn log(&self, name: &str, every: Duration) -> Result<Log, Error> {
        let config = Config {
            path: self.at(name),
            state: self.at(&format!("{name}.state")),
            origin: ORIGIN.to_owned(),
            signing_key: self.at("evidence.key"),
            period_key: self.at("period.key"),
            checkpoint_every: every,
            queue: 16_384,
            low_water: 0,
        };
        Ok(Log::open(config, Clock::system())?)
    }

    async fn make(&self, entries: u64) -> Result<(), Error> {
        let log = self.log("evidence", Duration::from_secs(1))?.for_runtime();
        let there = log.size().await;
        let began = Instant::now();
        append(&log, there, entries.saturating_sub(there)).await?;
        log.close().await?;
        let bytes = size_of(&self.at("evidence"))?;
        println!(
            "{entries} entries made in {:.1} s, {:.0} bytes each on disk (segments and bundles)",
            began.elapsed().as_secs_f64(),
            bytes as f64 / entries as f64
        );
        let began = Instant::now();
        let log = self.log("evidence", Duration::from_secs(1))?;
        let opened = began.elapsed();
        log.close().await?;
        println!("start on it: {:.3} s", opened.as_secs_f64());
        Ok(())
    }

    fn verify(&self, entries: u64) -> Result<(), Error> {
        let began = Instant::now();
        verify::directory(&self.at("evidence"), &self.key, &[])?;
        let took = began.elapsed().as_secs_f64();
        println!("full verification, one core: {took:.1} s, {:.0} records/s", entries as f64 / took);
        Ok(())
    }

    fn start(&self, log: &str, rules: Rules) -> Result<Process, Error> {
        let rules = match rules {
            Rules::None => "",
            Rules::Two => {
                "[rules]\nmany_subjects = { subjects = 500, within = \"1h\" }\n\
                 repeated_subject = { times = 50, within = \"24h\" }\n"
            }
        };
        let text = format!(
            "[auditor]\nlisten = \"127.0.0.1:0\"\nstate = \"auditor\"\nquestions = \"audit.example/questions\"\n\
             [[log]]\nkey = \"evidence.pub\"\nfolder = \"{log}\"\nperiod_keys = [\"period.key\"]\n{rules}"
        );
        std::fs::write(self.at("auditor.toml"), text)?;
        Process::chapar("auditor", &self.at("auditor.toml"))
    }

    fn index(&self) -> Result<Index, Error> {
        Ok(Index::open_existing(&self.at("auditor"))?)
    }

    /// Waits until so many entries have been verified, and looked at by the rules.
    async fn until_verified(&self, entries: u64) -> Result<(), Error> {
        loop {
            if let Ok(index) = self.index()
                && AuditStatus::of(&index)?.logs.iter().any(|log| log.verified >= entries)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn rebuild(&self, entries: u64, rules: Rules) -> Result<(), Error> {
        std::fs::remove_dir_all(self.at("auditor")).ok();
        let began = Instant::now();
        let auditor = self.start("evidence", rules)?;
        self.until_verified(entries).await?;
        let took = began.elapsed().as_secs_f64();
        // The rules look after the verification.
        let mut cpu = auditor.cpu()?;
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = auditor.cpu()?;
            if now - cpu < 0.2 {
                break;
            }
            cpu = now;
        }
        let size = size_of(&self.at("auditor"))?;
        println!(
            "rules {rules:?}: index built from the log in {took:.1} s, {:.0} records/s; {:.1} µs of CPU a record; \
             {:.0} bytes a record; {:.0} MiB of memory at most",
            entries as f64 / took,
            1e6 * cpu / entries as f64,
            size as f64 / entries as f64,
            auditor.most_resident()? as f64 / f64::from(1 << 20)
        );
        Ok(())
    }

    fn search(&self, entries: u64) -> Result<(), Error> {
        let index = self.index()?;
        let period = Pseudonyms::read(&self.at("period.key"))?;
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..SEARCHES {
            let subject = period.of(&citizen(fastrand::u64(..entries.div_ceil(EACH))));
            let began = Instant::now();
            let query = Query { subjects: Some(vec![subject]), ..Query::default() };
            index.search(&query, &mut |_| {
                found += 1;
                ControlFlow::Continue(())
            })?;
            times.push(began.elapsed());
        }
        times.sort();
        let ms = |at: usize| times.get(at).map_or(0.0, |time| 1e3 * time.as_secs_f64());
        println!(
            "search for one citizen, {:.1} entries each: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            found as f64 / SEARCHES as f64,
            ms(SEARCHES / 2),
            ms(SEARCHES * 99 / 100),
            ms(SEARCHES - 1)
        );
        Ok(())
    }

    /// Follows a log that grows; how many entries it has then.
    async fn follow(&self, entries: u64, rules: Rules) -> Result<u64, Error> {
        let auditor = self.start("evidence", rules)?;
        self.until_verified(entries).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let log = self.log("evidence", Duration::from_secs(1))?.for_runtime();
        let (before, began) = (auditor.cpu()?, Instant::now());
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let part = RATE / 50;
        let mut next = entries;
        while began.elapsed() < FOLLOWED {
            tick.tick().await;
            append(&log, next, part).await?;
            next += part;
        }
        log.close().await?;
        self.until_verified(next).await?;
        let (cpu, appended) = (auditor.cpu()? - before, next - entries);
        println!(
            "rules {rules:?}: following {:.0} records/s: {:.1} µs of CPU a record, {:.1} % of a core",
            appended as f64 / began.elapsed().as_secs_f64(),
            1e6 * cpu / appended as f64,
            100.0 * cpu / began.elapsed().as_secs_f64()
        );
        Ok(next)
    }

    /// The time until an alarm, for each way to change a log.
    async fn changes(&self) -> Result<(), Error> {
        std::fs::remove_dir_all(self.at("auditor")).ok();
        let (good, fork) =
            (self.log("good", Duration::from_secs(1))?, self.log("fork", Duration::from_secs(1))?);
        append(&good, 0, 2_000).await?;
        good.checkpoint().await?;
        copy_folder(&self.at("good"), &self.at("older"));
        append(&good, 2_000, 1_000).await?;
        append(&fork, 5_000, 3_000).await?;
        good.close().await?;
        fork.close().await?;
        copy_folder(&self.at("good"), &self.at("followed"));
        for (what, kind, by) in
            [("another log of the same size", "forked", "fork"), ("an older copy", "cut", "older")]
        {
            let mut slowest = Duration::ZERO;
            for _ in 0..CHANGES {
                self.replace("good")?;
                std::fs::remove_dir_all(self.at("auditor")).ok();
                // A new one each time: after trouble it looks less often.
                let _auditor = self.start("followed", Rules::None)?;
                self.until_verified(3_000).await?;
                tokio::time::sleep(Duration::from_millis(fastrand::u64(2_000..3_000))).await;
                let index = self.index()?;
                self.replace(by)?;
                let began = Instant::now();
                while !index.alarms(false)?.iter().any(|alarm| alarm.kind == kind) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                slowest = slowest.max(began.elapsed());
            }
            println!("{what}: an alarm after {:.1} s at most, of {CHANGES}", slowest.as_secs_f64());
        }
        Ok(())
    }

    fn replace(&self, by: &str) -> Result<(), Error> {
        copy_folder(&self.at(by), &self.at("next"));
        std::fs::remove_dir_all(self.at("followed"))?;
        Ok(std::fs::rename(self.at("next"), self.at("followed"))?)
    }
}

fn citizen(number: u64) -> String {
    format!("{number:010}")
}

/// Appends entries from the number `first` on, as a gateway writes them.
async fn append(log: &Log, first: u64, count: u64) -> Result<(), Error> {
    let disclosed: Vec<String> =
        ["national_id", "given_name", "family_name", "birth_date"].map(str::to_owned).into();
    let withheld: Vec<String> =
        ["sex", "life_status", "father_name", "marital_status"].map(str::to_owned).into();
    let citizens = (first + count).div_ceil(EACH).max(1);
    let mut waiting = std::collections::VecDeque::new();
    for number in first..first + count {
        let call = CallId::now();
        let clerk = number % CLERKS;
        let (caller, clerk) = (format!("office/{clerk}/counter"), format!("clerk.{clerk}"));
        let pseudonym = log.pseudonym(&citizen(fastrand::u64(..citizens)));
        // As SHA-256 of the salt, which this is of nothing after it.
        let salt_hash = log.commit(&call, b"");
        let case = format!("1405-{number}");
        let draft = RecordDraft {
            version: RECORD_VERSION,
            kind: Kind::Unary,
            call_id: call.as_bytes(),
            time_unix_ms: Clock::system().now().as_millisecond().unsigned_abs(),
            caller: &caller,
            on_behalf_of: "com/agri-bank",
            clerk: &clerk,
            case: &case,
            purpose: "loan.farm",
            method: "civil.v1.CivilRegistry/GetPerson",
            contract_digest: "sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
            registry_digest: "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            grant: "bank-getperson",
            subject_pseudonym: &pseudonym,
            request_commitment: &salt_hash,
            response_commitment: &salt_hash,
            disclosed: &disclosed,
            withheld: &withheld,
            messages: 1,
            outcome: "OK",
            latency_us: 1_200,
            trace_id: call.as_bytes(),
            salt_hash: &salt_hash,
            ..RecordDraft::default()
        };
        loop {
            // Half of the queue, so that there is always a slot.
            if waiting.len() < 8_192 {
                break;
            }
            let Some(appended) = waiting.pop_front() else { break };
            let _entry: chapar_evidence::Entry = appended.await?;
        }
        waiting.push_back(log.reserve().map_err(|error| error.to_string())?.append(draft));
    }
    for appended in waiting {
        appended.await?;
    }
    Ok(())
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64, Error> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        size += if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(size)
}
