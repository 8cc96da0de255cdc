//! This module reads the values of `gateway.toml` that have a unit or bounds: sizes, durations and shares.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize as _;

pub(super) fn checkpoint_every<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let every = jiff::fmt::serde::unsigned_duration::friendly::compact::required::deserialize(deserializer)?;
    // A checkpoint costs some ten syncs, so the lower bound limits the load on the disk. Entries after the
    // last checkpoint are not signed yet, so the upper bound limits their number.
    let bounds = Duration::from_millis(10)..=Duration::from_secs(3600);
    let wrong = || serde::de::Error::custom("`checkpoint_every` is from 10ms to 1h");
    bounds.contains(&every).then_some(every).ok_or_else(wrong)
}

/// Reads `"64KiB"`, `"1MiB"` or `"4096B"`.
pub(super) fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    size(deserializer, 1 << 10..=16 << 20, "a size is from 1KiB to 16MiB")
}

pub(super) fn ceiling<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    size(deserializer, 64 << 20..=usize::MAX, "a ceiling of memory is 64MiB or more").map(Some)
}

pub(super) fn low_water<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = size(deserializer, 1 << 20..=usize::MAX, "`low_water` is 1MiB or more")?;
    u64::try_from(size).map_err(serde::de::Error::custom)
}

fn size<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
    bounds: std::ops::RangeInclusive<usize>,
    rule: &'static str,
) -> Result<usize, D::Error> {
    use serde::de::Error as _;
    let text = String::deserialize(deserializer)?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(D::Error::custom("a size is a number with a unit: `B`, `KiB`, `MiB` or `GiB`")),
    };
    // `checked_mul`, because `usize::MAX` with a unit would wrap to a small and valid size.
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(scale));
    size.filter(|size| bounds.contains(size)).ok_or_else(|| D::Error::custom(rule))
}

pub(super) fn share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(Some(share))
    } else {
        Err(serde::de::Error::custom("a share is from 0 to 1"))
    }
}

/// The largest number of gateways that may be given.
const MOST_REPLICAS: u32 = 100;

pub(super) fn replicas<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let replicas = NonZeroU32::new(u32::deserialize(deserializer)?);
    let known = replicas.filter(|replicas| replicas.get() <= MOST_REPLICAS);
    known.ok_or_else(|| serde::de::Error::custom(format!("`replicas` is from 1 to {MOST_REPLICAS}")))
}

pub(super) fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}
