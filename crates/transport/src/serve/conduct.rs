//! `Conduct` tracks a connection's calls: how many run, how many the peer cancelled within 100 ms (rapid
//! reset), and which responses wait for flow control. The connection's task checks it at least every 5 s, and
//! cancellations on each read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// Number of turns for which a response may wait for flow control. A turn is a sixth of `write_stall`.
const MAX_STALL_TURNS: u32 = 6;
/// Number of turns that are counted separately. It is larger than `MAX_STALL_TURNS`, so that an old wait is
/// not mistaken for a new one.
const TURN_SLOTS: usize = 16;
/// Time within which a cancelled call counts as hasty (rapid reset). An honest caller seldom gives up within
/// 100 ms.
const RAPID_RESET: Duration = Duration::from_millis(100);
/// Interval over which hasty cancellations are counted.
const CANCEL_WINDOW: Duration = Duration::from_secs(10);

/// `Conduct` counts one connection's calls. All orderings are Relaxed: the counters guard no other memory,
/// and a value that is read late delays the end of the connection by at most one check.
#[derive(Debug)]
pub(super) struct Conduct {
    running: AtomicU32,
    calls: AtomicU32,
    turn: AtomicU32,
    /// Turn in which the last call began or ended.
    busy: AtomicU32,
    /// Number of responses that wait for flow control, by the turn in which the wait began.
    waiting: [AtomicU32; TURN_SLOTS],
    allowed: u32,
    hasty: Mutex<Hasty>,
    is_rapid_reset: AtomicBool,
    greeted: AtomicBool,
    /// Turn in which a write to the peer began to wait, plus one; 0 if none waits.
    blocked: AtomicU32,
}

#[derive(Debug)]
struct Hasty {
    since: Instant,
    calls_before: u32,
    count: u32,
}

impl Conduct {
    /// `allowed` is the number of hasty cancellations in ten seconds.
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            running: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            turn: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            waiting: Default::default(),
            allowed,
            hasty: Mutex::new(Hasty { since: Instant::now(), calls_before: 0, count: 0 }),
            is_rapid_reset: AtomicBool::new(false),
            greeted: AtomicBool::new(false),
            blocked: AtomicU32::new(0),
        }
    }

    /// Returns the length of a turn, if a response may wait for `write_stall`.
    pub(super) fn turn_of(write_stall: Duration) -> Duration {
        write_stall / MAX_STALL_TURNS
    }

    /// Begins the next turn. Returns false if a response has waited for flow control for too long.
    pub(super) fn advance_turn(&self) -> bool {
        let now = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let blocked = self.blocked.load(Ordering::Relaxed);
        if blocked > 0 && now.wrapping_sub(blocked - 1) >= MAX_STALL_TURNS {
            return false;
        }
        let oldest = MAX_STALL_TURNS..TURN_SLOTS as u32;
        !oldest.into_iter().any(|age| self.slot(now.wrapping_sub(age)).load(Ordering::Relaxed) > 0)
    }

    /// Returns the number of turns without a call.
    pub(super) fn idle_turns(&self) -> u32 {
        if self.running.load(Ordering::Relaxed) > 0 {
            return 0;
        }
        self.turn.load(Ordering::Relaxed).wrapping_sub(self.busy.load(Ordering::Relaxed))
    }

    /// Returns whether the peer cancels too many calls (rapid reset).
    pub(super) fn is_rapid_reset(&self) -> bool {
        self.is_rapid_reset.load(Ordering::Relaxed)
    }

    /// Notes that the peer has begun to speak HTTP/2.
    pub(super) fn mark_greeted(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// Returns whether the peer has begun to speak HTTP/2.
    pub(super) fn greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Notes whether a write to the peer waits, which it does if the peer does not read.
    pub(super) fn mark_blocked(&self, is_blocked: bool) {
        let since = if is_blocked { self.turn.load(Ordering::Relaxed).wrapping_add(1).max(1) } else { 0 };
        let known = self.blocked.load(Ordering::Relaxed);
        // The wait goes on from its first write.
        if (known > 0) != is_blocked {
            self.blocked.store(since, Ordering::Relaxed);
        }
    }

    /// Counts a call.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Running { conduct: Arc::clone(self), began: Instant::now(), answered: false }
    }

    fn slot(&self, turn: u32) -> &AtomicU32 {
        &self.waiting[turn as usize % TURN_SLOTS]
    }

    fn touch(&self) {
        self.busy.store(self.turn.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn record_cancel(&self, after: Duration) {
        // A call that ran for longer was work, and a caller may give up on it.
        if after >= RAPID_RESET {
            return;
        }
        let calls = self.calls.load(Ordering::Relaxed);
        let mut hasty = self.hasty.lock();
        if hasty.since.elapsed() > CANCEL_WINDOW {
            *hasty = Hasty { since: Instant::now(), calls_before: calls.saturating_sub(1), count: 0 };
        }
        hasty.count += 1;
        // Both conditions must hold: a busy peer cancels many calls, and a quiet one most of a few.
        if hasty.count > self.allowed && hasty.count > calls.wrapping_sub(hasty.calls_before) / 2 {
            self.is_rapid_reset.store(true, Ordering::Relaxed);
        }
    }
}

/// `Running` is a running call.
#[derive(Debug)]
pub(super) struct Running {
    conduct: Arc<Conduct>,
    began: Instant,
    answered: bool,
}

impl Running {
    /// Wraps the response body, which is part of the call.
    pub(super) fn answer<B: Body + Unpin>(self, body: B) -> Answer<B> {
        let mut answer = Answer { body, call: self, waits_since: None };
        answer.wait();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.conduct.running.fetch_sub(1, Ordering::Relaxed);
        self.conduct.touch();
        if !self.answered {
            self.conduct.record_cancel(self.began.elapsed());
        }
    }
}

/// `Answer` is a body that HTTP/2 polls while the peer's flow control window has room.
#[derive(Debug)]
pub(super) struct Answer<B: Body> {
    body: B,
    call: Running,
    /// Turn in which the last frame was handed over; `None` if HTTP/2 has polled since.
    waits_since: Option<u32>,
}

impl<B: Body> Answer<B> {
    fn wait(&mut self) {
        let turn = self.call.conduct.turn.load(Ordering::Relaxed);
        self.call.conduct.slot(turn).fetch_add(1, Ordering::Relaxed);
        self.waits_since = Some(turn);
    }

    fn wait_no_more(&mut self) {
        if let Some(turn) = self.waits_since.take() {
            self.call.conduct.slot(turn).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.wait_no_more();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            // Only a data frame waits for flow control. Headers and trailers do not (RFC 9113 §5.2.1). The
            // last one waits too: it is held until there is room for it.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.call.answered |= self.body.is_end_stream();
                self.wait();
            }
            Poll::Ready(_) => self.call.answered = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Answer<B> {
    fn drop(&mut self) {
        self.wait_no_more();
        // A body is not polled past its end, so an answer that was sent whole shows here only.
        self.call.answered |= self.body.is_end_stream();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    fn unanswered(conduct: &Arc<Conduct>, count: u32) {
        (0..count).for_each(|_| drop(conduct.begin()));
    }

    fn answered(conduct: &Arc<Conduct>, count: u32) {
        (0..count).for_each(|_| drop(conduct.begin().answer(Full::new(Bytes::new()))));
    }

    #[test]
    fn calls_taken_back_count_only_when_they_are_many_and_most() {
        let conduct = Arc::new(Conduct::new(100));
        unanswered(&conduct, 100);
        assert!(!conduct.is_rapid_reset(), "within the budget");
        unanswered(&conduct, 1);
        assert!(conduct.is_rapid_reset());

        let conduct = Arc::new(Conduct::new(100));
        answered(&conduct, 200);
        unanswered(&conduct, 199);
        assert!(!conduct.is_rapid_reset(), "fewer than half");
        unanswered(&conduct, 3);
        assert!(conduct.is_rapid_reset());
    }

    #[test]
    fn a_call_that_was_given_up_after_a_while_is_not_held_against_anyone() {
        let conduct = Arc::new(Conduct::new(0));
        conduct.record_cancel(RAPID_RESET);
        assert!(!conduct.is_rapid_reset());
        conduct.record_cancel(RAPID_RESET / 2);
        assert!(conduct.is_rapid_reset());
    }

    #[tokio::test]
    async fn an_answer_without_room_is_noticed_once_the_patience_is_over() {
        use http_body_util::BodyExt as _;
        let conduct = Arc::new(Conduct::new(100));
        let mut answer = conduct.begin().answer(Full::new(Bytes::from_static(b"much")));
        for _ in 1..MAX_STALL_TURNS {
            assert!(conduct.advance_turn());
        }
        assert_eq!(conduct.idle_turns(), 0, "a call runs");
        assert!(!conduct.advance_turn(), "never asked for");
        answer.frame().await;
        assert!(conduct.advance_turn(), "asked for");
        drop(answer);
        assert_eq!(conduct.idle_turns(), 0);
        conduct.advance_turn();
        assert_eq!(conduct.idle_turns(), 1);
        assert_eq!(conduct.hasty.lock().count, 0, "it was answered");
    }
}
