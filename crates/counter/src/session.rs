//! `Sessions` are the clerks who are signed in, in memory: a restart ends them. A session's id is 256 random
//! bits in a cookie; it ends after the idle time, after its longest time, and when the clerk signs out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chapar_model::ClerkId;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

/// Maximum number of sessions. An office has some dozen clerks; the oldest ends for a new one.
const MAX_SESSIONS: usize = 1000;

/// A clerk who is signed in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) clerk: ClerkId,
    pub(crate) name: String,
    /// Stands in every form of the session: a page of another site does not know it (OWASP, "Synchronizer
    /// Token").
    pub(crate) form_token: String,
}

impl Session {
    /// Whether a form is one of this session's.
    pub(crate) fn is_own_form(&self, token: &str) -> bool {
        self.form_token.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

struct Open {
    session: Arc<Session>,
    began: Instant,
    used: Instant,
}

/// Those who are signed in.
pub(crate) struct Sessions {
    idle: Duration,
    longest: Duration,
    open: Mutex<HashMap<String, Open>>,
}

impl Sessions {
    pub(crate) fn new(idle: Duration, longest: Duration) -> Self {
        Self { idle, longest, open: Mutex::default() }
    }

    /// Begins a session, always with a new id, so that nobody can sign a clerk in under an id that they know
    /// (session fixation). Returns the id; `None` if the system gives no random bytes.
    pub(crate) fn begin(&self, clerk: ClerkId, name: String, now: Instant) -> Option<String> {
        let id = random::<32>()?;
        let session = Arc::new(Session { clerk, name, form_token: random::<16>()? });
        let mut open = self.open.lock();
        open.retain(|_, known| !self.is_over(known, now));
        if open.len() >= MAX_SESSIONS
            && let Some(oldest) = open.iter().min_by_key(|(_, known)| known.used).map(|(id, _)| id.clone())
        {
            open.remove(&oldest);
        }
        open.insert(id.clone(), Open { session, began: now, used: now });
        Some(id)
    }

    /// The session of an id, which this counts as used.
    pub(crate) fn get(&self, id: &str, now: Instant) -> Option<Arc<Session>> {
        let mut open = self.open.lock();
        let known = open.get_mut(id)?;
        if self.is_over(known, now) {
            open.remove(id);
            return None;
        }
        known.used = now;
        Some(Arc::clone(&known.session))
    }

    pub(crate) fn end(&self, id: &str) {
        self.open.lock().remove(id);
    }

    fn is_over(&self, open: &Open, now: Instant) -> bool {
        now.saturating_duration_since(open.used) >= self.idle
            || now.saturating_duration_since(open.began) >= self.longest
    }
}

/// `N` random bytes as text.
fn random<const N: usize>() -> Option<String> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn sessions() -> (Sessions, Instant, String) {
        let sessions = Sessions::new(15 * MINUTE, 600 * MINUTE);
        let now = Instant::now();
        let id = sessions.begin("z.karimi".parse().unwrap(), "Z".to_owned(), now).unwrap();
        (sessions, now, id)
    }

    #[test]
    fn a_session_ends_after_its_idle_time_and_after_its_longest_time() {
        let (sessions, now, id) = sessions();
        assert!(sessions.get(&id, now + 14 * MINUTE).is_some());
        assert!(sessions.get(&id, now + 28 * MINUTE).is_some(), "it was used since");
        assert!(sessions.get(&id, now + 43 * MINUTE).is_none());
        assert!(sessions.get(&id, now + 28 * MINUTE).is_none(), "once over, it is over");

        let (sessions, now, id) = self::sessions();
        assert!((0..60).all(|tens| sessions.get(&id, now + tens * 10 * MINUTE).is_some()));
        assert!(sessions.get(&id, now + 600 * MINUTE).is_none());
    }

    #[test]
    fn ids_are_new_each_time_and_forms_are_of_one_session() {
        let (sessions, now, id) = sessions();
        let other = sessions.begin("z.karimi".parse().unwrap(), "Z".to_owned(), now).unwrap();
        assert_ne!(id, other);
        let [one, two] = [&id, &other].map(|id| sessions.get(id, now).unwrap());
        assert!(
            one.is_own_form(&one.form_token) && !one.is_own_form(&two.form_token) && !one.is_own_form("")
        );
        sessions.end(&id);
        assert!(sessions.get(&id, now).is_none() && sessions.get(&other, now).is_some());
    }

    #[test]
    fn there_is_a_bound() {
        let (sessions, now, id) = sessions();
        for number in 1..=MAX_SESSIONS {
            let later = now + Duration::from_millis(number as u64);
            sessions.begin("a".parse().unwrap(), String::new(), later).unwrap();
        }
        assert_eq!(sessions.open.lock().len(), MAX_SESSIONS);
        assert!(sessions.get(&id, now).is_none(), "the oldest made room");
    }
}
