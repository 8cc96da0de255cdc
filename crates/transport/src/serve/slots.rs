//! `ConnectionSlots` counts the connections and TLS handshakes of each address (IPv6: of each /64) against
//! caps. It is used when a connection opens or closes, never for a call.
//!
//! At the cap of all handshakes, a new connection takes the slot of the oldest handshake of the address that
//! has most. So a client with many handshakes does not lock out a client with few.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use chapar_model::LogBudget;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How many connections and handshakes there may be at once, in all and from one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) connections: usize,
    pub(super) connections_per_address: usize,
    pub(super) handshakes: usize,
    pub(super) handshakes_per_address: usize,
}

/// `ConnectionSlots` counts the slots that are taken. Clones share the same counts.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlots(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    handshakes: usize,
    by_address: HashMap<IpAddr, AddressCounts>,
    next: u64,
    failed: u64,
    log_budget: LogBudget,
}

/// `AddressCounts` counts the slots of one address.
#[derive(Debug, Default)]
struct AddressCounts {
    connections: usize,
    /// Connections in their handshake by number, the oldest first.
    handshakes: VecDeque<(u64, CancellationToken)>,
}

/// `ConnectionSlot` is the permit of one connection, given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: ConnectionSlots,
    address: IpAddr,
    number: u64,
    needed: CancellationToken,
}

impl ConnectionSlots {
    /// Takes a slot for a new connection that begins its handshake. The error is the name of the cap that is
    /// reached.
    pub(super) fn take(&self, address: IpAddr, caps: Caps) -> Result<ConnectionSlot, &'static str> {
        let address = network(address);
        let taken = &mut *self.0.lock();
        let (own, own_handshakes) =
            taken.by_address.get(&address).map_or((0, 0), |own| (own.connections, own.handshakes.len()));
        // The total is checked first, and the address after it: the first cap that is reached is the one that
        // is logged.
        let counts = [
            (taken.connections, caps.connections, "connections"),
            (own, caps.connections_per_address, "connections_per_address"),
            (own_handshakes, caps.handshakes_per_address, "handshakes_per_address"),
        ];
        if let Some((_, _, cap)) = counts.into_iter().find(|(taken, cap, _)| taken >= cap) {
            return Err(cap);
        }
        // At the cap of handshakes one address may hold most of them, so the oldest of that address gives
        // way.
        if taken.handshakes >= caps.handshakes && !taken.make_room_for(own_handshakes) {
            return Err("handshakes");
        }
        let number = taken.next;
        let needed = CancellationToken::new();
        taken.next += 1;
        taken.connections += 1;
        taken.handshakes += 1;
        let own = taken.by_address.entry(address).or_default();
        own.connections += 1;
        own.handshakes.push_back((number, needed.clone()));
        Ok(ConnectionSlot { slots: self.clone(), address, number, needed })
    }

    /// Counts a failed connection. Returns `None` if it must not be logged, else the number of failed
    /// connections that were not logged before it.
    pub(super) fn failed(&self, now: Instant) -> Option<u64> {
        let taken = &mut *self.0.lock();
        taken.failed += 1;
        taken.log_budget.line(now)
    }

    /// Returns the number of connections, those in their handshake included.
    pub fn connections(&self) -> usize {
        self.0.lock().connections
    }

    /// Returns the number of handshakes that have failed so far.
    pub fn handshakes_failed(&self) -> u64 {
        self.0.lock().failed
    }
}

impl Counts {
    /// Evicts the oldest handshake of the address that has most, for an address that has `has`. Returns false
    /// if the evicted address would have fewer handshakes left than the new one gets.
    fn make_room_for(&mut self, has: usize) -> bool {
        let most = self.by_address.values_mut().max_by_key(|own| own.handshakes.len());
        let Some(most) = most.filter(|most| most.handshakes.len() > has + 1) else { return false };
        if let Some((_, needed)) = most.handshakes.pop_front() {
            needed.cancel();
            self.handshakes -= 1;
        }
        true
    }
}

impl ConnectionSlot {
    /// Ends the handshake: the connection keeps its slot, but no longer counts as a handshake.
    pub(super) fn admitted(&mut self) {
        let taken = &mut *self.slots.0.lock();
        let Some(own) = taken.by_address.get_mut(&self.address) else { return };
        if let Some(at) = own.handshakes.iter().position(|(number, _)| *number == self.number) {
            own.handshakes.remove(at);
            taken.handshakes -= 1;
        }
    }

    /// Completes when the slot is evicted for another connection, which can happen during the handshake only.
    pub(super) async fn needed(&self) {
        self.needed.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.admitted();
        let taken = &mut *self.slots.0.lock();
        taken.connections -= 1;
        if let Some(own) = taken.by_address.get_mut(&self.address) {
            own.connections -= 1;
            // The entry goes with its last connection, so that a scan from many addresses leaves nothing
            // behind.
            if own.connections == 0 {
                taken.by_address.remove(&self.address);
            }
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
    use std::time::Duration;

    use super::*;

    const MANY: Caps =
        Caps { connections: 9, connections_per_address: 9, handshakes: 9, handshakes_per_address: 9 };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn each_cap_refuses_the_one_too_many_and_no_other() {
        for (caps, other) in [
            (Caps { connections: 1, ..MANY }, Err("connections")),
            (Caps { handshakes: 1, ..MANY }, Err("handshakes")),
            (Caps { connections_per_address: 1, ..MANY }, Ok(())),
            (Caps { handshakes_per_address: 1, ..MANY }, Ok(())),
        ] {
            let slots = ConnectionSlots::default();
            let held = slots.take(address(1), caps).unwrap();
            assert!(slots.take(address(1), caps).is_err());
            assert_eq!(slots.take(address(2), caps).map(drop), other);
            assert!(!held.needed.is_cancelled());
            drop(held);
            assert!(slots.take(address(1), caps).is_ok());
            assert!(slots.0.lock().by_address.is_empty(), "nothing is kept of who has left");
        }
    }

    #[test]
    fn a_handshake_that_is_over_makes_room_for_another() {
        let caps = Caps { handshakes_per_address: 1, ..MANY };
        let slots = ConnectionSlots::default();
        let mut first = slots.take(address(1), caps).unwrap();
        first.admitted();
        let second = slots.take(address(1), caps).unwrap();
        assert!(slots.take(address(1), caps).is_err());
        assert_eq!(slots.connections(), 2);
        drop((first, second));
        assert_eq!(slots.connections(), 0);
    }

    #[test]
    fn when_handshakes_are_full_the_oldest_of_who_has_most_makes_room_for_who_has_fewer() {
        let caps = Caps { handshakes: 4, ..MANY };
        let slots = ConnectionSlots::default();
        let many: Vec<_> = (0..4).map(|_| slots.take(address(1), caps).unwrap()).collect();

        let first = slots.take(address(2), caps).unwrap();
        let second = slots.take(address(2), caps).unwrap();

        let needed: Vec<_> = many.iter().map(|place| place.needed.is_cancelled()).collect();
        assert_eq!(needed, [true, true, false, false]);
        assert_eq!(slots.take(address(2), caps).map(drop), Err("handshakes"), "no more than others have");
        assert_eq!(slots.take(address(1), caps).map(drop), Err("handshakes"));
        assert!(slots.take(address(3), caps).is_ok());
        drop((many, first, second));
        let left = slots.0.lock();
        assert_eq!((left.connections, left.handshakes, left.by_address.len()), (0, 0, 0));
    }

    #[test]
    fn of_many_connections_that_do_not_come_about_a_few_are_told_and_the_others_counted() {
        let slots = ConnectionSlots::default();
        let began = Instant::now();
        let told = (0..100).filter(|_| slots.failed(began).is_some()).count();
        assert_eq!(told, 10);
        let later = began + Duration::from_secs(1);
        assert_eq!([slots.failed(later), slots.failed(later)], [Some(90), Some(0)]);
        assert_eq!(slots.handshakes_failed(), 102);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let caps = Caps { connections_per_address: 1, ..MANY };
        let slots = ConnectionSlots::default();
        let _held = slots.take("2001:db8::1".parse().unwrap(), caps).unwrap();
        assert!(slots.take("2001:db8::2".parse().unwrap(), caps).is_err());
        assert!(slots.take("2001:db8:0:1::1".parse().unwrap(), caps).is_ok());
    }
}
