//! This module makes random numbers for load balancing and for jitter (by `fastrand`, a generator per thread
//! and so without a lock). The output can be predicted, so it must not make keys, nonces or anything that a
//! caller must not foresee.

/// A number below `end`, which is at least 1.
pub fn below(end: usize) -> usize {
    fastrand::usize(..end.max(1))
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
    0.5 + fastrand::f64() / 2.0
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
