//! Which server takes the writes of which hash slot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::failure::Cause;
use super::hash_slot::{HASH_SLOTS, hash_slot};
use super::server::Server;
use crate::domain::redis_address::Host;

/// Who has which hash slots, as one node of a cluster or most of them say: from one to another, both included.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Owners(pub(super) Vec<(u16, u16, Host)>);

impl Owners {
    /// For each hash slot the host that most of the nodes name, so that one that is cut off from the others leads
    /// nobody astray.
    pub(super) fn of_most(said: &[Self]) -> Self {
        let ranges = || said.iter().flat_map(|owners| &owners.0);
        // Between two of these places nobody's answer changes.
        let ends = ranges().flat_map(|(begin, end, _)| [*begin, end.saturating_add(1)]);
        let places: BTreeSet<u16> = ends.collect();
        let mut settled = Vec::new();
        for (begin, next) in places.iter().zip(places.iter().skip(1)) {
            let mut votes: BTreeMap<&Host, usize> = BTreeMap::new();
            let here = ranges().filter(|(from, to, _)| (from..=to).contains(&begin));
            here.for_each(|(_, _, host)| *votes.entry(host).or_default() += 1);
            if let Some((host, _)) = votes.into_iter().max_by_key(|(_, count)| *count) {
                settled.push((*begin, next - 1, host.clone()));
            }
        }
        Self(settled)
    }
}

/// The servers, and what each has.
#[derive(Clone, Default)]
pub(super) struct Map {
    servers: Vec<Arc<Server>>,
    /// For each hash slot the place of its server among them. Empty: the only server has all.
    places: Vec<Option<usize>>,
}

impl Map {
    /// One server has everything.
    pub(super) fn of_one(server: Arc<Server>) -> Self {
        Self {
            servers: vec![server],
            places: Vec::new(),
        }
    }

    /// The servers of a cluster. `server` gives the server at a host.
    pub(super) fn of(owners: &Owners, server: impl Fn(&Host) -> Arc<Server>) -> Self {
        let mut map = Self {
            servers: Vec::new(),
            places: vec![None; usize::from(HASH_SLOTS)],
        };
        for (begin, end, host) in &owners.0 {
            let known = map.servers.iter().position(|server| server.host() == host);
            let place = known.unwrap_or_else(|| {
                map.servers.push(server(host));
                map.servers.len() - 1
            });
            let theirs = map.places.get_mut(usize::from(*begin)..=usize::from(*end));
            theirs
                .into_iter()
                .flatten()
                .for_each(|it| *it = Some(place));
        }
        map
    }

    /// The same with one more server, which has nothing yet.
    pub(super) fn with(&self, server: &Arc<Server>) -> Self {
        let mut map = self.clone();
        map.servers.push(server.clone());
        map
    }

    /// The same, but for one hash slot, which moved to that server.
    pub(super) fn moved(&self, slot: u16, to: &Arc<Server>) -> Self {
        let is_known = self.servers.iter().any(|server| Arc::ptr_eq(server, to));
        let mut map = if is_known {
            self.clone()
        } else {
            self.with(to)
        };
        let place = map.servers.iter().position(|it| Arc::ptr_eq(it, to));
        if let Some(moved) = map.places.get_mut(usize::from(slot)) {
            *moved = place;
        }
        map
    }

    /// Whether the same servers have the same hash slots.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let pairs = self.servers.iter().zip(&other.servers);
        let are_same = pairs.fold(true, |are_same, (one, two)| {
            are_same && Arc::ptr_eq(one, two)
        });
        are_same && self.servers.len() == other.servers.len() && self.places == other.places
    }

    /// Every server.
    pub(super) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The place of the server that has a key; `None`: nobody is known to.
    pub(super) fn place(&self, key: &[u8]) -> Option<usize> {
        match self.places.is_empty() {
            true => Some(0),
            false => *self.places.get(usize::from(hash_slot(key)))?,
        }
    }

    /// The server at that host.
    pub(super) fn at(&self, host: &Host) -> Option<&Arc<Server>> {
        self.servers.iter().find(|server| server.host() == host)
    }

    /// The server that has a key.
    pub(super) fn server(&self, key: &[u8]) -> Result<&Arc<Server>, Cause> {
        let server = self.place(key).and_then(|place| self.servers.get(place));
        server.ok_or_else(|| Cause::NoServer(hash_slot(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(port: u16) -> Host {
        Host {
            name: "h".to_owned(),
            port,
        }
    }

    #[test]
    fn a_node_that_is_cut_off_from_the_others_leads_nobody_astray() {
        let says = |port: u16| Owners(vec![(0, HASH_SLOTS - 1, host(port))]);
        let settled = Owners::of_most(&[says(1), says(2), says(2)]);
        assert_eq!(settled, says(2));
        assert_eq!(Owners::of_most(&[]), Owners::default());
    }

    #[test]
    fn each_hash_slot_is_voted_on_by_itself() {
        let one = Owners(vec![(0, 99, host(1)), (100, 199, host(2))]);
        let other = Owners(vec![(0, 49, host(1)), (50, 299, host(2))]);
        let settled = Owners::of_most(&[one, other.clone(), other]);
        let has = |slot: u16| {
            let mut ranges = settled.0.iter();
            let range = ranges.find(|(begin, end, _)| (*begin..=*end).contains(&slot));
            range.map(|(_, _, host)| host.port)
        };
        let expected = [
            (0, 1),
            (49, 1),
            (50, 2),
            (100, 2),
            (199, 2),
            (200, 2),
            (299, 2),
        ];
        for (slot, port) in expected {
            assert_eq!(has(slot), Some(port), "{slot}");
        }
        assert_eq!(has(300), None);
    }
}
