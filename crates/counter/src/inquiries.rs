//! `Inquiries` keep what was asked and answered for 15 minutes, in memory, under the inquiry's id. A form
//! that is sent twice (double click, reload, a line that was cut) is asked once: the second waits for the
//! first one's answer. What stays for the day is that there was an inquiry: its time, procedure and case, and
//! nothing of the citizen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_client::Name;
use chapar_model::{CaseNumber, ClerkId, Clock, RequestId, tehran};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::bus::Answered;

/// How long an answer is kept: long enough to read it to the citizen and to print it.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// How long the same question of the same clerk is the same inquiry, also in a form of its own: after a line
/// was cut, a clerk opens the form anew and types all of it again. An answer that lacks a part is not given
/// again, since the clerk asks for the rest.
const SAME_FOR: Duration = Duration::from_secs(2 * 60);
/// Maximum number of answers in memory; the oldest makes room.
const MAX_KEPT: usize = 2000;
/// Maximum size of all answers in memory, in bytes; the oldest make room.
const MAX_KEPT_BYTES: usize = 64 << 20;
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
    /// Whether it is answered as a whole, or on its way.
    fn is_faultless(&self) -> bool {
        self.answered.get().is_none_or(|answered| answered.count() == answered.parts.len())
    }

    /// How much longer it is kept, of `kept_for` in all.
    pub(crate) fn left(&self, kept_for: Duration) -> Duration {
        kept_for.saturating_sub(self.began.elapsed())
    }
}

/// One line of a clerk's day.
#[derive(Clone, Debug)]
pub(crate) struct DayEntry {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    /// The procedure's name.
    pub(crate) name: Option<Name>,
    pub(crate) case: String,
    /// Parts answered, and parts asked.
    pub(crate) parts: (usize, usize),
}

/// All inquiries of the office.
pub(crate) struct Inquiries {
    clock: Clock,
    kept: Mutex<HashMap<RequestId, Arc<Inquiry>>>,
    days: Mutex<HashMap<ClerkId, Vec<DayEntry>>>,
}

impl Inquiries {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default(), days: Mutex::default() }
    }

    /// The inquiry of this id, or a new one. The same id with other values is another inquiry, under an id of
    /// its own: a form that came back by the browser's "back" and was changed. The same values under another
    /// id are the same inquiry for two minutes, if it has no fault so far.
    pub(crate) fn begin(
        &self,
        clerk: &ClerkId,
        id: RequestId,
        asked: Asked,
        now: Instant,
    ) -> (RequestId, Arc<Inquiry>) {
        let mut kept = self.kept.lock();
        forget(&mut kept, now);
        let is_same = |known: &Inquiry| known.clerk == *clerk && known.asked == asked;
        let known = kept.get(&id);
        if let Some(known) = known.filter(|known| is_same(known)) {
            return (id, Arc::clone(known));
        }
        let is_fresh = |known: &Inquiry| now.saturating_duration_since(known.began) < SAME_FOR;
        let same = kept.iter().find(|(_, known)| is_same(known) && is_fresh(known) && known.is_faultless());
        if let Some((same, inquiry)) = same {
            return (*same, Arc::clone(inquiry));
        }
        let id = if known.is_some() { RequestId::now() } else { id };
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
        if kept.len() >= MAX_KEPT {
            forget_oldest(kept, None);
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

    /// Notes an inquiry that was answered, once, and makes room for its answer.
    pub(crate) fn note(&self, clerk: &ClerkId, line: DayEntry) {
        make_room(&mut self.kept.lock(), MAX_KEPT_BYTES, line.id);
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
    pub(crate) fn today(&self, clerk: &ClerkId) -> Vec<DayEntry> {
        let today = tehran::day(self.clock.now());
        let days = self.days.lock();
        let lines = days.get(clerk).into_iter().flatten().filter(|line| tehran::day(line.at) == today);
        let mut lines: Vec<DayEntry> = lines.cloned().collect();
        lines.reverse();
        lines
    }
}

fn forget(kept: &mut HashMap<RequestId, Arc<Inquiry>>, now: Instant) {
    kept.retain(|_, inquiry| now.saturating_duration_since(inquiry.began) < KEPT_FOR);
}

/// Forgets the oldest until the size of all answers is at most `bytes`, and never the newest answer, which
/// may be of a form that was sent long ago.
fn make_room(kept: &mut HashMap<RequestId, Arc<Inquiry>>, bytes: usize, newest: RequestId) {
    let size = |inquiry: &Arc<Inquiry>| inquiry.answered.get().map_or(0, Answered::bytes);
    let mut all: usize = kept.values().map(size).sum();
    while all > bytes
        && let Some(oldest) = forget_oldest(kept, Some(newest))
    {
        all -= size(&oldest);
    }
}

fn forget_oldest(
    kept: &mut HashMap<RequestId, Arc<Inquiry>>,
    except: Option<RequestId>,
) -> Option<Arc<Inquiry>> {
    let others = kept.iter().filter(|(id, _)| Some(**id) != except);
    let oldest = others.min_by_key(|(_, known)| known.began).map(|(id, _)| *id);
    oldest.and_then(|oldest| kept.remove(&oldest))
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
    fn the_same_question_in_a_new_form_is_the_same_inquiry_for_a_while_unless_a_part_is_missing() {
        let inquiries = Inquiries::new(Clock::system());
        let clerk: ClerkId = "zahra".parse().unwrap();
        let now = Instant::now();
        let begin = |subject: &str, now| inquiries.begin(&clerk, RequestId::now(), asked(subject), now);
        let (on_its_way, inquiry) = begin("1", now);
        assert_eq!(begin("1", now).0, on_its_way);
        inquiry.answered.set(Answered::of_size(0)).unwrap();
        assert_eq!(begin("1", now + SAME_FOR - Duration::from_secs(1)).0, on_its_way);
        assert_ne!(begin("1", now + SAME_FOR).0, on_its_way);

        let (partial, inquiry) = begin("2", now);
        inquiry.answered.set(Answered::without_a_part()).unwrap();
        assert_ne!(begin("2", now).0, partial);
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
    fn the_oldest_answers_make_room_for_more_bytes_than_there_may_be() {
        let inquiries = Inquiries::new(Clock::system());
        let clerk: ClerkId = "zahra".parse().unwrap();
        let now = Instant::now();
        let ids = [0, 1, 2].map(|second| {
            let began = now + Duration::from_secs(second);
            let (id, inquiry) = inquiries.begin(&clerk, RequestId::now(), asked(&second.to_string()), began);
            inquiry.answered.set(Answered::of_size(100)).unwrap();
            id
        });
        make_room(&mut inquiries.kept.lock(), 300, ids[2]);
        assert_eq!(inquiries.kept.lock().len(), 3);
        // The first one's answer has come last.
        make_room(&mut inquiries.kept.lock(), 250, ids[0]);
        let kept = ids.map(|id| inquiries.get(&clerk, id, now).is_some());
        assert_eq!(kept, [true, false, true]);
    }

    #[test]
    fn the_day_has_each_inquiry_once_the_newest_first() {
        let inquiries = Inquiries::new(Clock::system());
        let clerk: ClerkId = "zahra".parse().unwrap();
        let line =
            |id| DayEntry { id, at: inquiries.clock.now(), name: None, case: String::new(), parts: (7, 7) };
        let [one, two] = [RequestId::now(), RequestId::now()];
        [one, two, one].into_iter().for_each(|id| inquiries.note(&clerk, line(id)));
        let ids: Vec<RequestId> = inquiries.today(&clerk).iter().map(|line| line.id).collect();
        assert_eq!(ids, [two, one]);
        assert!(inquiries.today(&"ali".parse().unwrap()).is_empty());
    }
}
