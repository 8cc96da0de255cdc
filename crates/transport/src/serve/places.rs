//! Who takes up how many connections, and how many of those are still in their handshake. Asked when a connection comes and
//! goes, never for a call.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::settings::Settings;

/// The places that are taken. Clones are the same places.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    connections: usize,
    handshakes: usize,
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    address: IpAddr,
    in_handshake: bool,
}

impl Places {
    /// A place for a new connection that begins its handshake; none if a cap is reached, whose name is given.
    pub(super) fn take(&self, address: IpAddr, settings: &Settings) -> Result<Place, &'static str> {
        let address = network(address);
        let mut taken = self.0.lock();
        let own = taken.by_address.get(&address).copied().unwrap_or_default();
        let caps = [
            (taken.all.connections, settings.connections, "connections"),
            (taken.all.handshakes, settings.handshakes, "handshakes"),
            (own.connections, settings.connections_per_address, "connections_per_address"),
            (own.handshakes, settings.handshakes_per_address, "handshakes_per_address"),
        ];
        if let Some((_, _, cap)) = caps.into_iter().find(|(taken, cap, _)| taken >= cap) {
            return Err(cap);
        }
        for count in taken.both(address) {
            count.connections += 1;
            count.handshakes += 1;
        }
        Ok(Place { places: self.clone(), address, in_handshake: true })
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.0.lock().all.connections
    }
}

impl Taken {
    fn both(&mut self, address: IpAddr) -> [&mut Count; 2] {
        [&mut self.all, self.by_address.entry(address).or_default()]
    }
}

impl Place {
    /// The handshake is over.
    pub(super) fn admitted(&mut self) {
        if std::mem::take(&mut self.in_handshake) {
            for count in self.places.0.lock().both(self.address) {
                count.handshakes = count.handshakes.saturating_sub(1);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admitted();
        let mut taken = self.places.0.lock();
        for count in taken.both(self.address) {
            count.connections = count.connections.saturating_sub(1);
        }
        if taken.by_address.get(&self.address).is_some_and(|count| count.connections == 0) {
            taken.by_address.remove(&self.address);
        }
    }
}

/// What counts as one address: an IPv6 peer has a whole /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn each_cap_refuses_the_one_too_many_and_no_other() {
        let settings = |connections, handshakes, own, own_handshakes| Settings {
            connections,
            handshakes,
            connections_per_address: own,
            handshakes_per_address: own_handshakes,
            ..Settings::default()
        };
        for (settings, other) in [
            (settings(1, 9, 9, 9), Err("connections")),
            (settings(9, 1, 9, 9), Err("handshakes")),
            (settings(9, 9, 1, 9), Ok(())),
            (settings(9, 9, 9, 1), Ok(())),
        ] {
            let places = Places::default();
            let held = places.take(address(1), &settings).unwrap();
            assert!(places.take(address(1), &settings).is_err());
            assert_eq!(places.take(address(2), &settings).map(drop), other);
            drop(held);
            assert!(places.take(address(1), &settings).is_ok());
            assert!(places.0.lock().by_address.is_empty(), "nothing is kept of who has left");
        }
    }

    #[test]
    fn a_handshake_that_is_over_makes_room_for_another() {
        let settings = Settings { handshakes_per_address: 1, ..Settings::default() };
        let places = Places::default();
        let mut first = places.take(address(1), &settings).unwrap();
        first.admitted();
        let second = places.take(address(1), &settings).unwrap();
        assert!(places.take(address(1), &settings).is_err());
        assert_eq!(places.connections(), 2);
        drop((first, second));
        assert_eq!(places.connections(), 0);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let settings = Settings { connections_per_address: 1, ..Settings::default() };
        let places = Places::default();
        let _held = places.take("2001:db8::1".parse().unwrap(), &settings).unwrap();
        assert!(places.take("2001:db8::2".parse().unwrap(), &settings).is_err());
        assert!(places.take("2001:db8:0:1::1".parse().unwrap(), &settings).is_ok());
    }
}
