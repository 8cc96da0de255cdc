//! `Completeness` measures how completely the agency's database answers: in full, in part (fields that are
//! NULL), without a record, or not at all, by method and field. The counts are metrics, and are kept on disk
//! by day for `chapar adapter completeness`. They name methods and fields, never a record.

mod counts;
mod store;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapar_model::{Clock, Reason, tehran};
use chapar_telemetry::PublishedMetrics;
use jiff::civil::Date;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use self::counts::{Counts, FieldCounts};
use self::store::Days;
use crate::source::Absent;

/// Time between two writes of the counts: what a process that is killed loses at most.
const SAVED_EVERY: Duration = Duration::from_secs(60);

/// Maximum number of plans of a method whose counts stand apart. More come only if plans are made again and
/// again, because the calls are under ever new grants.
const MAX_PLANS: usize = 1024;
/// Maximum time for writing the last counts at the end of the process.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// The counts of all methods.
pub(crate) struct Completeness {
    clock: Clock,
    methods: Mutex<BTreeMap<String, Arc<Tally>>>,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    /// Since the start of the process.
    total: BTreeMap<String, Counts>,
    unsaved: Days,
}

/// Counts the answers of one method.
pub(crate) struct Tally {
    clock: Clock,
    days: Mutex<Vec<Day>>,
}

/// Fields by the columns that fill them.
pub(crate) type Columns = Arc<[Arc<str>]>;

/// The counts of a day that were not summed up yet. Fields are counted by columns of a plan, so that a call
/// looks up no field's name.
struct Day {
    day: Date,
    counts: Counts,
    /// By the address of the columns, which the entry keeps from being used again.
    plans: HashMap<usize, PlanCounts>,
}

struct PlanCounts {
    columns: Columns,
    records: u64,
    absent: Vec<u64>,
}

impl Completeness {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, methods: Mutex::default(), sums: Mutex::default() }
    }

    /// The tally of a method, by its full name.
    pub(crate) fn method(&self, name: &str) -> Arc<Tally> {
        let mut methods = self.methods.lock();
        let new = || Arc::new(Tally { clock: self.clock.clone(), days: Mutex::default() });
        Arc::clone(methods.entry(name.to_owned()).or_insert_with(new))
    }

    /// The counts since the start of the process, by method.
    #[cfg(test)]
    pub(crate) fn since_the_start(&self) -> BTreeMap<String, Counts> {
        let mut sums = self.sums.lock();
        self.sum(&mut sums);
        sums.total.clone()
    }

    /// Brings the metrics up to date.
    pub(crate) fn publish(&self, metrics: &PublishedMetrics) {
        let mut sums = self.sums.lock();
        self.sum(&mut sums);
        for (method, counts) in &sums.total {
            let answers = [
                ("full", counts.full),
                ("partial", counts.partial),
                ("missing", counts.missing),
                ("failed", counts.failed),
            ];
            metrics.answered(method, answers);
            for (field, counts) in &counts.fields {
                metrics.field(method, field, counts.records, counts.absent);
            }
        }
    }

    /// Adds the counts to the files in the state folder, now and then until `ended` and once more at the end,
    /// which a disk that hangs delays by `LAST_SAVE` at most.
    pub(crate) async fn keep(self: Arc<Self>, state: PathBuf, ended: CancellationToken) {
        let mut failing = None;
        loop {
            let is_over = ended.run_until_cancelled(tokio::time::sleep(SAVED_EVERY)).await.is_none();
            let failed = self.saved(&state, &ended).await.err();
            // Told once for each error, because it would come every minute.
            if let Some(error) = &failed
                && failed != failing
            {
                tracing::error!(
                    %error,
                    "the counts of completeness cannot be written; they are kept in memory and written once they can be"
                );
            }
            failing = failed;
            // A disk that hung when the end came is not tried again.
            if is_over || ended.is_cancelled() && failing.is_some() {
                return;
            }
        }
    }

    /// Writes the counts on another thread, and gives up waiting for it some time after `ended`.
    async fn saved(
        self: &Arc<Self>,
        state: &std::path::Path,
        ended: &CancellationToken,
    ) -> Result<(), String> {
        let counts = Arc::clone(self);
        let folder = state.to_owned();
        let saving = tokio::task::spawn_blocking(move || counts.save(&folder));
        let too_long = async {
            ended.cancelled().await;
            tokio::time::sleep(LAST_SAVE).await;
        };
        tokio::select! {
            biased;
            saved = saving => saved.map_err(|error| error.to_string())?.map_err(|error| error.to_string()),
            () = too_long => Err("the disk does not answer".to_owned()),
        }
    }

    fn save(&self, state: &std::path::Path) -> std::io::Result<()> {
        let mut unsaved = {
            let mut sums = self.sums.lock();
            self.sum(&mut sums);
            std::mem::take(&mut sums.unsaved)
        };
        // Not under the lock, because the disk may be slow and metrics must not wait for it.
        let saved = store::add(state, &mut unsaved);
        add(&mut self.sums.lock().unsaved, unsaved);
        saved
    }

    /// Moves what the tallies hold to the sums.
    fn sum(&self, sums: &mut Sums) {
        let methods: Vec<(String, Arc<Tally>)> =
            self.methods.lock().iter().map(|(name, tally)| (name.clone(), Arc::clone(tally))).collect();
        for (name, tally) in methods {
            for (day, counts) in tally.take() {
                sums.total.entry(name.clone()).or_default().add(&counts);
                add(&mut sums.unsaved, Days::from([(day, BTreeMap::from([(name.clone(), counts)]))]));
            }
        }
    }
}

impl Tally {
    /// Counts an answer of `records` records; `absent` lists its NULL fields.
    pub(crate) fn answered(&self, columns: &Columns, records: u64, absent: &Absent) {
        self.today(|day| {
            match () {
                () if records == 0 => day.counts.missing += 1,
                () if absent.partial > 0 => day.counts.partial += 1,
                () => day.counts.full += 1,
            }
            let key = Arc::as_ptr(columns).cast::<()>() as usize;
            if day.plans.len() >= MAX_PLANS && !day.plans.contains_key(&key) {
                day.sum_up();
            }
            let plan = day.plans.entry(key).or_insert_with(|| PlanCounts {
                columns: Arc::clone(columns),
                records: 0,
                absent: vec![0; columns.len()],
            });
            plan.records = plan.records.saturating_add(records);
            for (sum, absent) in plan.absent.iter_mut().zip(&absent.columns) {
                *sum = sum.saturating_add(u64::from(*absent));
            }
        });
    }

    /// A call that was refused.
    pub(crate) fn refused(&self, reason: Reason) {
        match reason {
            Reason::RecordNotFound => self.today(|day| day.counts.missing += 1),
            // What the caller brought about says nothing about the agency's data.
            reason if is_the_agencys(reason) => self.today(|day| day.counts.failed += 1),
            _ => {}
        }
    }

    /// Plans whose counts stand apart.
    #[cfg(test)]
    pub(crate) fn plans(&self) -> usize {
        self.days.lock().iter().map(|day| day.plans.len()).sum()
    }

    fn today(&self, count: impl FnOnce(&mut Day)) {
        let today = tehran::day(self.clock.now());
        let mut days = self.days.lock();
        match days.iter_mut().find(|day| day.day == today) {
            Some(day) => count(day),
            None => {
                let mut day = Day { day: today, counts: Counts::default(), plans: HashMap::new() };
                count(&mut day);
                days.push(day);
            }
        }
    }

    fn take(&self) -> Vec<(Date, Counts)> {
        let days = std::mem::take(&mut *self.days.lock());
        let summed = days.into_iter().map(|mut day| {
            day.sum_up();
            (day.day, day.counts)
        });
        summed.collect()
    }
}

impl Day {
    /// Moves the counts of the plans to those of the fields.
    fn sum_up(&mut self) {
        for plan in std::mem::take(&mut self.plans).into_values().filter(|plan| plan.records > 0) {
            for (path, absent) in plan.columns.iter().zip(plan.absent) {
                let field = FieldCounts { records: plan.records, absent };
                self.counts.fields.entry(path.to_string()).or_default().add(field);
            }
        }
    }
}

/// Whether a call failed by the database, or because it does not fit the contract.
fn is_the_agencys(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MessageTooLarge
            | Reason::NullInRequired
            | Reason::RecordNotUnique
            | Reason::SchemaDrift
            | Reason::SourceBusy
            | Reason::SourceDown
            | Reason::SourceRefused
            | Reason::SourceTimeout
            | Reason::TooManyRows
            | Reason::ValueUnreadable
    )
}

fn add(days: &mut Days, more: Days) {
    for (day, methods) in more {
        for (method, counts) in methods {
            days.entry(day).or_default().entry(method).or_default().add(&counts);
        }
    }
}

/// How the methods of an adapter were answered from one day to another in Asia/Tehran, both included, as its
/// state folder has it; by the method's full name.
///
/// # Errors
/// What the system said, or which file cannot be read.
pub fn completeness(
    state: &std::path::Path,
    since: Date,
    until: Date,
) -> std::io::Result<BTreeMap<String, Counts>> {
    let mut sums = BTreeMap::<String, Counts>::new();
    for (method, counts) in store::between(state, since, until)?.into_values().flatten() {
        sums.entry(method).or_default().add(&counts);
    }
    Ok(sums)
}
