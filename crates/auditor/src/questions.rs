//! `Questions` is the log of what was asked of an auditor's index: an evidence log like a gateway's, so that
//! it is verified by the same commands and can be followed by another auditor. Each question is on disk
//! before its answer is shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_evidence::{Config, Error, Kind, Log, Pseudonyms, RECORD_VERSION, RecordDraft};
use chapar_model::{CallId, Clock};

/// How long a question waits for another one that is being recorded.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two tries.
const RETRY: Duration = Duration::from_millis(50);
/// Free bytes below which nothing is recorded, and so nothing is answered.
const LOW_WATER: u64 = 8 << 20;

/// What was asked, by whom, and why.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The person who asks: 1 to 64 of `A-Za-z0-9._@-`.
    pub who: &'a str,
    /// Why, in a few words; it names no citizen.
    pub reason: &'a str,
    /// The command, e.g. `evidence search`.
    pub command: &'a str,
    /// What narrowed it, e.g. `clerk=z.karimi`; no citizen's id.
    pub filters: &'a [String],
    /// The citizen, where it was about one: only a pseudonym of the id is recorded.
    pub subject: Option<&'a str>,
}

/// The log of questions of an auditor with this state folder.
pub fn questions_path(state: &Path) -> PathBuf {
    state.join("questions")
}

fn questions_state(state: &Path) -> PathBuf {
    state.join("questions.state")
}

/// Records a question, durably. The keys of the log are made with its first question. Returns the entry,
/// `ORIGIN/INDEX`.
///
/// # Errors
/// [`Error`]: then nothing may be answered.
pub async fn record(
    state: &Path,
    origin: &str,
    question: &Question<'_>,
    clock: &Clock,
) -> Result<String, Error> {
    let at = |name: &str| state.join(name);
    let (signing_key, period_key) = (at("questions.key"), at("questions-period.key"));
    make_keys(state, origin, [&signing_key, &at("questions.pub"), &period_key])?;
    let period = Pseudonyms::read(&period_key)?;
    let config = Config {
        path: questions_path(state),
        state: questions_state(state),
        origin: origin.to_owned(),
        signing_key,
        period_key,
        checkpoint_every: Duration::from_secs(3600),
        queue: 1,
        low_water: LOW_WATER,
    };
    let log = open(&config, clock).await?;
    let call = CallId::now();
    let salt_hash = period.salt_hash(&call);
    let pseudonym = question.subject.map(|subject| period.of(subject));
    let draft = RecordDraft {
        version: RECORD_VERSION,
        kind: Kind::Unary,
        call_id: call.as_bytes(),
        time_unix_ms: log.time_ms(clock.now().as_millisecond().unsigned_abs()),
        clerk: question.who,
        case: question.reason,
        method: question.command,
        disclosed: question.filters,
        subject_pseudonym: pseudonym.as_ref().map(<[u8; 32]>::as_slice).unwrap_or_default(),
        outcome: "OK",
        salt_hash: &salt_hash,
        ..RecordDraft::default()
    };
    let slot = log.reserve().map_err(|_| chapar_evidence::Unavailable)?;
    let entry = slot.append(draft).await?;
    let name = log.entry_name(entry);
    log.close().await?;
    Ok(name)
}

/// Makes the keys, if no question has been recorded yet and they are not all there.
fn make_keys(state: &Path, origin: &str, keys: [&Path; 3]) -> Result<(), Error> {
    let folder = questions_state(state);
    let failed = |source| Error::Io { what: "cannot make", path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    // Another first question may be making them. Not the log's own folder, which is locked while a question
    // is recorded: this waits on the thread, and for no more than the keys.
    let _lock = chapar_files::lock(&folder).map_err(failed)?;
    if keys.iter().all(|key| key.exists()) || questions_path(state).join("checkpoint").exists() {
        return Ok(());
    }
    for half in keys {
        // Left over from a start that was broken off: nothing was recorded under it.
        std::fs::remove_file(half).ok();
    }
    let [signing, public, period] = keys;
    chapar_evidence::create_keys(origin, signing, public, period)
}

async fn open(config: &Config, clock: &Clock) -> Result<Log, Error> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Log::open(config.clone(), clock.clone()) {
            Err(Error::InUse(_)) if tokio::time::Instant::now() < until => tokio::time::sleep(RETRY).await,
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use chapar_evidence::verify;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn questions_that_come_at_once_are_all_recorded_in_a_log_that_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let filters = ["clerk=z.karimi".to_owned()];
        let ask = |who: &'static str| {
            let (state, clock, filters) = (folder.path().to_owned(), clock.clone(), filters.clone());
            async move {
                let question = Question {
                    who,
                    reason: "complaint 12",
                    command: "evidence search",
                    filters: &filters,
                    subject: Some("4060014060"),
                };
                record(&state, "audit.example/questions", &question, &clock).await
            }
        };
        let first = ask("a.auditor").await.unwrap();
        assert_eq!(first, "audit.example/questions/0");
        let (second, third) = tokio::join!(ask("b.auditor"), ask("c.auditor"));
        let mut entries = [second.unwrap(), third.unwrap()];
        entries.sort();
        assert_eq!(entries, ["audit.example/questions/1", "audit.example/questions/2"]);
        let key = chapar_files::read_text(&folder.path().join("questions.pub")).unwrap();
        let mut records = Vec::new();
        let log = questions_path(folder.path());
        let key = key.trim().parse().unwrap();
        verify::read_directory(&log, &key, &[], &mut |_, record| records.push(record.clone())).unwrap();
        let who: Vec<&str> = records.iter().map(|record| record.clerk.as_str()).collect();
        assert_eq!(who.len(), 3);
        assert_eq!((who[0], records[0].disclosed.as_slice()), ("a.auditor", &filters[..]));
        let period = Pseudonyms::read(&folder.path().join("questions-period.key")).unwrap();
        assert!(period.made(&records[0]) && records[0].subject_pseudonym == period.of("4060014060"));
    }
}
