//! The nodes of a cluster: asking them who has which hash slot.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use redis::Value;

use super::answers::{ask_each, in_time};
use super::endpoint::{Access, Endpoint};
use super::failure::Cause;
use super::map::Owners;
use crate::domain::redis_address::Host;

/// How many nodes are asked at once.
const ASKED: usize = 12;

/// What is known of a cluster's nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    access: Access,
    /// Those of the address. They are never forgotten.
    seeds: Vec<Host>,
    /// Those that the last answers named, replicas too.
    known: Mutex<BTreeSet<Host>>,
    /// With which of all these the asking begins: others, once not more than half of those that were asked have answered.
    turn: AtomicUsize,
}

/// What one node says.
#[derive(Debug, PartialEq)]
struct Said {
    owners: Owners,
    nodes: Vec<Host>,
}

impl Nodes {
    /// A cluster of which these nodes are known.
    pub(super) fn new(access: Access, seeds: Vec<Host>) -> Self {
        Self {
            access,
            seeds,
            known: Mutex::default(),
            turn: AtomicUsize::default(),
        }
    }

    /// Who has which hash slot, as most of the nodes say that answer in time.
    pub(super) async fn owners(&self) -> Result<Owners, Cause> {
        let asked = self.to_ask();
        let most = asked.len() / 2;
        let endpoints = asked.into_iter().map(|host| {
            let access = self.access.clone();
            Endpoint { host, access }
        });
        let said = in_time(ask_each(endpoints, said_by)).await;
        if said.as_ref().map_or(0, Vec::len) <= most {
            self.ask_others();
        }
        let all = said?;
        let nodes = all.iter().flat_map(|said| said.nodes.iter().cloned());
        *self.known() = nodes.collect();
        let owners: Vec<Owners> = all.into_iter().map(|said| said.owners).collect();
        Ok(Owners::of_most(&owners))
    }

    fn to_ask(&self) -> Vec<Host> {
        let known = self.known();
        let all: BTreeSet<&Host> = known.iter().chain(&self.seeds).collect();
        let begin = self.turn.load(Ordering::Relaxed) % all.len().max(1);
        let all = all.iter().cycle().skip(begin).take(ASKED.min(all.len()));
        all.map(|host| (*host).clone()).collect()
    }

    fn ask_others(&self) {
        self.turn.fetch_add(ASKED, Ordering::Relaxed);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn said_by(endpoint: Endpoint) -> Result<Said, Cause> {
    let mut connection = endpoint.connect().await?;
    let mut question = redis::cmd("CLUSTER");
    let answer = question.arg("SLOTS").query_async(&mut connection).await?;
    Ok(read(answer, &endpoint.host))
}

/// Reads `CLUSTER SLOTS`. A node without a name is where the answer came from.
fn read(answer: Value, from: &Host) -> Said {
    let mut said = Said {
        owners: Owners::default(),
        nodes: Vec::new(),
    };
    let Value::Array(ranges) = answer else {
        return said;
    };
    for range in ranges {
        let Value::Array(parts) = range else {
            continue;
        };
        let mut parts = parts.into_iter();
        let mut number = || redis::from_redis_value::<u16>(parts.next()?).ok();
        let (Some(begin), Some(end)) = (number(), number()) else {
            continue;
        };
        let nodes: Vec<Host> = parts.filter_map(|node| place(node, from)).collect();
        if let Some(primary) = nodes.first() {
            said.owners.0.push((begin, end, primary.clone()));
        }
        said.nodes.extend(nodes);
    }
    said
}

fn place(node: Value, from: &Host) -> Option<Host> {
    let Value::Array(parts) = node else {
        return None;
    };
    let mut parts = parts.into_iter();
    let name: Option<String> = redis::from_redis_value(parts.next()?).ok()?;
    let port: u16 = redis::from_redis_value(parts.next()?).ok()?;
    let name = name.filter(|name| !name.is_empty() && name != "?");
    let name = name.unwrap_or_else(|| from.name.clone());
    Some(Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::redis_address::Login;
    use crate::store::redis::resolver::Resolver;

    #[test]
    fn a_node_that_does_not_say_its_name_is_where_the_answer_came_from() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |name: Value, port| Value::Array(vec![name, Value::Int(port), text("id")]);
        let range = |begin, end, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(begin), Value::Int(end)], nodes].concat())
        };
        let answer = Value::Array(vec![
            range(0, 8191, vec![node(Value::Nil, 1), node(text("r"), 2)]),
            range(8192, 16383, vec![node(text(""), 3)]),
        ]);
        let host = |name: &str, port| Host {
            name: name.to_owned(),
            port,
        };
        let said = read(answer, &host("here", 9));
        let owners = Owners(vec![
            (0, 8191, host("here", 1)),
            (8192, 16383, host("here", 3)),
        ]);
        let nodes = vec![host("here", 1), host("r", 2), host("here", 3)];
        assert_eq!(said, Said { owners, nodes });
    }

    #[test]
    fn when_too_few_of_those_that_are_asked_answer_others_are_asked() {
        let host = |number: usize| Host {
            name: format!("node-{number:02}"),
            port: 6379,
        };
        let all: BTreeSet<Host> = (0..32).map(host).collect();
        let access = Access {
            is_encrypted: false,
            login: Login::default(),
            database: 0,
            resolver: Resolver::default(),
        };
        let nodes = Nodes::new(access, vec![host(0), host(1)]);
        assert_eq!(nodes.to_ask(), [host(0), host(1)]);
        nodes.known().clone_from(&all);
        let mut asked = BTreeSet::new();
        for _ in 0..3 {
            let some = nodes.to_ask();
            assert_eq!(some.len(), ASKED);
            assert_eq!(some, nodes.to_ask(), "the same, as long as they answer");
            asked.extend(some);
            nodes.ask_others();
        }
        assert_eq!(asked, all);
    }

    #[test]
    fn what_is_no_answer_gives_nothing_to_anybody() {
        let here = Host {
            name: "here".to_owned(),
            port: 1,
        };
        for answer in [Value::Nil, Value::Array(vec![Value::Array(vec![])])] {
            assert_eq!(read(answer, &here).owners, Owners::default());
        }
    }
}
