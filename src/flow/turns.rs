//! Whose turn it is: of the lines with due work, the clients take turns, and so do the lines of each.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::store::{Ask, Line, Reserved, Spot};

/// Where something is due, and who was served when.
#[derive(Default)]
pub struct Turns {
    ready: BTreeMap<Line, VecDeque<Spot>>,
    lines: HashMap<Line, u64>,
    clients: HashMap<String, u64>,
    served: u64,
}

impl Turns {
    /// Something is due there.
    pub fn add(&mut self, spots: impl IntoIterator<Item = Spot>) {
        for spot in spots {
            let ready = self.ready.entry(spot.line.clone()).or_default();
            if !ready.contains(&spot) {
                ready.push_back(spot);
            }
        }
    }

    /// How many lines are ready.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// What to take up next: at most `limit` in all, of a line no more than it has `room` for, and only where it
    /// `is_free`.
    pub fn next(
        &mut self,
        limit: usize,
        room: impl Fn(&Line) -> usize,
        is_free: impl Fn(&Spot) -> bool,
    ) -> Vec<Ask> {
        let mut asks = Vec::new();
        let mut left = limit;
        for line in self.in_turn() {
            let most = room(&line).min(left);
            let Some(spots) = self.ready.get_mut(&line).filter(|_| most > 0) else {
                continue;
            };
            let (mut free, busy): (VecDeque<Spot>, _) = spots.drain(..).partition(&is_free);
            if free.is_empty() {
                *spots = busy;
                continue;
            }
            self.served += 1;
            self.clients.insert(line.client().to_owned(), self.served);
            self.lines.insert(line.clone(), self.served);
            let taken = free.len().min(most);
            let (each, more) = (most / taken, most % taken);
            for (nth, spot) in free.drain(..taken).enumerate() {
                let limit = each + usize::from(nth < more);
                asks.push(Ask { spot, limit });
            }
            free.extend(busy);
            match free.is_empty() {
                true => drop(self.ready.remove(&line)),
                false => *spots = free,
            }
            left -= most;
        }
        asks
    }

    /// What was found there: where there may be more, it stays ready.
    pub fn found(&mut self, reserved: &Reserved) {
        self.add(reserved.may_be_more.then(|| reserved.spot.clone()));
    }

    /// The lines that are ready: first one of each client, then another one of each, and so on; who was not served for
    /// longest goes first.
    fn in_turn(&self) -> Vec<Line> {
        let served = |line: &Line| self.lines.get(line).copied().unwrap_or_default();
        let mut of_clients: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in self.ready.keys() {
            of_clients.entry(line.client()).or_default().push(line);
        }
        let mut turns = Vec::new();
        for (client, mut lines) in of_clients {
            let last = self.clients.get(client).copied().unwrap_or_default();
            lines.sort_by_key(|line| served(line));
            turns.extend(
                lines
                    .into_iter()
                    .enumerate()
                    .map(|(nth, line)| (nth, last, line)),
            );
        }
        turns.sort();
        turns.into_iter().map(|(_, _, line)| line.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::duty::DutyKind;

    fn spot(client: &str, place: &str) -> Spot {
        let client = client.parse().expect("a client");
        Spot::of_file(Line::new(DutyKind::Deliver, &client, place))
    }

    fn shown(asks: &[Ask]) -> Vec<(String, usize)> {
        let shown = |ask: &Ask| (ask.spot.line.as_str().to_owned(), ask.limit);
        asks.iter().map(shown).collect()
    }

    /// Asks, and puts back what was asked for, as if there were more of it.
    fn next(turns: &mut Turns, limit: usize, room: usize) -> Vec<(String, usize)> {
        let asks = turns.next(limit, |_| room, |_| true);
        turns.add(asks.iter().map(|ask| ask.spot.clone()));
        shown(&asks)
    }

    #[test]
    fn clients_take_turns_however_many_lines_one_has() {
        let mut turns = Turns::default();
        turns.add(["1", "2", "3", "4"].map(|place| spot("big", place)));
        turns.add([spot("small", "1")]);
        let mut served: HashMap<String, usize> = HashMap::new();
        for _ in 0..40 {
            for (line, limit) in next(&mut turns, 1, 1) {
                let client = Line::found(&line).client().to_owned();
                *served.entry(client).or_default() += limit;
            }
        }
        assert_eq!((served["big"], served["small"]), (20, 20));
        let first = next(&mut turns, 2, 1);
        assert!(
            first.iter().any(|(line, _)| line.contains("small")),
            "{first:?}"
        );
    }

    #[test]
    fn a_line_without_room_waits_and_costs_nobody_a_turn() {
        let mut turns = Turns::default();
        turns.add([spot("a", "1"), spot("b", "1")]);
        let asks = turns.next(9, |line| if line.client() == "a" { 0 } else { 3 }, |_| true);
        assert_eq!(shown(&asks), [("d:b/1".to_owned(), 3)]);
        assert_eq!(
            shown(&turns.next(9, |_| 2, |_| true)),
            [("d:a/1".to_owned(), 2)]
        );
        assert_eq!(
            shown(&turns.next(9, |_| 2, |_| true)),
            [],
            "neither is ready any more"
        );
        assert_eq!(shown(&turns.next(0, |_| 2, |_| true)), []);
    }

    #[test]
    fn what_is_asked_for_elsewhere_waits_and_keeps_its_place() {
        let mut turns = Turns::default();
        turns.add([spot("a", "1"), spot("b", "1")]);
        let asks = turns.next(9, |_| 2, |spot| spot.line.client() == "b");
        assert_eq!(shown(&asks), [("d:b/1".to_owned(), 2)]);
        let asks = turns.next(9, |_| 2, |_| true);
        assert_eq!(shown(&asks), [("d:a/1".to_owned(), 2)]);
    }
}
