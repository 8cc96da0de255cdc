//! This module keeps idempotency keys: a request id is remembered for 10 minutes, so that a repeated attempt
//! of a call is recognised, and another request under the same id is refused. Only keyed hashes of a call are
//! kept (HMAC-SHA256, 16 bytes), and nothing of its answer.
//!
//! An id belongs to one caller and one method. At most 5 calls with one id count as one (gRPC A6,
//! `maxAttempts`), so that an id cannot evade a rate limit.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use parking_lot::Mutex;

/// For how long an id is remembered, from its first call on.
const ATTEMPT_LIFETIME: Duration = Duration::from_secs(600);
/// Ids that are remembered at most, in some 40 MiB; the oldest make room.
const MAX_REQUEST_IDS: usize = 1 << 18;
/// Each has a lock of its own.
const SHARDS: usize = 16;
/// Attempts that count together as one call: gRPC's own clients make at most five (A6, `maxAttempts`).
const FREE: u32 = 5;

type Hash = [u8; 16];

/// The ids of the whole process. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Attempts(Arc<Inner>);

struct Inner {
    key: hmac::Key,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    seen: HashMap<Hash, RequestIdState>,
    /// By age, the oldest first.
    ages: VecDeque<(Instant, Hash)>,
}

/// What is known of an id.
struct RequestIdState {
    since: Instant,
    calls: u32,
    /// The grant's limits have counted a call of it.
    is_counted: bool,
    /// What the call was for, beside its message.
    intent: Hash,
    /// The message, once one was read.
    message: Option<Hash>,
}

/// The id came with another request than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Conflict;

/// A call with a request id.
pub(crate) struct RequestIdAttempt {
    attempts: Attempts,
    name: Hash,
    number: u32,
    is_free: bool,
    /// Whether the id is forgotten if this call comes to nothing.
    is_first: bool,
}

impl Attempts {
    /// `key` keeps what is hashed from being guessed: 32 bytes, by chance or the deployment's own.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self(Arc::new(Inner { key: hmac::Key::new(hmac::HMAC_SHA256, key), shards }))
    }

    /// A call has come. `name`: whose id it is, for which method, and the id; `intent`: everything that makes
    /// it this call and no other, but for the message, which is not read yet.
    ///
    /// # Errors
    /// [`Conflict`] if the id came with another intent before.
    pub(crate) fn begin(
        &self,
        name: &[&str],
        intent: &[&str],
        now: Instant,
    ) -> Result<RequestIdAttempt, Conflict> {
        let name = self.hash(name);
        let intent = self.hash(intent);
        let mut shard = self.shard(&name);
        // Room is made before the insertion, so that a shard never exceeds its share of `MAX_REQUEST_IDS`.
        shard.forget(now, MAX_REQUEST_IDS / SHARDS - 1);
        let fresh = || RequestIdState { since: now, calls: 0, is_counted: false, intent, message: None };
        let is_first = !shard.seen.contains_key(&name);
        if is_first {
            shard.ages.push_back((now, name));
        }
        let seen = shard.seen.entry(name).or_insert_with(fresh);
        if seen.intent != intent {
            return Err(Conflict);
        }
        seen.calls = seen.calls.saturating_add(1);
        // An id that was refused by a limit is not counted yet, so that its next attempt takes a token like a
        // first call.
        let is_free = seen.is_counted && seen.calls <= FREE;
        Ok(RequestIdAttempt { attempts: self.clone(), name, number: seen.calls, is_free, is_first })
    }

    fn shard(&self, name: &Hash) -> parking_lot::MutexGuard<'_, Shard> {
        // `SHARDS` is the length of the array, so the place is in it.
        self.0.shards[usize::from(name[0]) % SHARDS].lock()
    }

    fn hash(&self, parts: &[impl AsRef<[u8]>]) -> Hash {
        let mut context = hmac::Context::with_key(&self.0.key);
        for part in parts {
            let part = part.as_ref();
            // The length before each part keeps `("a", "bc")` and `("ab", "c")` apart.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = Hash::default();
        hash.copy_from_slice(&context.sign().as_ref()[..16]);
        hash
    }
}

impl RequestIdAttempt {
    /// Which call with this id it is: 1 for the first.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Whether an earlier attempt was counted for this one too.
    pub(crate) fn is_free(&self) -> bool {
        self.is_free
    }

    /// The grant's limits have counted this one: from now on the id stays remembered, whatever becomes of the
    /// call.
    pub(crate) fn counted(&mut self) {
        self.is_first = false;
        if let Some(seen) = self.attempts.shard(&self.name).seen.get_mut(&self.name) {
            seen.is_counted = true;
        }
    }

    /// The call's message has been read.
    ///
    /// # Errors
    /// [`Conflict`] if the id came with another message before.
    pub(crate) fn read(&self, message: &[u8]) -> Result<(), Conflict> {
        let hash = self.attempts.hash(&[message]);
        let mut shard = self.attempts.shard(&self.name);
        // It may have had to make room meanwhile.
        let Some(seen) = shard.seen.get_mut(&self.name) else { return Ok(()) };
        // The first message that is read defines the request: attempts with one id may run at the same time.
        if *seen.message.get_or_insert(hash) == hash { Ok(()) } else { Err(Conflict) }
    }
}

impl Drop for RequestIdAttempt {
    fn drop(&mut self) {
        if self.is_first {
            let mut shard = self.attempts.shard(&self.name);
            // Unless another call came under it meanwhile.
            if shard.seen.get(&self.name).is_some_and(|seen| seen.calls == 1) {
                shard.seen.remove(&self.name);
                // Its age goes too: a caller who is refused again and again would otherwise fill the list,
                // and push out ids that others rely on. It was put in last or nearly so.
                if let Some(at) = shard.ages.iter().rposition(|(_, name)| *name == self.name) {
                    shard.ages.remove(at);
                }
            }
        }
    }
}

impl Shard {
    /// Lets go of what is too old, and of the oldest beyond `most`.
    fn forget(&mut self, now: Instant, most: usize) {
        while let Some((since, name)) = self.ages.front().copied() {
            if self.ages.len() <= most && now.saturating_duration_since(since) < ATTEMPT_LIFETIME {
                break;
            }
            self.ages.pop_front();
            // An id that came to nothing and was used again has two ages.
            if self.seen.get(&name).is_some_and(|seen| seen.since == since) {
                self.seen.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
