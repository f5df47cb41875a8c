//! Who of the TCP clients is connected, and who has to make room.
//!
//! When a limit is reached, the newcomer comes in and the connection goes whose last whole query is
//! longest ago: the newcomer's own client's when that client is at its limit, otherwise anyone's.
//! Refusing newcomers instead would let a flood of idle connections lock everybody out until they
//! time out; this way an honest client, which asks as soon as it is connected, is answered before its
//! turn to go comes, and RFC 7766 (6.2.4) has clients reconnect. A half-sent query does not count as
//! activity, so slow writers go first, too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// The connections by the time of their last whole query. A connection lives as long as its `token`
/// is in here.
pub(super) struct Crowd<T> {
    /// By turn: a number that grows with every arrival and every query, so the first is to go first.
    connections: BTreeMap<u64, (IpAddr, T)>,
    clients: HashMap<IpAddr, BTreeSet<u64>>,
    next_turn: u64,
    most: usize,
    most_per_client: usize,
}

impl<T> Crowd<T> {
    pub(super) fn new(most: usize, most_per_client: usize) -> Crowd<T> {
        let (connections, clients) = Default::default();
        Crowd { connections, clients, next_turn: 0, most, most_per_client }
    }

    /// Lets a connection in. Gives its turn, and the token of the one that had to go.
    pub(super) fn join(&mut self, address: IpAddr, token: T) -> (u64, Option<T>) {
        let client = client(address);
        let own = self.clients.get(&client).filter(|turns| turns.len() >= self.most_per_client);
        let displaced = match own.and_then(BTreeSet::first) {
            Some(&turn) => self.leave(turn),
            None if self.connections.len() >= self.most => self.displace(),
            None => None,
        };
        (self.insert(client, token), displaced)
    }

    /// A whole query came: the connection goes to the end of the queue. Gives its new turn; none if it
    /// had to go already.
    pub(super) fn refresh(&mut self, turn: u64) -> Option<u64> {
        let (client, token) = self.remove(turn)?;
        Some(self.insert(client, token))
    }

    /// A connection is closed.
    pub(super) fn leave(&mut self, turn: u64) -> Option<T> {
        self.remove(turn).map(|(_, token)| token)
    }

    /// The connection that is to go first goes.
    pub(super) fn displace(&mut self) -> Option<T> {
        let (&turn, _) = self.connections.first_key_value()?;
        self.leave(turn)
    }

    fn insert(&mut self, client: IpAddr, token: T) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.connections.insert(turn, (client, token));
        self.clients.entry(client).or_default().insert(turn);
        turn
    }

    fn remove(&mut self, turn: u64) -> Option<(IpAddr, T)> {
        let (client, token) = self.connections.remove(&turn)?;
        if let Some(turns) = self.clients.get_mut(&client) {
            turns.remove(&turn);
            if turns.is_empty() {
                self.clients.remove(&client);
            }
        }
        Some((client, token))
    }
}

/// Whom an address counts for: the holder of an IPv6 /64 has all its addresses.
fn client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps: `+address` a connection comes, `.n` the n-th arrival asks, `-n` it closes, `!` somebody
    /// has to go. Expected: the arrivals that were displaced, in order.
    fn check(most: usize, most_per_client: usize, steps: &str, displaced: &[usize]) {
        let mut crowd = Crowd::new(most, most_per_client);
        let mut turns = Vec::new();
        let mut gone = Vec::new();
        for step in steps.split_whitespace() {
            let (kind, of) = step.split_at(1);
            match kind {
                "+" => {
                    let (turn, displaced) = crowd.join(of.parse().unwrap(), turns.len());
                    turns.push(turn);
                    gone.extend(displaced);
                }
                "." => {
                    let arrival: usize = of.parse().unwrap();
                    if let Some(turn) = crowd.refresh(turns[arrival]) {
                        turns[arrival] = turn;
                    }
                }
                "-" => drop(crowd.leave(turns[of.parse::<usize>().unwrap()])),
                _ => gone.extend(crowd.displace()),
            }
        }
        assert_eq!(gone, displaced, "{steps}");
        let of_clients: usize = crowd.clients.values().map(BTreeSet::len).sum();
        assert_eq!(of_clients, crowd.connections.len(), "{steps}");
        assert!(crowd.clients.values().all(|turns| !turns.is_empty()), "{steps}");
    }

    #[test]
    fn who_goes() {
        check(2, 2, "+1.1.1.1 +1.1.1.2", &[]);
        check(2, 2, "+1.1.1.1 +1.1.1.2 +1.1.1.3 +1.1.1.4", &[0, 1]);
        check(2, 2, "+1.1.1.1 +1.1.1.2 .0 +1.1.1.3", &[1]);
        check(2, 2, "+1.1.1.1 +1.1.1.2 -0 +1.1.1.3", &[]);
        check(3, 1, "+1.1.1.1 +1.1.1.2 +1.1.1.2", &[1]);
        check(3, 2, "+1.1.1.1 +1.1.1.2 .0 +1.1.1.1 +1.1.1.1", &[0]);
        check(9, 2, "+2001:db8::1 +2001:db8::2 +2001:db8:0:1::1 +2001:db8::3", &[0]);
        check(1, 9, "+1.1.1.1 +1.1.1.2 .0 -0 +1.1.1.3", &[0, 1]);
        check(2, 2, "! +1.1.1.1 +1.1.1.2 .0 ! ! !", &[1, 0]);
    }
}
