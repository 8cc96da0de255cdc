//! Pseudo-random numbers for load balancing and jitter come from `fastrand`, without a lock. They are predictable: do not make keys of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64 over a counter that begins anywhere (Steele, Lea, Flood, 2014).
fn next() -> u64 {
    static STATE: OnceLock<AtomicU64> = OnceLock::new();
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let state = STATE.get_or_init(|| {
        let mut seed = [0; 8];
        // Without a seed, two processes choose alike; nothing else is lost.
        aws_lc_rs::rand::fill(&mut seed).ok();
        AtomicU64::new(u64::from_le_bytes(seed))
    });
    let mut mixed = state.fetch_add(GAMMA, Ordering::Relaxed);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `end`, which is at least 1.
pub fn below(end: usize) -> usize {
    // The product of a 32-bit number and `end` over 2^32: no division, and even enough for a choice among few.
    (((next() >> 32) * end as u64) >> 32) as usize
}

/// Two different numbers below `end`; the same one twice if there is only one.
pub fn two_below(end: usize) -> (usize, usize) {
    let first = below(end);
    if end < 2 {
        return (first, first);
    }
    let second = below(end - 1);
    (first, if second < first { second } else { second + 1 })
}

/// From 0.5 to 1, so that many who wait for the same thing do not come back together.
pub fn half_to_one() -> f64 {
    0.5 + below(1 << 20) as f64 / f64::from(1 << 21)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_chosen_and_never_one_twice() {
        let mut seen = [[0; 4]; 4];
        for _ in 0..4_000 {
            let (one, other) = two_below(4);
            seen[one][other] += 1;
        }
        for (one, row) in seen.iter().enumerate() {
            for (other, count) in row.iter().enumerate() {
                assert!((*count == 0) == (one == other), "{one} and {other}: {count}");
            }
        }
        assert_eq!(two_below(1), (0, 0));
    }

    #[test]
    fn a_share_lies_between_a_half_and_one() {
        assert!((0..1_000).map(|_| half_to_one()).all(|share| (0.5..1.0).contains(&share)));
    }
}
