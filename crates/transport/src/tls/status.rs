//! `Revocation` tells operators the state of each trusted CA's revocation list: until when it can be used, or
//! that there is none.

use std::fmt;

use super::Files;

/// One CA's revocation list, or the lack of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Revocation {
    /// No `crl` is configured: a revoked certificate is taken like any other.
    NotChecked,
    /// A trusted CA without a list: none of its certificates is taken.
    NoList {
        /// The CA's name.
        issuer: String,
    },
    /// A list.
    List {
        /// The name of the CA that issued it.
        issuer: String,
        /// CRLNumber (RFC 5280 §5.2.3), decimal.
        number: String,
        /// `thisUpdate`, in seconds since 1970.
        this_update: i64,
        /// `nextUpdate`, in seconds since 1970.
        next_update: i64,
        /// Until when it is used, in seconds since 1970: some time after `next_update`.
        usable_until: i64,
    },
}

impl Revocation {
    /// Whether an operator has nothing to do about it.
    pub fn is_sound(&self, now: i64) -> bool {
        matches!(self, Self::List { this_update, next_update, .. }
            if now <= *next_update && now + CLOCK_SKEW >= *this_update)
    }

    /// The same as a sentence.
    pub fn at(&self, now: i64) -> impl fmt::Display + '_ {
        Sentence { revocation: self, now }
    }
}

/// Issuer and `nextUpdate` (seconds since 1970) of each list.
pub fn listed(known: &[Revocation]) -> impl Iterator<Item = (&str, i64)> {
    known.iter().filter_map(|known| match known {
        Revocation::List { issuer, next_update, .. } => Some((issuer.as_str(), *next_update)),
        Revocation::NoList { .. } | Revocation::NotChecked => None,
    })
}

/// How many of the CAs that `files` trust have no list.
pub fn unlisted(known: &[Revocation], files: &Files) -> usize {
    let unlisted = known.iter().map(|known| match known {
        // Without `crl` there is a list of none of them.
        Revocation::NotChecked => super::count_authorities(files).unwrap_or(1),
        Revocation::NoList { .. } => 1,
        Revocation::List { .. } => 0,
    });
    unlisted.sum()
}

/// Tells operators in the log, each in a line: a warning if there is something to do.
pub fn log_revocation(known: &[Revocation], now: i64) {
    for known in known {
        if known.is_sound(now) {
            tracing::info!("{}", known.at(now));
        } else {
            tracing::warn!("{}", known.at(now));
        }
    }
}

struct Sentence<'a> {
    revocation: &'a Revocation,
    now: i64,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revocation {
            Revocation::NotChecked => f.write_str(
                "revocation is not checked: no certificate revocation list (`crl`) is configured, and \
                 revoked certificates are accepted",
            ),
            Revocation::NoList { issuer } => {
                write!(
                    f,
                    "there is no certificate revocation list of {issuer}: all its certificates are refused \
                     until one is there"
                )
            }
            // The cases follow the list's life: not yet issued, current, in its grace period, and out of use.
            // Only a current list needs no advice.
            Revocation::List { issuer, number, this_update, next_update, usable_until } => {
                write!(f, "certificate revocation list {number} of {issuer} ")?;
                if self.now + CLOCK_SKEW < *this_update {
                    let ahead = HumanDuration(this_update - self.now);
                    write!(
                        f,
                        "was issued {ahead} in the future: check the clocks of this machine and of the CA"
                    )
                } else if self.now <= *next_update {
                    write!(f, "is valid for another {}", HumanDuration(next_update - self.now))
                } else if self.now <= *usable_until {
                    let over = HumanDuration(self.now - next_update);
                    let left = HumanDuration(usable_until - self.now);
                    write!(f, "expired {over} ago and is used for another {left}: publish a new list")
                } else {
                    let over = HumanDuration(self.now - next_update);
                    write!(f, "expired {over} ago: this CA's certificates are refused; publish a new list")
                }
            }
        }
    }
}

/// Seconds by which the clocks of a CA and of this machine may differ.
const CLOCK_SKEW: i64 = 5 * 60;

/// Seconds in the two largest units that they fill, e.g. `89 d 23 h`.
pub struct HumanDuration(pub i64);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0 / 60;
        let hours = self.0 / 3_600;
        let days = self.0 / 86_400;
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{} s", self.0),
            (0, 0, minutes) => write!(f, "{minutes} min"),
            (0, hours, minutes) => write!(f, "{hours} h {} min", minutes - hours * 60),
            (days, hours, _) => write!(f, "{days} d {} h", hours - days * 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_list_is_told_with_the_time_left() {
        let list = Revocation::List {
            issuer: "CN=Lorestan".to_owned(),
            number: "1f".to_owned(),
            this_update: 800_000,
            next_update: 1_000_000,
            usable_until: 1_000_000 + 86_400,
        };
        let at = |now| (list.at(now).to_string(), list.is_sound(now));
        let told = |text: &str| format!("certificate revocation list 1f of CN=Lorestan {text}");
        assert_eq!(at(1_000_000 - 90_000), (told("is valid for another 1 d 1 h"), true));
        assert_eq!(at(1_000_000 - 59), (told("is valid for another 59 s"), true));
        let grace = "expired 1 h 1 min ago and is used for another 22 h 59 min: publish a new list";
        assert_eq!(at(1_000_000 + 3_660), (told(grace), false));
        let over = "expired 2 d 0 h ago: this CA's certificates are refused; publish a new list";
        assert_eq!(at(1_000_000 + 172_800), (told(over), false));
        let ahead = "was issued 1 h 0 min in the future: check the clocks of this machine and of the CA";
        assert_eq!(at(800_000 - 3_600), (told(ahead), false));
        assert!(at(800_000 - 299).1, "clocks may differ by minutes");
        assert!(!Revocation::NotChecked.is_sound(0));
    }
}
