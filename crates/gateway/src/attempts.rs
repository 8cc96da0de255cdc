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

/// Time for which an id is remembered, from its first call on. Five attempts of a unary call with the longest
/// timeout (30 s) take a quarter of it.
const ATTEMPT_LIFETIME: Duration = Duration::from_secs(600);
/// Maximum number of ids that are remembered, which take some 40 MiB. At the maximum the oldest id is
/// forgotten for a new one.
const MAX_REQUEST_IDS: usize = 1 << 18;
/// Number of shards. Each has a lock of its own, so that worker threads seldom wait for each other.
const LOCK_SHARDS: usize = 16;
/// Attempts that count together as one call: gRPC's own clients make at most five (A6, `maxAttempts`).
const MAX_FREE_ATTEMPTS: u32 = 5;

type Hash = [u8; 16];

/// `Attempts` holds the request ids of the whole process. Clones share the same state.
#[derive(Clone)]
pub(crate) struct Attempts(Arc<Inner>);

struct Inner {
    key: hmac::Key,
    shards: [Mutex<Shard>; LOCK_SHARDS],
}

#[derive(Default)]
struct Shard {
    seen: HashMap<Hash, RequestIdState>,
    /// Ids by age, the oldest first.
    ages: VecDeque<(Instant, Hash)>,
}

/// State of one request id.
struct RequestIdState {
    since: Instant,
    calls: u32,
    /// True once the grant's rate limit has counted a call with this id.
    is_counted: bool,
    /// Hash of everything that identifies the request, except its message.
    intent: Hash,
    /// Hash of the message; `None` until a message was read.
    message: Option<Hash>,
}

/// The id was used before with another request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Conflict;

/// A call with a request id.
pub(crate) struct RequestIdAttempt {
    attempts: Attempts,
    name: Hash,
    /// Since when the id is remembered, which tells it from the same id after it was evicted.
    since: Instant,
    number: u32,
    is_free: bool,
    /// True while the id is new and no limit has counted the call. Then dropping the attempt forgets the id.
    is_first: bool,
}

impl Attempts {
    /// `key` is the HMAC key, 32 bytes, random or the deployment's own. Without it nobody can test guessed
    /// calls against the hashes.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self(Arc::new(Inner { key: hmac::Key::new(hmac::HMAC_SHA256, key), shards }))
    }

    /// Begins one attempt of a call. `name` is the caller, the method and the id. `intent` is everything that
    /// identifies the request except the message, which is not read yet.
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
        shard.forget(now, MAX_REQUEST_IDS / LOCK_SHARDS - 1);
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
        let is_free = seen.is_counted && seen.calls <= MAX_FREE_ATTEMPTS;
        Ok(RequestIdAttempt {
            attempts: self.clone(),
            name,
            since: seen.since,
            number: seen.calls,
            is_free,
            is_first,
        })
    }

    fn shard(&self, name: &Hash) -> parking_lot::MutexGuard<'_, Shard> {
        // `LOCK_SHARDS` is the length of the array, so the place is in it.
        self.0.shards[usize::from(name[0]) % LOCK_SHARDS].lock()
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
        // 16 of the 32 bytes are kept: 128 bits rule out chance collisions among 262,144 ids, and save
        // memory.
        hash.copy_from_slice(&context.sign().as_ref()[..16]);
        hash
    }
}

impl RequestIdAttempt {
    /// Returns the number of this attempt among the calls with its id: 1 for the first.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns whether the rate limit has counted an earlier attempt, so that this one takes no token.
    pub(crate) fn is_free(&self) -> bool {
        self.is_free
    }

    /// Marks the id as counted by the grant's rate limit. From now on it is remembered however the call ends,
    /// since its token is spent.
    pub(crate) fn counted(&mut self) {
        self.is_first = false;
        if let Some(seen) = self.attempts.shard(&self.name).seen.get_mut(&self.name) {
            seen.is_counted = true;
        }
    }

    /// Compares the call's message with that of earlier attempts.
    ///
    /// # Errors
    /// [`Conflict`] if the id came with another message before.
    pub(crate) fn read(&self, message: &[u8]) -> Result<(), Conflict> {
        let hash = self.attempts.hash(&[message]);
        let mut shard = self.attempts.shard(&self.name);
        // The id may have been evicted by newer ones meanwhile. Then the attempt is treated like a first
        // call.
        let Some(seen) = shard.seen.get_mut(&self.name) else { return Ok(()) };
        // The first message that is read defines the request: attempts with one id may run at the same time.
        if *seen.message.get_or_insert(hash) == hash { Ok(()) } else { Err(Conflict) }
    }
}

impl Drop for RequestIdAttempt {
    fn drop(&mut self) {
        if self.is_first {
            let mut shard = self.attempts.shard(&self.name);
            // An id that another attempt has used meanwhile is kept for it.
            if shard.seen.get(&self.name).is_some_and(|seen| seen.calls == 1 && seen.since == self.since) {
                shard.seen.remove(&self.name);
                // Its entry in `ages` is removed too: otherwise a caller that is refused again and again
                // would fill the list, and evict ids that others rely on. The search starts from the end,
                // because the entry is one of the newest.
                if let Some(at) = shard.ages.iter().rposition(|(_, name)| *name == self.name) {
                    shard.ages.remove(at);
                }
            }
        }
    }
}

impl Shard {
    /// Removes ids that are older than `ATTEMPT_LIFETIME`, and the oldest ids beyond `most`.
    fn forget(&mut self, now: Instant, most: usize) {
        while let Some((since, name)) = self.ages.front().copied() {
            if self.ages.len() <= most && now.saturating_duration_since(since) < ATTEMPT_LIFETIME {
                break;
            }
            self.ages.pop_front();
            // The times are compared, because an id that was forgotten and used again may have an older entry
            // in `ages`.
            if self.seen.get(&name).is_some_and(|seen| seen.since == since) {
                self.seen.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
