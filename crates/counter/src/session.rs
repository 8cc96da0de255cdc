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
    /// A page of another site does not know it (OWASP, "Synchronizer Token").
    form_token: [u8; TOKEN],
}

/// Length of a form's token in bytes.
const TOKEN: usize = 16;

impl Session {
    /// The token for one form of this session: a mask and the masked token, so that no two pages have the
    /// same and nobody learns it from the sizes of many compressed ones (BREACH, 2013).
    pub(crate) fn form_token(&self) -> String {
        let mut both = [0; 2 * TOKEN];
        let Some(mask) = random::<TOKEN>() else { return String::new() };
        let (masks, masked) = both.split_at_mut(TOKEN);
        masks.copy_from_slice(&mask);
        for (masked, (byte, mask)) in masked.iter_mut().zip(self.form_token.iter().zip(mask)) {
            *masked = byte ^ mask;
        }
        BASE64_URL_SAFE_NO_PAD.encode(both)
    }

    /// Whether a form is one of this session's.
    pub(crate) fn is_own_form(&self, token: &str) -> bool {
        let mut both = [0; 2 * TOKEN];
        // A shorter text leaves zeros, which are no token.
        if BASE64_URL_SAFE_NO_PAD.decode_slice(token, &mut both).is_err() {
            return false;
        }
        let (mask, masked) = both.split_at_mut(TOKEN);
        masked.iter_mut().zip(mask).for_each(|(masked, mask)| *masked ^= *mask);
        self.form_token.ct_eq(masked).into()
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
        let id = BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?);
        let session = Arc::new(Session { clerk, name, form_token: random()? });
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

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
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
        let token = one.form_token();
        assert!(one.is_own_form(&token) && one.is_own_form(&one.form_token()), "each form's is another");
        assert_ne!(token, one.form_token());
        for other in [two.form_token(), String::new(), token[..20].to_owned(), "A".repeat(43), token + "AAAA"]
        {
            assert!(!one.is_own_form(&other), "{other}");
        }
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
