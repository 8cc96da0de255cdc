//! The two scripts that run in Redis, and the checking of what they answer. Redis is not trusted: an answer
//! that no script of ours gives is an error.

use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult, Script, ScriptInvocation, Value};

/// Leases tokens of one bucket. The bucket is the theoretical arrival time of the generic cell rate algorithm
/// (GCRA; ITU-T I.371, virtual scheduling) in microseconds of the server's clock: the time at which it is
/// full again. All is reckoned in `ahead`, the time until then: a double has steps of 0.25 µs at today's
/// time, and none near zero.
///
/// What gateways admitted by themselves may put the bucket in debt, by as much as it holds when it is full. A
/// clock that was set back leaves such a debt at worst, and one that was set forward a full bucket; a value
/// that is none, and a key of another type, are a full bucket.
const LEASE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local returned, spent = tonumber(ARGV[4]), tonumber(ARGV[5])
local full = interval * burst
local held = redis.pcall('GET', KEYS[1])
local arrival = type(held) == 'string' and tonumber(held) or now
if arrival ~= arrival then
  arrival = now
end
local ahead = math.min(math.max(arrival - now, 0), 2 * full)
ahead = math.max(ahead - returned * interval, 0)
ahead = math.min(ahead + spent * interval, 2 * full)
local room = math.max(math.floor((full - ahead + 0.25) / interval), 0)
local granted = math.min(wanted, room)
ahead = ahead + granted * interval
redis.call('SET', KEYS[1], string.format('%.3f', now + ahead), 'PX', math.ceil(ahead / 1000) + 1)
local wait = 0
if granted < wanted then
  wait = math.max(ahead + interval - full, 1)
end
return {granted, room - granted, math.ceil(wait)}
";

/// Says that a gateway is there, for some time, and counts those that are.
const PRESENCE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = tonumber(ARGV[2])
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then
  redis.call('DEL', KEYS[1])
end
if life > 0 then
  redis.call('ZADD', KEYS[1], now + life, ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. (now + 60000), '+inf')
redis.call('PEXPIRE', KEYS[1], 60000)
return redis.call('ZCARD', KEYS[1])
";

/// Most gateways that are believed to share limits.
const MOST_REPLICAS: u32 = 1_000;

/// The scripts, with their hashes for `EVALSHA`.
pub(super) struct Scripts {
    lease: Script,
    presence: Script,
}

/// A bucket and what is asked of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseRequest<'k> {
    pub(super) key: &'k str,
    /// Time in which one token comes back.
    pub(super) interval: Duration,
    /// Tokens of a full bucket.
    pub(super) burst: u32,
    /// Tokens that are asked for.
    pub(super) wanted: u32,
    /// Leased tokens that were not used.
    pub(super) returned: u32,
    /// Calls that were admitted without a token, while Redis could not be asked.
    pub(super) spent: u32,
}

/// What a bucket gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Leased {
    /// Tokens, at most those that were asked for.
    pub(super) granted: u32,
    /// Tokens that are left in the bucket.
    pub(super) left: u32,
    /// Time until there is one more, if fewer were granted than were asked for.
    pub(super) wait: Duration,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { lease: Script::new(LEASE), presence: Script::new(PRESENCE) }
    }

    pub(super) fn lease(&self, request: &LeaseRequest<'_>) -> ScriptInvocation<'_> {
        let LeaseRequest { key, interval, burst, wanted, returned, spent } = *request;
        let mut invocation = self.lease.key(key);
        // Microseconds with a fraction: a rate of 999,983 calls a second has 1.000017 of them.
        invocation.arg(format!("{:.3}", interval.as_nanos() as f64 / 1e3));
        invocation.arg(burst).arg(wanted).arg(returned).arg(spent);
        invocation
    }

    /// `life`: how long the gateway is taken to be there; nothing to leave.
    pub(super) fn presence(&self, key: &str, replica: &str, life: Duration) -> ScriptInvocation<'_> {
        let mut invocation = self.presence.key(key);
        invocation.arg(replica).arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        invocation
    }
}

impl Leased {
    /// The answer to this request.
    ///
    /// # Errors
    /// If it is not a valid answer of the script.
    pub(super) fn read(answer: &Value, request: &LeaseRequest<'_>) -> RedisResult<Self> {
        let Value::Array(parts) = answer else { return Err(unexpected("no array")) };
        let [granted, left, wait] = parts.as_slice() else { return Err(unexpected("not three numbers")) };
        let granted = number(granted, u64::from(request.wanted))?;
        let left = number(left, u64::from(request.burst) - granted.min(request.burst.into()))?;
        let full = request.interval.saturating_mul(request.burst.saturating_add(1));
        let longest = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        let wait = Duration::from_micros(number(wait, longest)?);
        let small = |number: u64| u32::try_from(number).map_err(|_| unexpected("a number out of range"));
        Ok(Self { granted: small(granted)?, left: small(left)?, wait })
    }
}

/// The number of gateways that a presence was answered with.
///
/// # Errors
/// If it is not a valid answer of the script, which counts at least the gateway that asks.
pub(super) fn replicas(answer: &Value) -> RedisResult<u32> {
    match number(answer, MOST_REPLICAS.into())? {
        0 => Err(unexpected("no gateway at all")),
        count => u32::try_from(count).map_err(|_| unexpected("a number out of range")),
    }
}

fn number(value: &Value, most: u64) -> RedisResult<u64> {
    let number = match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    number.filter(|number| *number <= most).ok_or_else(|| unexpected("a number out of range"))
}

fn unexpected(detail: &'static str) -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "an answer that the script does not give",
        detail.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: LeaseRequest<'static> = LeaseRequest {
        key: "k",
        interval: Duration::from_millis(50),
        burst: 40,
        wanted: 10,
        returned: 0,
        spent: 0,
    };

    fn answer(numbers: &[i64]) -> Value {
        Value::Array(numbers.iter().copied().map(Value::Int).collect())
    }

    #[test]
    fn an_answer_within_what_was_asked_is_read() {
        let leased = Leased::read(&answer(&[4, 0, 49_000]), &REQUEST).unwrap();
        assert_eq!(leased, Leased { granted: 4, left: 0, wait: Duration::from_millis(49) });
        assert_eq!(Leased::read(&answer(&[10, 30, 0]), &REQUEST).unwrap().left, 30);
    }

    #[test]
    fn a_bucket_of_any_rate_has_exactly_its_burst_and_then_a_wait() {
        let redis = chapar_test_servers::Redis::shared();
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", redis.port())).unwrap();
        let mut connection = client.get_connection().unwrap();
        let scripts = Scripts::new();
        for rate in [
            "1/d",
            "7/h",
            "12/s",
            "20/s",
            "30/s",
            "60/s",
            "90/s",
            "300/s",
            "600/s",
            "4000/s",
            "999983/s",
            "1000000/s",
        ] {
            let interval = rate.parse::<chapar_model::Rate>().unwrap().interval();
            for burst in (1..=60).chain([100, 1000, 1_000_000]) {
                let key = format!("precision:{rate}:{burst}");
                let request =
                    LeaseRequest { key: &key, interval, burst, wanted: burst + 1, returned: 0, spent: 0 };
                let answer: Value = scripts.lease(&request).invoke(&mut connection).unwrap();
                let leased = Leased::read(&answer, &request).unwrap();
                assert_eq!((leased.granted, leased.left), (burst, 0), "{rate}, burst {burst}");
                assert!(
                    !leased.wait.is_zero() && leased.wait <= interval + Duration::from_micros(1),
                    "{rate}, burst {burst}: {leased:?}"
                );
            }
        }
    }

    #[test]
    fn what_was_spent_without_a_token_is_a_debt_of_one_burst_at_most() {
        let redis = chapar_test_servers::Redis::shared();
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", redis.port())).unwrap();
        let mut connection = client.get_connection().unwrap();
        let scripts = Scripts::new();
        let mut lease = |wanted, returned, spent| {
            let interval = Duration::from_secs(3600);
            let request = LeaseRequest { key: "debt", interval, burst: 10, wanted, returned, spent };
            let answer: Value = scripts.lease(&request).invoke(&mut connection).unwrap();
            Leased::read(&answer, &request).unwrap()
        };
        assert_eq!(lease(10, 0, 0).granted, 10);
        // More than a burst counts as one.
        assert_eq!(lease(1, 0, 15).granted, 0);
        let leased = lease(1, 9, 0);
        assert_eq!((leased.granted, leased.left), (0, 0));
        assert!(
            leased.wait > Duration::from_secs(3600) && leased.wait <= Duration::from_secs(7200),
            "{leased:?}"
        );
        assert_eq!(lease(1, 2, 0).granted, 1);
    }

    #[test]
    fn an_answer_that_no_script_gives_is_an_error() {
        let text = Value::SimpleString("4".into());
        for wrong in [
            answer(&[11, 0, 0]),
            answer(&[-1, 0, 0]),
            answer(&[i64::MAX, 0, 0]),
            answer(&[10, 31, 0]),
            answer(&[0, -1, 0]),
            answer(&[0, 0, -1]),
            answer(&[0, 0, 2_050_001]),
            answer(&[0, 0]),
            answer(&[0, 0, 0, 0]),
            Value::Array(vec![text.clone(), Value::Int(0), Value::Int(0)]),
            Value::Array(vec![Value::Double(f64::NAN), Value::Int(0), Value::Int(0)]),
            text,
            Value::Nil,
            Value::Int(4),
        ] {
            assert!(Leased::read(&wrong, &REQUEST).is_err(), "{wrong:?}");
        }
        for wrong in [Value::Int(0), Value::Int(-1), Value::Int(1001), Value::Nil, Value::Okay] {
            assert!(replicas(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(replicas(&Value::Int(3)).unwrap(), 3);
    }
}
