//! What a full store costs, beside an empty one of the same kind.
//!
//! Two gateways of the same program run side by side, one on each store. They are measured in turn, a hundred flows
//! at a time, so that a machine that is busy with something else slows both. Each figure of a round is taken from all
//! of its turns; what is printed is the median of the rounds.
//!
//! The empty store has a thousand users and one with a long list of members, which the full one has too; its
//! further users, members and links are ballast that nobody asks for, except for what is looked up at random.

use std::fs;
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use guichet::domain::user::User;
use guichet::store::redis::{RedisSettings, RedisStore};
use guichet::store::sqlite::SqliteStore;
use guichet::store::{Retention, Store};
use guichet_bench::measure::{self, RedisWork};
use jiff::{SignedDuration, Timestamp};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::fill::{self, MANY, MEMBERS_OF_MANY, Part, Size};
use super::gateway::{self, Gateway, Process, Wanted};
use super::generator::{self, LEGS, Load, Seen, percentiles, scattered};
use super::growth_tables as tables;

/// What is to be measured.
pub struct Plan {
    pub gateway: PathBuf,
    /// Connected members of the full store.
    pub members: usize,
    /// Its pending links.
    pub links: usize,
    pub rounds: usize,
    /// Flows of one round.
    pub flows: usize,
    pub people: usize,
    /// Links whose deadline passes at once.
    pub overdue: usize,
    pub only: String,
    /// Where filled stores are kept, so that they are filled once.
    pub keep: Option<PathBuf>,
}

/// Connected members of one user.
const MEMBERS_PER_USER: usize = 4;

/// Users of an empty store.
const USERS: usize = 1000;

/// Flows, or reads, of one turn: what a gateway remembers of the leg before is still there.
const TURN: usize = 128;

/// People who read at once.
const READERS: usize = 4;

/// People under way while links are swept.
const BESIDE: usize = 4;

/// What is looked up.
pub const LOOKUPS: [&str; 7] = [
    "a member",
    "members of a user, first page",
    "members of a user, late page",
    "users, first page",
    "users, last page",
    "user by `id`",
    "user by email address",
];

/// The time of a gateway's and its Redis's process.
#[derive(Clone, Copy, Default)]
pub struct Used {
    pub gateway: Duration,
    pub redis: Duration,
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            gateway: self.gateway.saturating_sub(before.gateway),
            redis: self.redis.saturating_sub(before.redis),
        }
    }
}

/// What was seen of one leg or one look-up in one round.
#[derive(Default)]
struct Sample {
    times: Vec<Duration>,
    used: Used,
}

impl Sample {
    fn add(&mut self, times: Vec<Duration>, used: Used) {
        self.times.extend(times);
        self.used.gateway += used.gateway;
        self.used.redis += used.redis;
    }

    fn figures(mut self) -> Figures {
        self.times.sort_unstable();
        let count = u32::try_from(self.times.len()).unwrap_or(u32::MAX).max(1);
        Figures {
            percentiles: percentiles(&self.times),
            cpu: self.used.gateway / count,
            redis: self.used.redis / count,
        }
    }
}

/// The same as figures.
#[derive(Clone, Copy)]
pub struct Figures {
    /// p50, p95, p99.
    pub percentiles: [Duration; 3],
    /// The gateway's CPU for one.
    pub cpu: Duration,
    /// Redis's.
    pub redis: Duration,
}

/// One round of one store: the legs, then the look-ups.
pub type Round = Vec<Figures>;

/// Flows through some gateways on the full Redis.
pub struct Shared {
    pub flows_per_second: f64,
    pub cpu: Duration,
    pub redis: Duration,
    pub commands: f64,
    pub trips: f64,
    /// Bytes that a flow adds to Redis's file, that Redis receives and that it sends.
    pub bytes: [f64; 3],
}

/// A sweep, and what the flows beside it saw.
pub struct Swept {
    pub took: Duration,
    pub used: Used,
    /// p50, p95 and p99 of each leg.
    pub beside: [[Duration; 3]; LEGS.len()],
    /// The same flows without a sweep.
    pub alone: [[Duration; 3]; LEGS.len()],
}

/// How large things are.
#[derive(Clone, Copy)]
pub struct Memory {
    /// The gateway's when it has started, and at the end.
    pub idle: u64,
    pub loaded: u64,
    /// What Redis uses, and has from the system; or the size of the file.
    pub store: u64,
    pub resident: u64,
}

/// Measures everything and prints the tables.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let (_bank, bank) = Process::helper(&["authorization-server", "0"])?;
    for kind in ["redis", "sqlite"] {
        if kind.contains(&plan.only) {
            measure_kind(plan, kind, bank).await.context(kind)?;
        }
    }
    Ok(())
}

async fn measure_kind(
    plan: &Plan,
    kind: &'static str,
    bank: std::net::SocketAddr,
) -> anyhow::Result<()> {
    let empty = Size {
        users: USERS,
        members: 0,
        links: 0,
    };
    let full = Size {
        users: (plan.members / MEMBERS_PER_USER).max(USERS),
        members: plan.members,
        links: plan.links,
    };
    let empty = Site::start(plan, kind, empty, None, bank).await?;
    let full = Site::start(plan, kind, full, plan.keep.as_deref(), bank).await?;
    println!("## {kind}\n");
    if !full.parts.is_empty() {
        println!("{}", tables::parts(&full.parts));
    }
    let mut sites = [empty, full];
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..=plan.rounds {
        eprintln!("{kind}: round {round} of {}", plan.rounds);
        let measured = round_of(plan, &mut sites, round).await?;
        // The first one warms up.
        if round > 0 {
            for (all, one) in rounds.iter_mut().zip(measured) {
                all.push(one);
            }
        }
    }
    println!("{}", tables::legs(&rounds));
    println!("{}", tables::lookups(&rounds));

    if kind == "redis" {
        let mut rows = [Vec::new(), Vec::new()];
        for round in 1..=plan.rounds {
            eprintln!("{kind}: gateways, round {round} of {}", plan.rounds);
            for (gateways, row) in rows.iter_mut().enumerate() {
                row.push(sites[1].shared_by(plan, gateways + 1).await?);
            }
        }
        println!("{}", tables::shared(&rows));
    }
    let mut memory = Vec::new();
    for site in &sites {
        memory.push(site.memory().await?);
    }
    println!("{}", tables::memory(&memory));
    let mut sweeps = Vec::new();
    for site in &mut sites {
        eprintln!("{kind}: sweep");
        sweeps.push(site.swept(plan).await?);
    }
    println!("{}", tables::sweeps(&sweeps, plan.overdue));
    Ok(())
}

/// One round of both stores, turn by turn.
async fn round_of(plan: &Plan, sites: &mut [Site; 2], round: usize) -> anyhow::Result<[Round; 2]> {
    let mut samples = [(); 2].map(|()| {
        let mut samples: Vec<Sample> = Vec::new();
        samples.resize_with(LEGS.len() + LOOKUPS.len(), Sample::default);
        samples
    });
    for turn in 0..plan.flows.div_ceil(TURN) {
        for which in 0..2 {
            // Neither is always the first.
            let which = (which + turn) % 2;
            let site = &mut sites[which];
            let number = (round * plan.flows.div_ceil(TURN) + turn) * TURN;
            let load = site.load(plan.people, number, TURN);
            let legs = generator::leg_by_leg(&load, || site.used()).await?;
            for (sample, (times, used)) in samples[which].iter_mut().zip(legs) {
                sample.add(times, used);
            }
            for lookup in 0..LOOKUPS.len() {
                let paths = (number..number + TURN).map(|number| site.path(lookup, number));
                let paths = paths.collect();
                let load = site.load(READERS, 0, 0);
                let before = site.used()?;
                let times = generator::reads(&load, paths).await?;
                let used = site.used()? - before;
                samples[which][LEGS.len() + lookup].add(times, used);
            }
        }
    }
    Ok(samples.map(|samples| samples.into_iter().map(Sample::figures).collect()))
}

/// A store with a gateway on it.
struct Site {
    folder: TempDir,
    redis: Option<(Process, String)>,
    program: PathBuf,
    bank: std::net::SocketAddr,
    gateway: Option<Gateway>,
    authorization: String,
    idle: u64,
    users: usize,
    parts: Vec<Part>,
    /// The addresses of some members.
    members: Vec<String>,
}

impl Site {
    async fn start(
        plan: &Plan,
        kind: &str,
        size: Size,
        keep: Option<&Path>,
        bank: std::net::SocketAddr,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in("target")?;
        if let Some(keep) = keep {
            fs::create_dir_all(keep)?;
        }
        let (redis, parts) = match kind {
            "redis" => {
                let (redis, parts) = filled_redis(keep, folder.path(), size).await?;
                (Some(redis), parts)
            }
            _ => (None, filled_file(keep, folder.path(), size).await?),
        };
        let program = plan.gateway.canonicalize();
        let mut site = Self {
            folder,
            redis,
            program: program.context("build the gateway first")?,
            bank,
            gateway: None,
            authorization: String::new(),
            idle: 0,
            users: size.users,
            parts,
            members: Vec::new(),
        };
        let gateway = site.another_gateway(None).await?;
        site.authorization.clone_from(&gateway.authorization);
        site.idle = measure::resident(gateway.process.id())?;
        site.gateway = Some(gateway);
        site.find_members(size).await?;
        Ok(site)
    }

    async fn another_gateway(&self, authorization: Option<String>) -> anyhow::Result<Gateway> {
        let url = self.redis.as_ref().map(|(_, url)| url.as_str());
        let wanted = Wanted {
            program: &self.program,
            folder: self.folder.path(),
            store: url.unwrap_or("sqlite:guichet.sqlite"),
            bank: self.bank,
            sink: None,
            authorization,
        };
        Gateway::start(&wanted).await
    }

    fn running(&self) -> anyhow::Result<&Gateway> {
        self.gateway.as_ref().context("no gateway")
    }

    /// Finds members that can be read by their guids: of users at random if they have any, else of the one that has many.
    async fn find_members(&mut self, size: Size) -> anyhow::Result<()> {
        let load = self.load(1, 0, 0);
        for number in 0..4 * TURN {
            let (user, page, at) = match size.members > 0 {
                true => (format!("u{}", scattered(number, size.users)), 1, 0),
                false => (MANY.to_owned(), number / 25 + 1, number % 25),
            };
            let path = format!("/users/{user}/members?page={page}");
            let read = generator::read(&load, &path).await?;
            let guid = read["members"][at]["guid"].as_str();
            let guid = guid.with_context(|| format!("{path} has too few members"))?;
            self.members.push(format!("/users/{user}/members/{guid}"));
        }
        Ok(())
    }

    fn load(&self, people: usize, first: usize, flows: usize) -> Load {
        Load {
            gateways: self.gateway.iter().map(|it| it.address).collect(),
            bank: self.bank,
            authorization: self.authorization.clone(),
            spread: self.users,
            people,
            first,
            flows,
        }
    }

    /// The address of a look-up.
    fn path(&self, lookup: usize, number: usize) -> String {
        let user = scattered(number, self.users);
        match lookup {
            0 => self.members[number % self.members.len()].clone(),
            1 => format!("/users/{MANY}/members"),
            2 => format!("/users/{MANY}/members?page={}", MEMBERS_OF_MANY / 25),
            3 => "/users".to_owned(),
            4 => format!("/users?page={}", self.users / 25),
            5 => format!("/users?id=u{user}"),
            _ => format!("/users?email={}", fill::email(user).replace('@', "%40")),
        }
    }

    fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            gateway: measure::exact_cpu(self.running()?.process.id())?,
            redis: self.redis_used()?,
        })
    }

    fn redis_used(&self) -> anyhow::Result<Duration> {
        match &self.redis {
            Some((server, _)) => measure::exact_cpu(server.id()),
            None => Ok(Duration::ZERO),
        }
    }

    /// Whole flows through that many gateways, each request at the next one.
    async fn shared_by(&self, plan: &Plan, gateways: usize) -> anyhow::Result<Shared> {
        let (server, url) = self.redis.as_ref().context("no Redis")?;
        let mut others = Vec::new();
        for _ in 1..gateways {
            others.push(
                self.another_gateway(Some(self.authorization.clone()))
                    .await?,
            );
        }
        let all: Vec<&Gateway> = self.gateway.iter().chain(&others).collect();
        let load = Load {
            gateways: all.iter().map(|it| it.address).collect(),
            ..self.load(plan.people, 0, plan.flows)
        };
        let few = |people, flows| Load {
            people,
            flows,
            ..load.clone()
        };
        completed(generator::run(&few(plan.people, TURN)).await?)?;
        let mut asked = connection(url).await?;
        let before = RedisWork::so_far(&mut asked).await?;
        let seen = completed(generator::run(&few(1, TURN)).await?)?;
        let after = RedisWork::so_far(&mut asked).await?;
        let (commands, trips) = after.since(before, seen.completed);

        let used = || -> anyhow::Result<(Duration, Duration)> {
            let mut cpu = Duration::ZERO;
            for gateway in &all {
                cpu += measure::exact_cpu(gateway.process.id())?;
            }
            Ok((cpu, measure::exact_cpu(server.id())?))
        };
        let (before, bytes_before) = (used()?, moved(&mut asked).await?);
        let seen = completed(generator::run(&load).await?)?;
        let (after, bytes_after) = (used()?, moved(&mut asked).await?);
        let flows = u32::try_from(seen.completed)?;
        let bytes = [0, 1, 2].map(|at| {
            // After the file was rewritten it may be shorter.
            bytes_after[at].saturating_sub(bytes_before[at]) as f64 / f64::from(flows)
        });
        Ok(Shared {
            flows_per_second: f64::from(flows) / seen.took.as_secs_f64(),
            cpu: after.0.saturating_sub(before.0) / flows,
            redis: after.1.saturating_sub(before.1) / flows,
            commands,
            trips,
            bytes,
        })
    }

    async fn memory(&self) -> anyhow::Result<Memory> {
        let (store, resident) = match &self.redis {
            Some((server, url)) => {
                let used = used_memory(&mut connection(url).await?).await?;
                (used, measure::resident(server.id())?)
            }
            None => (fs::metadata(self.file())?.len(), 0),
        };
        Ok(Memory {
            idle: self.idle,
            loaded: measure::resident(self.running()?.process.id())?,
            store,
            resident,
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("guichet.sqlite")
    }

    /// Lets the deadline of many links pass while no gateway runs, and starts one.
    async fn swept(&mut self, plan: &Plan) -> anyhow::Result<Swept> {
        self.gateway = None;
        let store = match &self.redis {
            Some((_, url)) => open_redis(url).await?,
            None => open_file(&self.file())?,
        };
        let now = fill::now();
        let before = now - SignedDuration::from_secs(60);
        let users: Vec<User> = {
            let bench = gateway::registration()?;
            (0..USERS).map(|_| bench.user(now)).collect()
        };
        for user in &users {
            fill::create(&store, user).await?;
        }
        fill::keep_links(&store, &Arc::new(users), plan.overdue, (before, before)).await?;

        let redis_before = self.redis_used()?;
        let begun = Instant::now();
        let gateway = self.another_gateway(Some(self.authorization.clone()));
        self.gateway = Some(gateway.await?);
        let mut beside = Seen::default();
        let mut turns = 0;
        while is_overdue(&store, now).await? {
            beside.add(completed(self.turn_beside(turns).await?)?);
            turns += 1;
        }
        let took = begun.elapsed();
        let mut used = self.used()?;
        let mut alone = Seen::default();
        for turn in turns..2 * turns {
            alone.add(completed(self.turn_beside(turn).await?)?);
        }
        // What the same flows cost without a sweep is not the sweep's.
        let flows = self.used()? - used;
        used.redis = used.redis.saturating_sub(redis_before);
        Ok(Swept {
            took,
            used: used - flows,
            beside: beside.percentiles(),
            alone: alone.percentiles(),
        })
    }

    async fn turn_beside(&self, turn: usize) -> anyhow::Result<Seen> {
        generator::run(&self.load(BESIDE, turn * TURN, TURN)).await
    }
}

/// What was seen, if every flow was completed.
fn completed(seen: Seen) -> anyhow::Result<Seen> {
    ensure!(seen.failures.is_empty(), "{:?}", seen.failures);
    Ok(seen)
}

async fn is_overdue(store: &Store, now: Timestamp) -> anyhow::Result<bool> {
    Ok(!store.overdue_windows(now, 1).await?.is_empty())
}

/// As a gateway keeps finished windows.
const RETENTION: Retention = Retention {
    finished: Duration::from_secs(30 * 24 * 60 * 60),
    delivered: Duration::from_secs(24 * 60 * 60),
};

/// What the keys of a gateway begin with, unless it is told otherwise.
const PREFIX: &str = "g:";

async fn open_redis(url: &str) -> anyhow::Result<Arc<Store>> {
    let settings = RedisSettings {
        retention: RETENTION,
        accept_volatile: true,
        acknowledged_by: None,
    };
    let (store, _) = RedisStore::open(&url.parse()?, PREFIX, settings).await?;
    Ok(Arc::new(Store::from(store)))
}

fn open_file(path: &Path) -> anyhow::Result<Arc<Store>> {
    Ok(Arc::new(Store::from(SqliteStore::open(path, RETENTION)?)))
}

async fn connection(url: &str) -> anyhow::Result<MultiplexedConnection> {
    // Saving a large store takes longer than the library waits.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(url)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&patient)
        .await?)
}

/// A figure of `INFO`.
async fn info(asked: &mut MultiplexedConnection, name: &str) -> anyhow::Result<u64> {
    let info: String = redis::cmd("INFO").query_async(asked).await?;
    measure::figure(&info, name)
}

async fn used_memory(asked: &mut MultiplexedConnection) -> anyhow::Result<u64> {
    info(asked, "used_memory").await
}

/// How long Redis's file is, how many bytes it has received, and how many sent.
async fn moved(asked: &mut MultiplexedConnection) -> anyhow::Result<[u64; 3]> {
    Ok([
        info(asked, "aof_current_size").await?,
        info(asked, "total_net_input_bytes").await?,
        info(asked, "total_net_output_bytes").await?,
    ])
}

/// A Redis of that size that appends to its file. What is kept is not filled again.
async fn filled_redis(
    keep: Option<&Path>,
    folder: &Path,
    size: Size,
) -> anyhow::Result<((Process, String), Vec<Part>)> {
    let redis = gateway::redis(keep.unwrap_or(folder), false).await?;
    let mut asked = connection(&redis.1).await?;
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut asked).await?;
    let mut parts = Vec::new();
    if keys == 0 {
        let store = open_redis(&redis.1).await?;
        parts = fill::fill(&store, size, async || used_memory(&mut asked.clone()).await).await?;
        if keep.is_some() {
            let _: () = redis::cmd("SAVE").query_async(&mut asked).await?;
        }
    }
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "appendonly", "yes"])
        .query_async(&mut asked)
        .await?;
    while info(&mut asked, "aof_rewrite_in_progress").await? != 0
        || info(&mut asked, "aof_rewrite_scheduled").await? != 0
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok((redis, parts))
}

/// Makes a file of that size in the folder. What is kept is copied and not filled again.
async fn filled_file(keep: Option<&Path>, folder: &Path, size: Size) -> anyhow::Result<Vec<Part>> {
    let name = "guichet.sqlite";
    let (file, kept) = (folder.join(name), keep.map(|keep| keep.join(name)));
    let filled = kept.as_ref().unwrap_or(&file);
    let mut parts = Vec::new();
    if !filled.exists() {
        let store = open_file(filled)?;
        let length = async || Ok(fs::metadata(filled)?.len());
        parts = fill::fill(&store, size, length).await?;
    }
    if let Some(kept) = kept {
        fs::copy(kept, file)?;
    }
    Ok(parts)
}
