//! `Inquiries` keep what was asked and answered for 15 minutes, in memory, under the inquiry's id. A form
//! that is sent twice (double click, reload, a line that was cut) is asked once: the second waits for the
//! first one's answer. What stays for the day is that there was an inquiry: its time, procedure and case, and
//! nothing of the citizen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::{CaseNumber, ClerkId, Clock, RequestId, tehran};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::bus::Answered;

/// How long an answer is kept: long enough to read it to the citizen and to print it.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// Maximum number of answers in memory; the oldest makes room.
const MAX_KEPT: usize = 2000;
/// Maximum number of lines of one clerk's day.
const MAX_LINES: usize = 500;

/// What a clerk typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) procedure: String,
    pub(crate) subject: String,
    pub(crate) case: Option<CaseNumber>,
    /// By the input's id.
    pub(crate) inputs: BTreeMap<String, String>,
}

/// One inquiry.
pub(crate) struct Inquiry {
    clerk: ClerkId,
    began: Instant,
    pub(crate) asked: Asked,
    pub(crate) at: Timestamp,
    /// Set once the gateway has answered. An inquiry that failed as a whole stays unset, and is asked again
    /// under the same id when its form is sent again.
    pub(crate) answered: OnceCell<Answered>,
}

impl Inquiry {
    /// How much longer it is kept, of `kept_for` in all.
    pub(crate) fn left(&self, kept_for: Duration) -> Duration {
        kept_for.saturating_sub(self.began.elapsed())
    }
}

/// One line of a clerk's day.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) procedure: String,
    pub(crate) case: String,
    /// Parts answered, and parts asked.
    pub(crate) parts: (usize, usize),
}

/// All inquiries of the office.
pub(crate) struct Inquiries {
    clock: Clock,
    kept: Mutex<HashMap<RequestId, Arc<Inquiry>>>,
    days: Mutex<HashMap<ClerkId, Vec<Line>>>,
}

impl Inquiries {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default(), days: Mutex::default() }
    }

    /// The inquiry of this id, or a new one. The same id with other values is another inquiry, under an id of
    /// its own: a form that came back by the browser's "back" and was changed.
    pub(crate) fn begin(
        &self,
        clerk: &ClerkId,
        id: RequestId,
        asked: Asked,
        now: Instant,
    ) -> (RequestId, Arc<Inquiry>) {
        let mut kept = self.kept.lock();
        forget(&mut kept, now);
        if let Some(known) = kept.get(&id) {
            if known.clerk == *clerk && known.asked == asked {
                return (id, Arc::clone(known));
            }
            return self.insert(&mut kept, clerk, RequestId::now(), asked, now);
        }
        self.insert(&mut kept, clerk, id, asked, now)
    }

    fn insert(
        &self,
        kept: &mut HashMap<RequestId, Arc<Inquiry>>,
        clerk: &ClerkId,
        id: RequestId,
        asked: Asked,
        now: Instant,
    ) -> (RequestId, Arc<Inquiry>) {
        if kept.len() >= MAX_KEPT
            && let Some(oldest) = kept.iter().min_by_key(|(_, known)| known.began).map(|(id, _)| *id)
        {
            kept.remove(&oldest);
        }
        let at = self.clock.now();
        let inquiry = Inquiry { clerk: clerk.clone(), began: now, asked, at, answered: OnceCell::new() };
        let inquiry = Arc::new(inquiry);
        kept.insert(id, Arc::clone(&inquiry));
        (id, inquiry)
    }

    /// The inquiry of this id, if it is this clerk's and still kept.
    pub(crate) fn get(&self, clerk: &ClerkId, id: RequestId, now: Instant) -> Option<Arc<Inquiry>> {
        let mut kept = self.kept.lock();
        forget(&mut kept, now);
        kept.get(&id).filter(|inquiry| inquiry.clerk == *clerk).map(Arc::clone)
    }

    /// Forgets what is over. The server does so twice a minute, so that nothing waits for the next clerk.
    pub(crate) fn forget(&self, now: Instant) {
        forget(&mut self.kept.lock(), now);
        let today = tehran::day(self.clock.now());
        let mut days = self.days.lock();
        days.retain(|_, lines| {
            lines.retain(|line| tehran::day(line.at) == today);
            !lines.is_empty()
        });
    }

    /// Notes an inquiry that was answered, once.
    pub(crate) fn note(&self, clerk: &ClerkId, line: Line) {
        let mut days = self.days.lock();
        let lines = days.entry(clerk.clone()).or_default();
        if lines.iter().any(|known| known.id == line.id) {
            return;
        }
        if lines.len() >= MAX_LINES {
            lines.remove(0);
        }
        lines.push(line);
    }

    /// This clerk's inquiries of today, the newest first.
    pub(crate) fn today(&self, clerk: &ClerkId) -> Vec<Line> {
        let today = tehran::day(self.clock.now());
        let days = self.days.lock();
        let lines = days.get(clerk).into_iter().flatten().filter(|line| tehran::day(line.at) == today);
        let mut lines: Vec<Line> = lines.cloned().collect();
        lines.reverse();
        lines
    }
}

fn forget(kept: &mut HashMap<RequestId, Arc<Inquiry>>, now: Instant) {
    kept.retain(|_, inquiry| now.saturating_duration_since(inquiry.began) < KEPT_FOR);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(subject: &str) -> Asked {
        let (procedure, subject) = ("farm-loan".to_owned(), subject.to_owned());
        Asked { procedure, subject, case: None, inputs: BTreeMap::new() }
    }

    #[test]
    fn a_form_that_is_sent_twice_is_one_inquiry_and_a_changed_one_is_another() {
        let inquiries = Inquiries::new(Clock::system());
        let [zahra, ali] = ["zahra", "ali"].map(|clerk| clerk.parse::<ClerkId>().unwrap());
        let id = RequestId::now();
        let now = Instant::now();
        let (first, inquiry) = inquiries.begin(&zahra, id, asked("1"), now);
        let (again, same) = inquiries.begin(&zahra, id, asked("1"), now);
        assert!(first == id && again == id && Arc::ptr_eq(&inquiry, &same));
        let (changed, other) = inquiries.begin(&zahra, id, asked("2"), now);
        assert!(changed != id && !Arc::ptr_eq(&inquiry, &other));
        let (foreign, _) = inquiries.begin(&ali, id, asked("1"), now);
        assert_ne!(foreign, id, "an id of another clerk's opens nothing");
        assert!(inquiries.get(&ali, id, now).is_none() && inquiries.get(&zahra, id, now).is_some());
    }

    #[test]
    fn nothing_of_a_citizen_is_kept_longer_than_a_quarter_of_an_hour() {
        let inquiries = Inquiries::new(Clock::system());
        let clerk: ClerkId = "zahra".parse().unwrap();
        let now = Instant::now();
        let (id, _) = inquiries.begin(&clerk, RequestId::now(), asked("1"), now);
        assert!(inquiries.get(&clerk, id, now + KEPT_FOR - Duration::from_secs(1)).is_some());
        inquiries.forget(now + KEPT_FOR);
        assert!(inquiries.kept.lock().is_empty());
    }

    #[test]
    fn the_day_has_each_inquiry_once_the_newest_first() {
        let inquiries = Inquiries::new(Clock::system());
        let clerk: ClerkId = "zahra".parse().unwrap();
        let line = |id| Line {
            id,
            at: inquiries.clock.now(),
            procedure: "farm-loan".to_owned(),
            case: String::new(),
            parts: (7, 7),
        };
        let [one, two] = [RequestId::now(), RequestId::now()];
        [one, two, one].into_iter().for_each(|id| inquiries.note(&clerk, line(id)));
        let ids: Vec<RequestId> = inquiries.today(&clerk).iter().map(|line| line.id).collect();
        assert_eq!(ids, [two, one]);
        assert!(inquiries.today(&"ali".parse().unwrap()).is_empty());
    }
}
