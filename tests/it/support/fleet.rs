//! Fleets of Redis servers as they are run: one that takes writes with replicas and Sentinels, or a cluster.
//!
//! They notice within about a second that one of them is gone, so that a test need not wait for long.

use std::collections::BTreeSet;
use std::time::Duration;

use guichet::domain::id::Partition;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::process::Port;
use super::redis::Redis;
use super::tls;

/// The name that the Sentinels know the server by.
pub const SERVICE: &str = "store";

/// How long a fleet may take to become what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each has several processes that must answer in time, so that at most two run beside each other.
static ROOM: Semaphore = Semaphore::const_new(2);

async fn room() -> SemaphorePermit<'static> {
    ROOM.acquire().await.expect("it is never closed")
}

/// Looks again and again until a fleet is as `look` wants it.
///
/// # Panics
///
/// If it is not within half a minute.
pub async fn settles<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        // Between two looks at the condition, not instead of one.
        sleep(Duration::from_millis(20)).await;
    }
}

/// How its servers are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doors {
    /// Without encryption, as a user who may do everything.
    #[default]
    Open,
    /// By TLS, as a user who may do what [`permissions`] says.
    Guarded,
}

/// The user of [`Doors::Guarded`] and its password.
pub const USER: &str = "guichet";
const PASSWORD: &str = "pass-word";

/// What the documentation says that the user needs, at the servers first and then at the Sentinels.
fn permissions() -> [String; 2] {
    let document = super::package_folder().join("docs/RELIABILITY.md");
    let document = std::fs::read_to_string(document).expect("docs/RELIABILITY.md");
    let lines = document.lines();
    let mut lines = lines.filter_map(|line| line.strip_prefix("user guichet on >PASSWORD "));
    [(); 2].map(|()| lines.next().expect("a line for the user").to_owned())
}

/// The arguments of a server, or the lines of a Sentinel, behind these doors.
fn doors(doors: Doors, user: &str) -> (Option<Port>, Vec<String>) {
    if doors == Doors::Open {
        return (None, Vec::new());
    }
    let port = Port::take();
    let (good, key) = (tls::file("good.pem"), tls::file("key.pem"));
    let words = format!(
        "--tls-port {} --tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {} --tls-auth-clients no \
         --tls-replication yes --user {USER} on >{PASSWORD} {user}",
        port.number(),
        good.display(),
        key.display(),
        tls::authority(),
    );
    let words = words.split(' ').map(str::to_owned).collect();
    (Some(port), words)
}

/// A server of a fleet.
pub struct Node {
    /// The process.
    pub redis: Redis,
    encrypted: Option<Port>,
    _bus: Option<Port>,
}

impl Node {
    fn start(how: Doors, more: &[&str]) -> Self {
        Self::started(how, false, None, more)
    }

    fn started(how: Doors, is_shared: bool, bus: Option<Port>, more: &[&str]) -> Self {
        let [theirs, _] = permissions();
        let (encrypted, mut arguments) = doors(how, &theirs);
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Self {
            redis: Redis::start_with(is_shared, &arguments),
            encrypted,
            _bus: bus,
        }
    }

    /// The port that clients are told of.
    pub fn port(&self) -> u16 {
        let encrypted = self.encrypted.as_ref().map(Port::number);
        encrypted.unwrap_or_else(|| self.redis.port())
    }

    fn is_in(&self, role: &str) -> bool {
        self.redis.info("replication", "role").as_deref() == Some(role)
    }

    /// A server with so many replicas, and nobody who would replace it.
    pub async fn followed(replicas: usize) -> Vec<Self> {
        let mut servers = vec![Self::start(Doors::Open, &[])];
        for _ in 0..replicas {
            Self::follow(&mut servers).await;
        }
        servers
    }

    /// Adds a replica to the first of these.
    pub async fn follow(servers: &mut Vec<Self>) {
        let port = servers[0].port().to_string();
        servers.push(Self::start(
            Doors::Open,
            &["--replicaof", "127.0.0.1", &port],
        ));
        let (first, replicas) = (&servers[0], servers.len() - 1);
        settles("it follows", || first.has_replicas(replicas).then_some(())).await;
    }

    /// Whether it has so many replicas that have all it wrote.
    pub fn has_replicas(&self, count: usize) -> bool {
        let Some(offset) = self.redis.info("replication", "master_repl_offset") else {
            return false;
        };
        let known = self.redis.ask("INFO replication").unwrap_or_default();
        let online = known.iter().filter(|line| {
            line.starts_with("slave")
                && line.contains("state=online")
                && line.contains(&format!("offset={offset}"))
        });
        online.count() >= count
    }
}

fn login(how: Doors) -> (&'static str, String) {
    match how {
        Doors::Open => ("redis", String::new()),
        Doors::Guarded => ("rediss", format!("{USER}:{PASSWORD}@")),
    }
}

/// The address of one server of its own, and the server.
pub async fn alone(how: Doors) -> (Node, String) {
    let node = Node::start(how, &[]);
    let (scheme, login) = login(how);
    let url = format!("{scheme}://{login}127.0.0.1:{}/1", node.port());
    (node, url)
}

/// A server with replicas, and three Sentinels.
pub struct Watched {
    /// The servers. The first one takes the writes at the beginning.
    pub servers: Vec<Node>,
    /// The Sentinels.
    pub sentinels: Vec<Redis>,
    how: Doors,
    _ports: Vec<Option<Port>>,
    _room: SemaphorePermit<'static>,
}

impl Watched {
    /// One server with so many replicas.
    pub async fn start(replicas: usize) -> Self {
        Self::behind(Doors::Open, replicas).await
    }

    /// The same, behind these doors.
    pub async fn behind(how: Doors, replicas: usize) -> Self {
        let room = room().await;
        let first = Node::start(how, &[]);
        let port = first.port().to_string();
        let mut servers = vec![first];
        for _ in 0..replicas {
            servers.push(Node::start(how, &["--replicaof", "127.0.0.1", &port]));
        }
        // Behind doors nothing is to fail.
        let patience = if how == Doors::Open { 1000 } else { 60_000 };
        let mut sentinels = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..3 {
            let [_, theirs] = permissions();
            let (encrypted, words) = doors(how, &theirs);
            ports.push(encrypted);
            let lines = words.join(" ").replace("--", "\n");
            sentinels.push(Redis::start_sentinel(&format!(
                "sentinel monitor {SERVICE} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {SERVICE} {patience}\n\
                 sentinel failover-timeout {SERVICE} 4000\n{lines}\n"
            )));
        }
        for sentinel in &sentinels {
            // From version 7 on. Before it all takes longer.
            let _ = sentinel.ask(
                "SENTINEL DEBUG INFO-PERIOD 200 PUBLISH-PERIOD 200 PING-PERIOD 200 ASK-PERIOD 200 \
                 TILT-PERIOD 1000 MIN-LINK-RECONNECT-PERIOD 1000 ELECTION-TIMEOUT 2000",
            );
        }
        let fleet = Self {
            servers,
            sentinels,
            how,
            _ports: ports,
            _room: room,
        };
        settles("the Sentinels know each other and the replicas", || {
            let count = |sentinel: &Redis, field: &str| -> Option<usize> {
                fleet.says(sentinel, field)?.parse().ok()
            };
            let know = fleet.sentinels.iter().all(|it| {
                count(it, "num-other-sentinels") == Some(2)
                    && count(it, "num-slaves") == Some(replicas)
            });
            (know && fleet.servers[0].has_replicas(replicas)).then_some(())
        })
        .await;
        fleet
    }

    /// Its address.
    pub fn url(&self) -> String {
        let (scheme, login) = login(self.how);
        let ports = self.sentinels.iter().zip(&self._ports);
        let hosts = ports.map(|(sentinel, encrypted)| {
            let encrypted = encrypted.as_ref().map(Port::number);
            format!("127.0.0.1:{}", encrypted.unwrap_or_else(|| sentinel.port()))
        });
        let hosts: Vec<String> = hosts.collect();
        let sentinel_login = match self.how {
            Doors::Open => String::new(),
            Doors::Guarded => format!("&sentinel_user={USER}&sentinel_password={PASSWORD}"),
        };
        format!(
            "{scheme}+sentinel://{login}{}/1?service={SERVICE}{sentinel_login}",
            hosts.join(",")
        )
    }

    fn says(&self, sentinel: &Redis, field: &str) -> Option<String> {
        let pairs = sentinel.ask(&format!("SENTINEL MASTER {SERVICE}")).ok()?;
        let place = pairs.iter().position(|word| word == field)?;
        pairs.get(place + 1).cloned()
    }

    /// Which of the servers all Sentinels name that are asked.
    pub fn named(&self) -> Option<usize> {
        let mut named = self.sentinels.iter().map(|it| self.named_by(it));
        let first = named.next()??;
        named.all(|it| it == Some(first)).then_some(first)
    }

    fn named_by(&self, sentinel: &Redis) -> Option<usize> {
        let question = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}");
        let port: u16 = sentinel.ask(&question).ok()?.get(1)?.parse().ok()?;
        self.servers.iter().position(|it| it.port() == port)
    }

    /// Which server has the writes instead of that one, once all Sentinels agree and it knows.
    fn taken_over_from(&self, before: usize) -> Option<usize> {
        let named = self.named().filter(|named| *named != before)?;
        self.servers[named].is_in("master").then_some(named)
    }

    /// Waits until all Sentinels name another server than that one, and gives it.
    pub async fn replaced(&self, before: usize) -> usize {
        settles("the Sentinels name another server", || {
            self.taken_over_from(before)
        })
        .await
    }

    /// Orders a failover; again, if the Sentinels gave it up where everything is busy.
    pub async fn fail_over(&self) -> usize {
        let before = self.named().expect("they agree");
        settles("the Sentinels give the writes to another server", || {
            if self.named_by(&self.sentinels[0]) == Some(before) {
                // Refused while one is under way.
                let _ = self.sentinels[0].ask(&format!("SENTINEL FAILOVER {SERVICE}"));
            }
            self.taken_over_from(before)
        })
        .await
    }

    /// Waits until that server follows the one that takes the writes.
    pub async fn follows(&self, server: usize) {
        settles("the server follows", || {
            let redis = &self.servers[server].redis;
            let is_up = redis.info("replication", "master_link_status")? == "up";
            (is_up && self.servers[server].is_in("slave")).then_some(())
        })
        .await;
    }
}

/// A cluster.
pub struct Cluster {
    /// The nodes: first those that have hash slots at the beginning, in order, and then their replicas in the
    /// same order, round by round.
    pub nodes: Vec<Node>,
    how: Doors,
    _room: Option<SemaphorePermit<'static>>,
}

/// How a cluster is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many nodes have hash slots.
    pub masters: usize,
    /// How many replicas each of them has.
    pub replicas: usize,
    /// How many further nodes have no hash slots yet.
    pub empty: usize,
    /// How they are reached.
    pub doors: Doors,
    /// After how many milliseconds of silence a node counts as gone.
    pub timeout: u32,
    /// Whether it is never dropped.
    pub is_shared: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            masters: 3,
            replicas: 1,
            empty: 0,
            doors: Doors::Open,
            timeout: 1500,
            is_shared: false,
        }
    }
}

impl Cluster {
    /// The one that all tests of this binary share that only need a store, started by the first that asks.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        let shape = Shape {
            replicas: 0,
            // Nothing is to fail here.
            timeout: 60_000,
            is_shared: true,
            ..Shape::default()
        };
        SHARED.get_or_init(|| Self::made(shape, None)).await
    }

    /// Starts one, and waits until all of it is well.
    pub async fn start(shape: Shape) -> Self {
        let room = room().await;
        Self::made(shape, Some(room)).await
    }

    async fn made(shape: Shape, room: Option<SemaphorePermit<'static>>) -> Self {
        let Shape {
            masters,
            replicas,
            empty,
            doors: how,
            ..
        } = shape;
        let start = |_| {
            let bus = Port::take();
            let words = format!(
                "--cluster-enabled yes --cluster-port {} --cluster-node-timeout {} \
                 --cluster-replica-validity-factor 0 --cluster-require-full-coverage no{}",
                bus.number(),
                shape.timeout,
                if how == Doors::Guarded {
                    " --tls-cluster yes"
                } else {
                    ""
                },
            );
            let words: Vec<&str> = words.split(' ').collect();
            let bus_port = bus.number();
            (
                Node::started(how, shape.is_shared, Some(bus), &words),
                bus_port,
            )
        };
        let started: Vec<(Node, u16)> = (0..masters * (1 + replicas) + empty).map(start).collect();
        let first = (started[0].0.port(), started[0].1);
        let nodes: Vec<Node> = started.into_iter().map(|(node, _)| node).collect();
        for (number, node) in nodes.iter().enumerate() {
            node.redis
                .command(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            if number < masters {
                let (begin, end) = (number * 16384 / masters, (number + 1) * 16384 / masters);
                node.redis
                    .command(&format!("CLUSTER ADDSLOTSRANGE {begin} {}", end - 1));
            }
            if number > 0 {
                let (port, bus) = first;
                node.redis
                    .command(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
            }
        }
        let fleet = Self {
            nodes,
            how,
            _room: room,
        };
        let all = fleet.nodes.len();
        let knows = |node: &Node, name: &str, value: &str| {
            let info = node.redis.ask("CLUSTER INFO").unwrap_or_default();
            info.contains(&format!("{name}:{value}"))
        };
        settles("the nodes know each other", || {
            let know = |node: &Node| {
                knows(node, "cluster_known_nodes", &all.to_string())
                    && knows(node, "cluster_slots_assigned", "16384")
            };
            fleet.nodes.iter().all(know).then_some(())
        })
        .await;
        for number in 0..masters * replicas {
            let (master, replica) = (number % masters, masters + number);
            let id = fleet.id(master);
            settles("a replica follows", || {
                let order = format!("CLUSTER REPLICATE {id}");
                fleet.nodes[replica].redis.ask(&order).ok()
            })
            .await;
        }
        settles("the cluster is well", || {
            let is_well = |node: &Node| knows(node, "cluster_state", "ok");
            let are_followed = fleet.nodes[..masters]
                .iter()
                .all(|it| it.has_replicas(replicas));
            (fleet.nodes.iter().all(is_well) && are_followed).then_some(())
        })
        .await;
        fleet
    }

    /// Its address, which names two of its nodes.
    pub fn url(&self) -> String {
        let (scheme, login) = login(self.how);
        let hosts = self.nodes.iter().take(2);
        let hosts: Vec<String> = hosts.map(|it| format!("127.0.0.1:{}", it.port())).collect();
        format!("{scheme}+cluster://{login}{}", hosts.join(","))
    }

    /// The name of a node within the cluster.
    pub fn id(&self, node: usize) -> String {
        let words = self.nodes[node]
            .redis
            .ask("CLUSTER MYID")
            .expect("its name");
        words.into_iter().next().expect("its name")
    }

    /// The partitions of those hash slots that a node has.
    pub fn partitions_of(&self, node: usize) -> BTreeSet<Partition> {
        let all = Partition::all().enumerate();
        // Partition by partition, in the middle of equal parts of the hash slots.
        let at = |place: usize| self.owner_of(u16::try_from(place * 1024 + 512).expect("a slot"));
        let theirs = all.filter(|(place, _)| at(*place) == node);
        theirs.map(|(_, partition)| partition).collect()
    }

    /// Waits until every node knows the name of that one.
    pub async fn know_name(&self, node: usize, name: &str) {
        let id = self.id(node);
        settles("everybody knows the name", || {
            let knows = |it: &Node| {
                let told = it.redis.ask("CLUSTER NODES").unwrap_or_default();
                let mut lines = told.iter().filter(|line| line.starts_with(&id));
                lines.any(|line| line.contains(name))
            };
            self.nodes.iter().all(knows).then_some(())
        })
        .await;
    }

    /// Waits until that node has taken over as a master with hash slots, and everybody who answers knows.
    pub async fn takes_over(&self, node: usize, asked: &[usize]) {
        let id = self.id(node);
        settles("a replica takes over", || {
            let knows = |number: &usize| {
                let told = self.nodes[*number]
                    .redis
                    .ask("CLUSTER NODES")
                    .unwrap_or_default();
                let line = told.into_iter().find(|line| line.starts_with(&id));
                let words = line.unwrap_or_default();
                let words: Vec<&str> = words.split(' ').collect();
                words.len() > 8 && words[2].contains("master")
            };
            asked.iter().all(knows).then_some(())
        })
        .await;
    }

    /// Orders a replica to take over; again, if it took too long where everything is busy.
    pub async fn fail_over(&self, replica: usize) {
        let redis = &self.nodes[replica].redis;
        let mut ordered: Option<Instant> = None;
        settles("a replica takes over", || {
            if ordered.is_none_or(|at| at.elapsed() > Duration::from_secs(6)) {
                // Refused if it has taken over meanwhile.
                let _ = redis.ask("CLUSTER FAILOVER");
                ordered = Some(Instant::now());
            }
            self.nodes[replica].is_in("master").then_some(())
        })
        .await;
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.takes_over(replica, &all).await;
    }

    /// Waits until that node follows another one.
    pub async fn follows(&self, node: usize) {
        settles("the node follows", || {
            let redis = &self.nodes[node].redis;
            (redis.info("replication", "master_link_status")? == "up").then_some(())
        })
        .await;
    }

    /// The node that takes the writes of a hash slot, as the last of them says.
    pub fn owner_of(&self, slot: u16) -> usize {
        let last = self.nodes.last().expect("a node");
        let told = last.redis.ask("CLUSTER NODES").expect("an answer");
        let has = |line: &String| {
            let ranges = line.split(' ').skip(8);
            let mut ranges = ranges.filter_map(|range| {
                let (begin, end) = range.split_once('-').unwrap_or((range, range));
                Some(begin.parse::<u16>().ok()?..=end.parse::<u16>().ok()?)
            });
            ranges.any(|range| range.contains(&slot))
        };
        let line = told.iter().find(|line| has(line)).expect("somebody has it");
        let ids = (0..self.nodes.len()).map(|node| self.id(node));
        let mut ids = ids.enumerate().filter(|(_, id)| line.starts_with(id));
        ids.next().expect("one of ours").0
    }

    /// The node that takes the writes of a key.
    pub fn owner(&self, key: &str) -> usize {
        let slot = self.nodes[0].redis.ask(&format!("CLUSTER KEYSLOT {key}"));
        self.owner_of(slot.expect("a slot")[0].parse().expect("a number"))
    }

    /// The hash slots of a node that have any keys.
    pub fn used_slots(&self, node: usize) -> Vec<u16> {
        let redis = &self.nodes[node].redis;
        let keys = redis.ask("KEYS *").expect("keys");
        let slots = keys.iter().map(|key| {
            let slot = redis.ask(&format!("CLUSTER KEYSLOT {key}"));
            slot.expect("a slot")[0].parse().expect("a number")
        });
        let slots: BTreeSet<u16> = slots.collect();
        slots.into_iter().collect()
    }

    /// Moves hash slots from one node to another as `redis-cli --cluster reshard` does, with so many keys at a time.
    /// `between` is done after each batch.
    pub async fn reshard(
        &self,
        slots: &[u16],
        (from, to): (usize, usize),
        batch: usize,
        mut between: impl AsyncFnMut(),
    ) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id) = (self.id(from), self.id(to));
        for slot in slots {
            target
                .redis
                .command(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"));
            source
                .redis
                .command(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"));
            loop {
                let question = format!("CLUSTER GETKEYSINSLOT {slot} {batch}");
                let keys = source.redis.ask(&question).expect("keys");
                if keys.is_empty() {
                    break;
                }
                let keys = keys.join(" ");
                let port = target.redis.port();
                source
                    .redis
                    .command(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {keys}"));
                between().await;
            }
            for node in [target, source] {
                node.redis
                    .command(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
            }
        }
    }
}
