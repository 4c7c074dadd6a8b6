//! How many bytes of a Redis server's memory one pending link costs.
//!
//! ```text
//! redis-server --port 6399 --save "" --appendonly no &
//! cargo run --package guichet-bench --bin bytes_per_link -- redis://127.0.0.1:6399/ 100000
//! ```
//!
//! Members are created first, each with its first link. Then every member gets a second link, and the
//! growth of `used_memory` is divided by their number. A second link supersedes the first one,
//! which stays readable as a finished OAuth state, so what is measured is a window, its indexes, and
//! what finishing the earlier one adds.
//!
//! The server must be empty, and is emptied at the end.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use guichet::domain::id::{MemberGuid, UserGuid};
use guichet::store::redis::{RedisSettings, RedisStore};
use guichet::store::{Retention, Store};
use guichet_bench::links::{Registration, new_window};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use url::Url;

/// How many steps are under way at once.
const TASKS: usize = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .context("which server? such as redis://127.0.0.1:6399/")?;
    let mints: usize = match arguments.next() {
        Some(number) => number.parse().context("how many mints?")?,
        None => 100_000,
    };
    let server = Server::connect(&url)?;
    ensure!(
        server.line("DBSIZE", ":")? == "0",
        "the server must be empty"
    );

    let settings = RedisSettings {
        retention: Retention {
            finished: Duration::from_secs(30 * 24 * 60 * 60),
            delivered: Duration::from_secs(24 * 60 * 60),
        },
        accept_volatile: true,
        acknowledged_by: None,
    };
    let (store, _) = RedisStore::open(&url.parse()?, "guichet", settings).await?;
    let store = Arc::new(Store::from(store));
    let now = Timestamp::from_millisecond(1_767_225_600_000)?;

    let share = mints.div_ceil(TASKS);
    let mut creating = JoinSet::new();
    for _ in 0..TASKS {
        creating.spawn(create(Arc::clone(&store), share, now));
    }
    let mut members = Vec::with_capacity(TASKS);
    while let Some(created) = creating.join_next().await {
        members.push(created??);
    }

    let before = server.used_memory()?;
    let mut minting = JoinSet::new();
    for share in members {
        minting.spawn(mint(Arc::clone(&store), share, now));
    }
    while let Some(minted) = minting.join_next().await {
        minted??;
    }
    let grown = server.used_memory()?.saturating_sub(before);
    server.line("FLUSHDB", "+")?;

    let minted = (share * TASKS) as u64;
    println!(
        "{} bytes per pending link, over {minted} mints",
        grown / minted
    );
    Ok(())
}

/// Keeps members with a first link each.
async fn create(
    store: Arc<Store>,
    count: usize,
    now: Timestamp,
) -> anyhow::Result<Vec<(UserGuid, MemberGuid)>> {
    let mut members = Vec::with_capacity(count);
    let demo = Registration {
        client: "demo".parse()?,
        institution: "mx_bank_oauth".parse()?,
        institution_guid: "INS-68e96dd6-eabd-42d3-9f05-416897f0746c".parse()?,
        name: "MX Bank (OAuth)".to_owned(),
    };
    for _ in 0..count {
        let user = demo.user(now);
        store.create_user(&user).await?;
        let deadline = now + SignedDuration::from_mins(10);
        let link = demo.keep_link(&store, &user, (now, deadline)).await?;
        members.push((link.user, link.member));
    }
    Ok(members)
}

/// Mints each member's second link.
async fn mint(
    store: Arc<Store>,
    members: Vec<(UserGuid, MemberGuid)>,
    now: Timestamp,
) -> anyhow::Result<()> {
    for (user, member) in members {
        let window = new_window(member, now);
        let minted = store.mint_window(user, member, &window, &[], now).await?;
        ensure!(minted.is_some(), "a member is missing");
    }
    Ok(())
}

/// The server, asked in its inline protocol.
struct Server(String);

impl Server {
    fn connect(url: &str) -> anyhow::Result<Self> {
        let url = Url::parse(url)?;
        ensure!(url.scheme() == "redis", "a redis:// address is needed");
        let host = url.host_str().context("the address has no host")?;
        Ok(Self(format!("{host}:{}", url.port().unwrap_or(6379))))
    }

    /// What follows `start` on the first line of the reply that begins with it.
    fn line(&self, command: &str, start: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.0)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
        for line in BufReader::new(stream).lines() {
            if let Some(rest) = line?.strip_prefix(start) {
                return Ok(rest.to_owned());
            }
        }
        anyhow::bail!("{command} got no reply that begins with {start:?}")
    }

    fn used_memory(&self) -> anyhow::Result<u64> {
        Ok(self.line("INFO memory", "used_memory:")?.parse()?)
    }
}
