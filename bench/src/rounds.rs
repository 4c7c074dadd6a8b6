//! The measurements, in turn.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use guichet_bench::measure::{self, RedisWork};

use super::gateway::{self, Gateway, Process, Wanted};
use super::generator::{self, LEGS, Load};
use super::table;

/// What is to be measured.
pub struct Plan {
    pub gateway: PathBuf,
    pub rounds: usize,
    pub flows: usize,
    pub users: usize,
    pub only: String,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub name: &'static str,
    pub store: Store,
    /// Whether a sink takes every kind of event and every job.
    pub is_all_on: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// No gateway of ours: the floor, on Redis.
    Floor,
    Sqlite,
    Redis,
}

pub const ROWS: [Row; 5] = [
    Row {
        name: "floor",
        store: Store::Floor,
        is_all_on: false,
    },
    Row {
        name: "sqlite",
        store: Store::Sqlite,
        is_all_on: false,
    },
    Row {
        name: "redis",
        store: Store::Redis,
        is_all_on: false,
    },
    Row {
        name: "sqlite, all on",
        store: Store::Sqlite,
        is_all_on: true,
    },
    Row {
        name: "redis, all on",
        store: Store::Redis,
        is_all_on: true,
    },
];

/// One measurement of one row.
pub struct Measured {
    pub cpu: Duration,
    /// If it has a Redis.
    pub redis: Option<RedisCost>,
    pub flows_per_second: f64,
    /// p50, p95 and p99 of each leg.
    pub legs: [[Duration; 3]; LEGS.len()],
    pub idle: u64,
    pub loaded: u64,
    pub start: Duration,
}

/// What one flow costs its Redis.
#[derive(Clone, Copy)]
pub struct RedisCost {
    pub cpu: Duration,
    /// Commands, those inside of scripts too.
    pub commands: f64,
    /// Round trips.
    pub trips: f64,
}

/// Flows of one person alone, from which commands and round trips are counted: where several are under
/// way, what they ask for travels together.
const ALONE: usize = 200;

/// How many users the members are spread over.
pub const SPREAD: usize = 1000;

/// Measures everything and prints the tables.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let rows: Vec<Row> = ROWS
        .into_iter()
        .filter(|row| row.name.contains(&plan.only))
        .collect();
    ensure!(!rows.is_empty(), "no row is called {:?}", plan.only);
    let mut plain: Vec<Vec<Measured>> = rows.iter().map(|_| Vec::new()).collect();
    let mut slow: Vec<Vec<Measured>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 1..=plan.rounds {
        for (at, row) in rows.iter().enumerate() {
            eprintln!("round {round} of {}: {}", plan.rounds, row.name);
            plain[at].push(measure(plan, *row, plan.users, 0).await.context(row.name)?);
            if !row.is_all_on {
                slow[at].push(measure(plan, *row, 256, 200).await.context(row.name)?);
            }
        }
    }
    println!("{}", table::costs(&rows, &plain, plan));
    println!("{}", table::times(&rows, &plain, plan));
    println!("{}", table::slow_bank(&rows, &slow));
    Ok(())
}

/// Flows of `people` at once through a fresh gateway, with a token endpoint that takes `delay` ms.
async fn measure(plan: &Plan, row: Row, people: usize, delay: u64) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir_in("target")?;
    let (_bank_process, bank) = Process::helper(&["authorization-server", &delay.to_string()])?;
    let sink = match row.is_all_on {
        true => Some(Process::helper(&["sink"])?),
        false => None,
    };
    let redis = match row.store {
        Store::Sqlite => None,
        Store::Floor | Store::Redis => Some(gateway::redis(folder.path(), true).await?),
    };
    let gateway = match (&redis, row.store) {
        (Some((_, address)), Store::Floor) => {
            let begun = std::time::Instant::now();
            let (process, address) = Process::helper(&["floor", address, &bank.to_string()])?;
            Gateway {
                process,
                address,
                authorization: "none".to_owned(),
                start: begun.elapsed(),
            }
        }
        _ => {
            let store = redis.as_ref().map(|(_, address)| address.as_str());
            let wanted = Wanted {
                program: &plan
                    .gateway
                    .canonicalize()
                    .context("build the gateway first")?,
                folder: folder.path(),
                store: store.unwrap_or("sqlite:guichet.sqlite"),
                bank,
                authorization: None,
                sink: sink.as_ref().map(|(_, address)| *address),
            };
            let gateway = Gateway::start(&wanted).await?;
            gateway.create_users(SPREAD).await?;
            gateway
        }
    };
    let mut asked = match &redis {
        Some((_, address)) => Some(
            redis::Client::open(address.as_str())?
                .get_multiplexed_async_connection()
                .await?,
        ),
        None => None,
    };
    let process = gateway.process.id();
    let idle = measure::resident(process)?;
    let load = Load {
        gateways: vec![gateway.address],
        bank,
        authorization: gateway.authorization.clone(),
        spread: SPREAD,
        people,
        first: 0,
        flows: plan.flows,
    };
    let warm = Load {
        flows: plan.flows / 10,
        people: people.min(16),
        ..load.clone()
    };
    generator::run(&warm).await?;
    let alone = Load {
        flows: ALONE,
        people: 1,
        ..load.clone()
    };
    let counted = match &mut asked {
        Some(asked) => {
            let before = RedisWork::so_far(asked).await?;
            let seen = generator::run(&alone).await?;
            let after = RedisWork::so_far(asked).await?;
            Some(after.since(before, seen.completed))
        }
        None => None,
    };

    let used = || {
        let redis = redis.as_ref().map(|(server, _)| measure::cpu(server.id()));
        anyhow::Ok((
            measure::cpu(process)?,
            redis.transpose()?.unwrap_or_default(),
        ))
    };
    let before = used()?;
    let mut seen = generator::run(&load).await?;
    if row.is_all_on {
        settle(process).await?;
    }
    let after = used()?;
    let loaded = measure::resident(process)?;
    ensure!(
        seen.failures.is_empty(),
        "flows failed: {:?}",
        seen.failures
    );

    let flows = u32::try_from(seen.completed)?;
    let redis = counted.map(|(commands, trips)| RedisCost {
        cpu: (after.1 - before.1) / flows,
        commands,
        trips,
    });
    Ok(Measured {
        cpu: (after.0 - before.0) / flows,
        redis,
        flows_per_second: f64::from(flows) / seen.took.as_secs_f64(),
        legs: seen.percentiles(),
        idle,
        loaded,
        start: gateway.start,
    })
}

/// Waits until the gateway has told everybody everything: until it uses no CPU to speak of.
async fn settle(process: u32) -> anyhow::Result<()> {
    let mut used = measure::cpu(process)?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = measure::cpu(process)?;
        if now - used <= Duration::from_millis(10) {
            return Ok(());
        }
        used = now;
    }
    anyhow::bail!("the gateway is still delivering after 30 s")
}
