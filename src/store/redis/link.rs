//! The way to the servers.
//!
//! The one place that knows which kind of servers is behind. Which of them takes the writes of a key is in a
//! *map*, and whenever an error suggests that it has changed, it is asked for anew:
//!
//! ```text
//!             one server        Sentinels                  a cluster
//! the map     never changes     the server they name       who has which hash slot
//! asked       –                 after a failure            after a failure, and after MOVED
//! ```
//!
//! A command goes to the server that the map names. If that server says that the hash slot has moved, or is just
//! moving, the command follows, a few times; if it says that keys are moving one by one, it is sent again shortly. Any other
//! failure is the caller's: the step is sent again (`store/driver`), then perhaps to another server.
//!
//! What must survive a failover is written *acknowledged*: the server answers when replicas have it. Then nothing
//! that a person is told depends on one machine.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, ErrorKind, ServerErrorKind, Value};
use tokio::time::{Instant, sleep};

use super::cluster::Nodes;
use super::connection::STEP_TIMEOUT;
use super::endpoint::{Access, Endpoint};
use super::failure::Cause;
use super::map::Map;
use super::resolver::Resolver;
use super::sentinel::Sentinels;
use super::server::{Asked, Server};
use crate::domain::redis_address::{Host, RedisAddress, Servers};
use crate::store::outcome::{self, StoreError};

/// How often one command follows its hash slot to another server.
const MOVES: usize = 5;

/// The pause before a command whose keys are just being moved is sent again.
const MOVING: Duration = Duration::from_millis(20);

/// The pause between two looks for the servers.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The way to the servers. Clones share it.
#[derive(Clone)]
pub(super) struct Link(Arc<Shared>);

struct Shared {
    topology: Topology,
    access: Access,
    map: RwLock<Arc<Map>>,
    /// How many replicas have to acknowledge; `None`: one, where there is one.
    acknowledged_by: Option<u64>,
    is_looking: AtomicBool,
    /// When the last look began, if it was sure ([`Shared::look_if_older`]). Looks come one after the other, so that no
    /// older answer takes the place of a newer one.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

/// How the servers are found.
enum Topology {
    /// It is always the same.
    One,
    /// Sentinels name it.
    Watched(Sentinels),
    /// The nodes of a cluster tell each other.
    Cluster(Nodes),
}

/// Where a command goes next.
enum Next {
    /// To the server that has taken over its hash slot.
    Moved(u16, Host),
    /// This once, to the server that is taking over its hash slot.
    Ask(Host),
    /// To the same, after a pause.
    Again,
}

impl Link {
    /// Finds the servers, and connects to them.
    pub(super) async fn open(
        address: &RedisAddress,
        acknowledged_by: Option<u64>,
    ) -> outcome::Result<Self> {
        let resolver = Resolver::default();
        let access = |login| Access {
            is_encrypted: address.is_encrypted,
            login,
            database: address.database,
            resolver: resolver.clone(),
        };
        let ours = access(address.login.clone());
        let (topology, map) = match &address.servers {
            Servers::One(host) => {
                let endpoint = Endpoint {
                    host: host.clone(),
                    access: ours.clone(),
                };
                (Topology::One, Map::of_one(Arc::new(Server::at(endpoint))))
            }
            Servers::Watched {
                sentinels,
                service,
                login,
            } => {
                let sentinels = sentinels.iter().map(|host| Endpoint {
                    host: host.clone(),
                    access: Access {
                        database: 0,
                        ..access(login.clone())
                    },
                });
                let sentinels = Sentinels::new(sentinels.collect(), service.clone());
                (Topology::Watched(sentinels), Map::default())
            }
            Servers::Cluster(hosts) => {
                let nodes = Nodes::new(ours.clone(), hosts.clone());
                (Topology::Cluster(nodes), Map::default())
            }
        };
        let shared = Shared {
            topology,
            access: ours,
            map: RwLock::new(Arc::new(map)),
            acknowledged_by,
            is_looking: AtomicBool::new(false),
            looked: tokio::sync::Mutex::default(),
        };
        shared.look().await.map_err(Cause::at_start)?;
        Ok(Self(Arc::new(shared)))
    }

    /// Every server that takes writes.
    pub(super) fn servers(&self) -> Vec<Arc<Server>> {
        self.0.map().servers().to_vec()
    }

    /// The server that has a key.
    pub(super) fn server(&self, key: &str) -> outcome::Result<Arc<Server>> {
        let map = self.0.map();
        map.server(key.as_bytes()).cloned().map_err(Cause::at_start)
    }

    /// Which of the servers has a key: the same number for the same server, as long as none comes or goes.
    pub(super) fn place(&self, key: &str) -> Option<usize> {
        self.0.map().place(key.as_bytes())
    }

    /// What kind of servers the address names.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.0.topology, Topology::Cluster(_))
    }

    /// How many replicas the operator wants to acknowledge; `None`: not said.
    pub(super) fn acknowledged_by(&self) -> Option<u64> {
        self.0.acknowledged_by
    }

    /// Sends one command, or calls a script.
    pub(super) async fn query(&self, asked: impl Into<Asked>) -> outcome::Result<Value> {
        let answer = self.one(&asked.into()).await;
        answer.map_err(Cause::while_running)
    }

    /// Sends commands or calls scripts together, in one round trip, and gives their answers in order; fails when
    /// one of them fails. They need not be in one slot.
    pub(super) async fn query_all(
        &self,
        asked: impl IntoIterator<Item = impl Into<Asked>>,
    ) -> outcome::Result<Vec<Value>> {
        let asked: Vec<Asked> = asked.into_iter().map(Into::into).collect();
        let answers: Result<Vec<Value>, Cause> = self.all(&asked).await.into_iter().collect();
        answers.map_err(Cause::while_running)
    }

    /// As [`Self::query_all`], but where some servers are away, the others' answers are given. Fails when nobody
    /// answers.
    pub(super) async fn query_those_there(
        &self,
        asked: impl IntoIterator<Item = impl Into<Asked>>,
    ) -> outcome::Result<Vec<Option<Value>>> {
        let asked: Vec<Asked> = asked.into_iter().map(Into::into).collect();
        let mut answers = Vec::with_capacity(asked.len());
        let mut failed = None;
        for answer in self.all(&asked).await {
            answers.push(match answer.map_err(Cause::while_running) {
                Ok(answer) => Some(answer),
                Err(StoreError::Unavailable(cause)) => {
                    failed = Some(StoreError::Unavailable(cause));
                    None
                }
                Err(error) => return Err(error),
            });
        }
        match failed {
            Some(error) if answers.iter().all(Option::is_none) => Err(error),
            _ => Ok(answers),
        }
    }

    /// As [`Self::query`]; once this has succeeded, what was read or written is kept by as many replicas as are
    /// wanted.
    ///
    /// `mark` is a command that writes beside it, so that there is something to acknowledge if nothing else is
    /// written.
    pub(super) async fn query_acknowledged(
        &self,
        asked: impl Into<Asked>,
        mark: Cmd,
    ) -> outcome::Result<Value> {
        let answer = self.acknowledged(&asked.into(), &mark.into()).await;
        answer.map_err(Cause::while_running)
    }

    /// Whether what must survive a failover has to be acknowledged by the server that has this key, or by those who
    /// would replace it.
    pub(super) async fn has_to_be_acknowledged(&self, key: &str) -> outcome::Result<bool> {
        if self.0.has_failovers() {
            return Ok(self.0.acknowledged_by != Some(0));
        }
        let map = self.0.map();
        let wanted = match map.server(key.as_bytes()) {
            Ok(server) => self.wanted(server).await,
            Err(cause) => Err(cause),
        };
        let wanted = wanted.map_err(Cause::while_running)?;
        Ok(wanted > 0)
    }

    async fn one(&self, asked: &Asked) -> Result<Value, Cause> {
        let map = self.0.map();
        let server = self.home(&map, asked)?;
        match server.send(asked, false).await {
            Ok(answer) => Ok(answer),
            Err(cause) => self.onward(asked, &map, server.clone(), cause).await,
        }
    }

    /// Follows a command that failed, where its failure says that it has to go elsewhere.
    async fn onward(
        &self,
        asked: &Asked,
        map: &Arc<Map>,
        mut server: Arc<Server>,
        mut cause: Cause,
    ) -> Result<Value, Cause> {
        let begun = Instant::now();
        let mut moves = 0;
        loop {
            let is_ask = match next(&cause, server.host()) {
                Some(Next::Moved(slot, host)) if moves < MOVES => {
                    server = self.0.moved(slot, &host);
                    self.look_soon(&self.0.map());
                    false
                }
                Some(Next::Ask(host)) if moves < MOVES => {
                    server = self.0.visit(&host);
                    true
                }
                Some(Next::Again) if begun.elapsed() < STEP_TIMEOUT => {
                    sleep(MOVING).await;
                    server = self.0.map().server(asked.key())?.clone();
                    moves = 0;
                    false
                }
                _ => {
                    self.failed(&cause, map);
                    return Err(cause);
                }
            };
            moves += 1;
            match server.send(asked, is_ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => cause = failed,
            }
        }
    }

    /// Sends commands together; one answer or failure for each.
    async fn all(&self, asked: &[Asked]) -> Vec<Result<Value, Cause>> {
        let map = self.0.map();
        let mut answers: Vec<Result<Value, Cause>> = Vec::with_capacity(asked.len());
        // Nearly always one group.
        let mut groups: Vec<(&Arc<Server>, Vec<usize>)> = Vec::new();
        for (place, one) in asked.iter().enumerate() {
            let server = match self.home(&map, one) {
                Ok(server) => server,
                Err(cause) => {
                    answers.push(Err(cause));
                    continue;
                }
            };
            answers.push(Ok(Value::Nil));
            match groups.iter_mut().find(|(it, _)| Arc::ptr_eq(it, server)) {
                Some((_, places)) => places.push(place),
                None => groups.push((server, vec![place])),
            }
        }
        let sent = groups.iter().map(|(server, places)| {
            let theirs: Vec<&Asked> = places
                .iter()
                .filter_map(|place| asked.get(*place))
                .collect();
            async move { server.send_all(&theirs).await }
        });
        let mut refused = Vec::new();
        for ((server, places), sent) in groups.iter().zip(join_all(sent).await) {
            let sent = match sent {
                Ok(sent) => sent,
                Err(cause) => {
                    self.failed(&cause, &map);
                    places
                        .iter()
                        .for_each(|place| answers[*place] = Err(cause.clone()));
                    continue;
                }
            };
            for (place, answer) in places.iter().zip(sent) {
                match answer.extract_error() {
                    Ok(answer) => answers[*place] = Ok(answer),
                    Err(error) => refused.push((*place, Arc::clone(server), Cause::from(error))),
                }
            }
        }
        // Side by side, because each may have to wait until its keys have moved.
        let onward = refused.into_iter().map(|(place, server, cause)| {
            let (one, map) = (&asked[place], &map);
            async move { (place, self.onward(one, map, server, cause).await) }
        });
        for (place, answer) in join_all(onward).await {
            answers[place] = answer;
        }
        answers
    }

    async fn acknowledged(&self, asked: &Asked, mark: &Asked) -> Result<Value, Cause> {
        let begun = Instant::now();
        let mut moves = 0;
        // The server that is taking over the hash slot, to which the command goes this once.
        let mut taking_over: Option<Arc<Server>> = None;
        loop {
            let map = self.0.map();
            let server = match &taking_over {
                Some(server) => server,
                None => self.home(&map, asked)?,
            };
            let is_asking = taking_over.is_some();
            let sent = self.acknowledged_at(server, asked, mark, is_asking);
            let cause = match sent.await {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            };
            taking_over = match next(&cause, server.host()) {
                Some(Next::Moved(slot, host)) if moves < MOVES => {
                    moves += 1;
                    self.0.moved(slot, &host);
                    self.look_soon(&self.0.map());
                    None
                }
                Some(Next::Ask(host)) if moves < MOVES => {
                    moves += 1;
                    Some(self.0.visit(&host))
                }
                Some(Next::Again) if begun.elapsed() < STEP_TIMEOUT => {
                    sleep(MOVING).await;
                    moves = 0;
                    None
                }
                _ => {
                    self.failed(&cause, &map);
                    return Err(cause);
                }
            };
        }
    }

    async fn acknowledged_at(
        &self,
        server: &Arc<Server>,
        asked: &Asked,
        mark: &Asked,
        is_asking: bool,
    ) -> Result<Value, Cause> {
        let wanted = self.wanted(server).await?;
        if wanted > 0 {
            return server
                .send_acknowledged(asked, mark, wanted, is_asking)
                .await;
        }
        // Without replicas nothing tells us that the server was replaced. Those who replace it do. One that is just
        // taking over a hash slot was named a moment ago.
        if !is_asking && let Err(cause) = self.0.is_still_there(server, asked.key()).await {
            server.forget_replicas();
            return Err(cause);
        }
        server.send(asked, is_asking).await
    }

    /// How many replicas have to acknowledge what that server keeps.
    async fn wanted(&self, server: &Server) -> Result<u64, Cause> {
        match self.0.acknowledged_by {
            Some(wanted) => Ok(wanted),
            None => Ok(server.has_replica().await?.into()),
        }
    }

    /// The server that has the keys of a command.
    fn home<'a>(&self, map: &'a Arc<Map>, asked: &Asked) -> Result<&'a Arc<Server>, Cause> {
        let server = map.server(asked.key());
        server.inspect_err(|cause| self.failed(cause, map))
    }

    /// Looks for the servers, if that failure suggests that they are others than on this map.
    fn failed(&self, cause: &Cause, map: &Arc<Map>) {
        if cause.asks_for_another_server() {
            self.look_soon(map);
        }
    }

    /// Asks in the background which servers there are, unless that has changed since `seen` or is being done.
    fn look_soon(&self, seen: &Arc<Map>) {
        let shared = &self.0;
        let is_known = !Arc::ptr_eq(seen, &shared.map());
        if !shared.has_failovers() || is_known || shared.is_looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::downgrade(shared);
        tokio::spawn(async move {
            if let Some(shared) = shared.upgrade()
                && let Err(cause) = shared.look().await
            {
                tracing::warn!(%cause, "nobody says which servers the store has");
            }
            sleep(BETWEEN_LOOKS).await;
            if let Some(shared) = shared.upgrade() {
                shared.is_looking.store(false, Ordering::Release);
            }
        });
    }
}

impl Shared {
    fn map(&self) -> Arc<Map> {
        let map = self.map.read();
        map.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_failovers(&self) -> bool {
        !matches!(self.topology, Topology::One)
    }

    fn endpoint(&self, host: &Host) -> Endpoint {
        Endpoint {
            host: host.clone(),
            access: self.access.clone(),
        }
    }

    /// The server at that host: the one on the map, or else a new one.
    fn server_at(&self, map: &Map, host: &Host) -> Arc<Server> {
        let known = map.at(host).cloned();
        known.unwrap_or_else(|| Arc::new(Server::at(self.endpoint(host))))
    }

    /// Asks which servers there are.
    async fn look(&self) -> Result<(), Cause> {
        self.look_if_older(Duration::ZERO).await.map(drop)
    }

    /// Asks which servers there are, unless that was asked since. Gives whether a server without a replica is surely
    /// still the one that takes the writes: so many answered that one who is cut off from the others misleads nobody,
    /// and no replica may be just taking over.
    async fn look_if_older(&self, age: Duration) -> Result<bool, Cause> {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        // A look that began while others waited is theirs too, so that looks that take long delay nobody twice.
        if looked.is_some_and(|looked| looked >= asked || looked.elapsed() < age) {
            return Ok(true);
        }
        let begun = Instant::now();
        let is_sure = match &self.topology {
            Topology::One => true,
            Topology::Watched(sentinels) => {
                let primary = sentinels.primary().await?;
                self.change(|map| Map::of_one(self.server_at(map, &primary.host)));
                primary.is_sure && !primary.has_replica
            }
            Topology::Cluster(nodes) => {
                let owners = nodes.owners().await?;
                self.change(|map| Map::of(&owners, |host| self.server_at(map, host)));
                // A node that is cut off from the others soon takes no writes.
                true
            }
        };
        *looked = is_sure.then_some(begun);
        Ok(is_sure)
    }

    /// A hash slot has moved to that host.
    fn moved(&self, slot: u16, host: &Host) -> Arc<Server> {
        let mut server = None;
        let map = self.change(|map| {
            let to = server.insert(self.server_at(map, host));
            map.moved(slot, to)
        });
        server.unwrap_or_else(|| self.server_at(&map, host))
    }

    /// The server at that host, which is kept on the map though it has no hash slot yet.
    fn visit(&self, host: &Host) -> Arc<Server> {
        let map = self.map();
        let server = self.server_at(&map, host);
        if map.at(host).is_some() {
            return server;
        }
        let map = self.change(|map| match map.at(host) {
            Some(_) => map.clone(),
            None => map.with(&server),
        });
        map.at(host).cloned().unwrap_or(server)
    }

    /// Puts another map in place, and ends the servers that are no longer on it.
    fn change(&self, change: impl FnOnce(&Map) -> Map) -> Arc<Map> {
        let (before, now) = {
            let mut place = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let next = change(&place);
            if next.is_as(&place) {
                return place.clone();
            }
            let next = Arc::new(next);
            (std::mem::replace(&mut *place, next.clone()), next)
        };
        for server in before.servers() {
            if now.at(server.host()).is_none() {
                server.end();
            }
        }
        let hosts = |map: &Map| -> BTreeSet<String> {
            let servers = map.servers().iter();
            servers.map(|server| server.host().to_string()).collect()
        };
        let servers = hosts(&now);
        if !before.servers().is_empty() && hosts(&before) != servers {
            tracing::info!(?servers, "other servers of the store take the writes now");
        }
        now
    }

    /// Fails if that server has been replaced, or if those do not answer who would say so.
    async fn is_still_there(&self, server: &Arc<Server>, key: &[u8]) -> Result<(), Cause> {
        if !self.has_failovers() || self.acknowledged_by.is_some() {
            return Ok(());
        }
        let is_sure = self.look_if_older(BETWEEN_LOOKS).await?;
        let map = self.map();
        let is_there = Arc::ptr_eq(map.server(key)?, server);
        match (is_there, is_sure) {
            (true, true) => Ok(()),
            (true, false) => Err(Cause::Unconfirmed),
            (false, _) => Err(Cause::Ended),
        }
    }
}

/// Where a command goes whose server says that it is not the right one.
fn next(cause: &Cause, asked: &Host) -> Option<Next> {
    let Cause::Told(error) = cause else {
        return None;
    };
    let host = || {
        let (place, _) = error.redirect_node()?;
        let (name, port) = place.rsplit_once(':')?;
        // Without a name, it is where the answer came from.
        let name = if name.is_empty() { &asked.name } else { name };
        let name = name.trim_matches(['[', ']']).to_owned();
        let port = port.parse().ok()?;
        Some(Host { name, port })
    };
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => {
            Some(Next::Moved(error.redirect_node()?.1, host()?))
        }
        ErrorKind::Server(ServerErrorKind::Ask) => Some(Next::Ask(host()?)),
        ErrorKind::Server(ServerErrorKind::TryAgain) => Some(Next::Again),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::CONNECT_TIMEOUT;
    use super::*;

    #[tokio::test]
    async fn nobody_there_is_told_in_time_whatever_kind_of_servers_it_is() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = listener.local_addr().expect("bound");
        drop(listener);
        for address in [
            format!("redis://{place}"),
            format!("redis+sentinel://{place},{place}?service=s"),
            format!("redis+cluster://{place},{place}"),
        ] {
            let begun = std::time::Instant::now();
            let opened = Link::open(&address.parse().expect("an address"), None).await;
            let refused = match opened {
                Ok(link) => link.servers()[0].ask::<()>(&redis::cmd("PING")).await.err(),
                Err(error) => Some(error),
            };
            let is_away = matches!(refused, Some(StoreError::Unavailable(_)));
            assert!(is_away, "{address}: {refused:?}");
            assert!(begun.elapsed() < CONNECT_TIMEOUT + Duration::from_secs(1));
        }
    }

    #[test]
    fn a_server_that_is_not_the_right_one_says_which_is() {
        let host = |name: &str, port| Host {
            name: name.to_owned(),
            port,
        };
        let asked = host("asked", 1);
        let goes = |line: &str| {
            let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
            let error = value.expect("a reply").extract_error();
            next(&Cause::from(error.expect_err("an error")), &asked)
        };
        for (line, name) in [
            ("MOVED 7 10.0.0.1:7000", "10.0.0.1"),
            ("MOVED 7 :7000", "asked"),
            ("MOVED 7 ::1:7000", "::1"),
            ("MOVED 7 node.internal:7000", "node.internal"),
        ] {
            let moved = goes(line);
            let is_right = matches!(
                &moved,
                Some(Next::Moved(7, to)) if *to == host(name, 7000)
            );
            assert!(is_right, "{line}");
        }
        assert!(matches!(goes("ASK 7 h:1"), Some(Next::Ask(to)) if to == host("h", 1)));
        assert!(matches!(
            goes("TRYAGAIN Multiple keys request"),
            Some(Next::Again)
        ));
        assert!(goes("READONLY You can't write").is_none());
    }
}
