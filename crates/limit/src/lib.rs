//! This crate has rate limits (GCRA), concurrency limits, quotas and fair queueing (`Fair`). Limits are
//! counted in this process (by `governor`), and rates also among several gateways through Redis (`Shared`).
//!
//! Deliberately absent: who the caller is and what a grant allows; the registry decides that.

mod fair;
mod grant_limiter;
mod limiter;
mod quotas;
mod shared;
mod usage;

pub use fair::{Bounds, Charge, Fair, Ticket, Turn, Waiting};
pub use grant_limiter::GrantLimiter;
pub use limiter::{Admission, Denied, Limiter};
pub use quotas::{QuotaCall, QuotaKeeper, QuotaTaken, Spent};
pub use shared::{RedisServer, ServerError, Shared, SharedSettings, SharedUsage};
pub use usage::{Kind, LimitUsage, Usage};
