//! This run fills the disk of a gateway under load to the last byte, and empties it, again and again, where
//! the process may open 64 files and has a ceiling of memory. It compares the log with what callers were
//! told. `TMPDIR` is a small disk of its own.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::ledger::Ledger;
use super::process::verify_evidence;
use super::{Fleet, Gateway};

/// Callers at work.
const CALLERS: usize = 8;
/// Files that the gateway's process may open.
const FILES: u64 = 64;
/// Its ceiling of memory, as in `gateway.toml`.
const MEMORY: &str = "memory = \"128MiB\"";
/// What a refusal for the disk says.
const REASON: &[u8] = b"EVIDENCE_UNAVAILABLE";
/// Longest wait for a change.
const WITHIN: Duration = Duration::from_secs(30);

/// What came of it.
pub struct Report {
    /// Answers that callers have.
    pub acknowledged: usize,
    /// Those whose record is not in the log where they were told.
    pub lost: usize,
    /// Calls that were refused with `EVIDENCE_UNAVAILABLE`.
    pub refused: usize,
    /// Calls whose record found no room before their deadline.
    pub late: usize,
    /// Calls that failed in other words.
    pub other: Vec<String>,
    /// Records in the end.
    pub entries: u64,
    /// For each time: from the full disk to the first refusal, and from the empty one to the first answer.
    pub times: Vec<(Duration, Duration)>,
    /// The most memory that the gateway held, in bytes.
    pub resident: u64,
}

#[derive(Default)]
struct Failed {
    refused: usize,
    late: usize,
    other: Vec<String>,
}

/// Fills and empties the disk so often, with `pause` under load before each.
///
/// # Panics
/// If calls are not refused on a full disk or not answered again, if the gateway ends, or if its evidence
/// does not verify in the end.
pub async fn run(times: usize, pause: Duration) -> Report {
    let fleet = Fleet::builder().files(FILES).setting(MEMORY).build().await;
    let mut gateway = fleet.start().await;
    let ledger = Ledger::default();
    let failed = Arc::new(Mutex::new(Failed::default()));
    let stop = CancellationToken::new();
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let client = fleet.client(&format!("caller-{number}"));
            let failed = Arc::clone(&failed);
            tokio::spawn(ledger.clone().fill(client, stop.clone(), move |status| {
                let mut failed = failed.lock();
                match status.details().windows(REASON.len()).any(|window| window == REASON) {
                    true => failed.refused += 1,
                    // Its record waited for room until then; which side ends the call first is a matter of
                    // chance.
                    false if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
                        failed.late += 1
                    }
                    false => failed.other.push(format!("{status:?}")),
                }
            }))
        })
        .collect();
    let filler = fleet.folder().join("filler");
    let mut report = Vec::new();
    let mut resident = 0;
    for _ in 0..times {
        let answered = ledger.acknowledged();
        becomes("calls are answered", &gateway, || ledger.acknowledged() > answered).await;
        tokio::time::sleep(pause).await;
        let refused = failed.lock().refused;
        fill(&filler);
        let full = becomes("calls are refused", &gateway, || failed.lock().refused > refused).await;
        tokio::time::sleep(pause).await;
        resident = resident.max(gateway.sample().resident);
        let answered = ledger.acknowledged();
        std::fs::remove_file(&filler).expect("the filler is removed");
        let empty = becomes("calls are answered again", &gateway, || ledger.acknowledged() > answered).await;
        report.push((full, empty));
    }
    assert!(!gateway.has_ended(), "{}", gateway.log());
    stop.cancel();
    for caller in callers {
        caller.await.expect("a caller ends");
    }
    let folder = gateway.stop().await;
    verify_evidence(&folder);
    let settled = ledger.settle(&folder).await;
    let failed = std::mem::take(&mut *failed.lock());
    Report {
        acknowledged: settled.acknowledged,
        lost: settled.lost,
        refused: failed.refused,
        late: failed.late,
        other: failed.other,
        entries: settled.entries,
        times: report,
        resident,
    }
}

/// Waits for a change; how long it took.
async fn becomes(what: &str, gateway: &Gateway, is: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < WITHIN, "{what}: not within {WITHIN:?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}

/// Writes until the disk takes no more byte.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    for size in [1 << 20, 4096, 1] {
        let chunk = vec![0x5a; size];
        while file.write_all(&chunk).is_ok() {}
    }
}
