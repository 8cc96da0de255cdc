//! The rules of C2SP `tlog-witness`, by a witness in its process.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chapar_evidence::{Log, RECORD_VERSION, RecordDraft, SignedCheckpoint, cosigned_at};
use chapar_model::Clock;
use chapar_tlog::{SigningKey, sign_note};

use super::*;

static ENTRIES: AtomicU64 = AtomicU64::new(1);

struct Setup {
    folder: tempfile::TempDir,
    log: Log,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = log(&folder.path().join("a"), "log.example/a");
        Self { folder, log }
    }

    fn witness(&self) -> Result<Witness, StateError> {
        let path = self.folder.path().join("witness.key");
        if !path.exists() {
            let key = WitnessKey::generate("witness.example").unwrap();
            chapar_files::replace(&path, key.to_secret_text().as_bytes(), 0o600).unwrap();
        }
        let key = read_witness_key(&path).unwrap();
        Witness::open(key, vec![self.log.verifier().clone()], &self.folder.path().join("state"))
    }

    fn state_file(&self) -> std::path::PathBuf {
        let mut files = std::fs::read_dir(self.folder.path().join("state")).unwrap();
        files.next().unwrap().unwrap().path()
    }
}

/// A new log, its keys beside it.
fn log(folder: &Path, origin: &str) -> Log {
    std::fs::create_dir_all(folder).unwrap();
    let at = |name: &str| folder.join(name);
    chapar_evidence::create_keys(origin, &at("key"), &at("pub"), &at("period")).unwrap();
    open(folder, origin)
}

fn open(folder: &Path, origin: &str) -> Log {
    let at = |name: &str| folder.join(name);
    let config = chapar_evidence::Config {
        path: at("log"),
        state: at("state"),
        origin: origin.to_owned(),
        signing_key: at("key"),
        period_key: at("period"),
        checkpoint_every: Duration::from_secs(3600),
        queue: 64,
        low_water: 0,
    };
    Log::open(config, Clock::system()).unwrap()
}

/// Appends so many entries and gives the checkpoint over all.
async fn grow(log: &Log, count: usize) -> SignedCheckpoint {
    for _ in 0..count {
        let draft = RecordDraft {
            version: RECORD_VERSION,
            kind: chapar_evidence::Kind::Refusal,
            outcome: "NOT_GRANTED",
            // No two entries of these tests are alike, so that no two logs are.
            time_unix_ms: ENTRIES.fetch_add(1, Ordering::Relaxed),
            ..RecordDraft::default()
        };
        log.reserve().unwrap().append(draft).await.unwrap();
    }
    log.checkpoint().await.unwrap();
    log.published().unwrap()
}

async fn request(log: &Log, old: u64, (checkpoint, note): &SignedCheckpoint) -> AddCheckpoint {
    let proof = log.consistency(old, checkpoint.size).await.unwrap();
    AddCheckpoint { old, proof, checkpoint: note.clone() }
}

fn ask(witness: &Witness, request: &AddCheckpoint) -> Answer {
    match witness.read(request.to_text().as_bytes()) {
        Ok(signed) => witness.cosign(&signed, "2026-11-28T10:00:00Z".parse().unwrap()),
        Err(answer) => answer,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_checkpoint_that_extends_the_last_one_is_cosigned_with_the_time() {
    let setup = Setup::new();
    let witness = setup.witness().unwrap();
    let mut old = 0;
    for count in [3, 1, 300] {
        let signed = grow(&setup.log, count).await;
        let asked = request(&setup.log, old, &signed).await;
        let Answer::Cosigned(line) = ask(&witness, &asked) else { panic!("not cosigned at {count}") };
        let note = format!("{}{line}", signed.1);
        assert_eq!(cosigned_at(&note, witness.cosigner()), Ok(1_795_860_000));
        old = signed.0.size;
        // The same once more, as a log asks whose first answer was lost.
        assert!(matches!(ask(&witness, &request(&setup.log, old, &signed).await), Answer::Cosigned(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_extend_the_last_one_is_refused_as_the_specification_says() {
    let setup = Setup::new();
    let witness = setup.witness().unwrap();
    let first = grow(&setup.log, 3).await;
    assert!(matches!(ask(&witness, &request(&setup.log, 0, &first).await), Answer::Cosigned(_)));
    let second = grow(&setup.log, 3).await;
    let good = request(&setup.log, 3, &second).await;
    let with = |edit: &dyn Fn(&mut AddCheckpoint)| {
        let mut asked = good.clone();
        edit(&mut asked);
        ask(&witness, &asked)
    };
    assert_eq!(with(&|asked| asked.old = 0), Answer::Known(3));
    assert_eq!(with(&|asked| asked.old = 7), Answer::Backwards);
    assert_eq!(with(&|asked| asked.proof[0][0] ^= 1), Answer::Inconsistent);
    assert_eq!(with(&|asked| asked.proof.truncate(1)), Answer::Inconsistent);
    assert_eq!(
        with(&|asked| asked.checkpoint = asked.checkpoint.replace("log.example/a\n6", "log.example/a\n7")),
        Answer::Unsigned
    );
    assert_eq!(
        with(&|asked| asked.checkpoint = asked.checkpoint.replace("example/a", "example/b")),
        Answer::UnknownLog
    );
    for body in [&b""[..], b"old 3\n", &[0xff; 100]] {
        assert_eq!(witness.read(body).err(), Some(Answer::Malformed));
    }
    // The last size with the old checkpoint: the log was put back.
    assert_eq!(
        ask(&witness, &request(&setup.log, 3, &first).await),
        Answer::Cosigned(cosign_again(&witness, &first))
    );
    assert!(matches!(ask(&witness, &good), Answer::Cosigned(_)));
    assert_eq!(ask(&witness, &request(&setup.log, 3, &first).await), Answer::Known(6));
}

fn cosign_again(witness: &Witness, signed: &SignedCheckpoint) -> String {
    witness.key.cosign(&signed.0.to_string(), 1_795_860_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_under_the_logs_own_key_is_not_cosigned_also_not_after_a_restart() {
    let setup = Setup::new();
    let first = grow(&setup.log, 5).await;
    {
        let witness = setup.witness().unwrap();
        assert!(matches!(ask(&witness, &request(&setup.log, 0, &first).await), Answer::Cosigned(_)));
        assert!(matches!(setup.witness(), Err(StateError::InUse(_))));
    }
    // Another log under the same name and key.
    let fork = setup.folder.path().join("fork");
    std::fs::create_dir(&fork).unwrap();
    for key in ["key", "pub", "period"] {
        std::fs::copy(setup.folder.path().join("a").join(key), fork.join(key)).unwrap();
    }
    let fork = open(&fork, "log.example/a");
    let same = grow(&fork, 5).await;
    let longer = grow(&fork, 5).await;
    let witness = setup.witness().unwrap();
    assert_eq!(ask(&witness, &request(&fork, 5, &same).await), Answer::Known(5));
    assert_eq!(ask(&witness, &request(&fork, 5, &longer).await), Answer::Inconsistent);
    let second = grow(&setup.log, 5).await;
    assert!(matches!(ask(&witness, &request(&setup.log, 5, &second).await), Answer::Cosigned(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_altered_stops_the_witness_and_is_not_forgotten() {
    let setup = Setup::new();
    let signed = grow(&setup.log, 5).await;
    let asked = request(&setup.log, 0, &signed).await;
    assert!(matches!(ask(&setup.witness().unwrap(), &asked), Answer::Cosigned(_)));
    let file = setup.state_file();
    let good = std::fs::read_to_string(&file).unwrap();
    let without_own = good.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    for altered in [good.replace("\n5\n", "\n4\n"), without_own, String::new()] {
        std::fs::write(&file, altered).unwrap();
        assert!(matches!(setup.witness(), Err(StateError::Damaged(_))));
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(ask(&setup.witness().unwrap(), &asked), Answer::Known(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_log_signs_the_witness_starts_again_on_what_it_kept() {
    let setup = Setup::new();
    let signed = grow(&setup.log, 1).await;
    let key = std::fs::read_to_string(setup.folder.path().join("a/key")).unwrap();
    let key: SigningKey = key.trim().parse().unwrap();
    let text = signed.0.to_string();
    let mut old = 0;
    for more in ["", "an extension\n", "\nan empty line\n"] {
        let note = sign_note(&format!("{text}{more}"), &key);
        let asked = AddCheckpoint { old, proof: Vec::new(), checkpoint: note };
        match ask(&setup.witness().unwrap(), &asked) {
            Answer::Cosigned(_) => old = 1,
            refused => assert_eq!((refused, more.starts_with('\n')), (Answer::Malformed, true)),
        }
    }
    setup.witness().unwrap();
}
