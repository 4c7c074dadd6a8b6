//! A store of any size, filled by Guichet's own steps, many side by side: users, members that went through a whole
//! flow, and members whose link waits to be followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use guichet::domain::user::User;
use guichet::store::{Store, UserCreation};
use guichet_bench::links::Registration;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::gateway;

/// How many steps are under way at once.
const TASKS: usize = 64;

/// How much there is to be.
#[derive(Clone, Copy)]
pub struct Size {
    /// Users `u0`, `u1`, …, each with an email address.
    pub users: usize,
    /// Connected members, spread over the users.
    pub members: usize,
    /// Pending links, each of a member of its own, spread over the users.
    pub links: usize,
}

/// The user beside them whose list of members is long.
pub const MANY: &str = "many";

/// How many members that one has.
pub const MEMBERS_OF_MANY: usize = 900;

/// What one part of a filling cost.
pub struct Part {
    /// Of what.
    pub name: &'static str,
    /// How many.
    pub count: usize,
    /// How much the store grew.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// The email address of a user.
pub fn email(user: usize) -> String {
    format!("u{user}@example.com")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gateways that are measured use the real clock too"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Fills an empty store; `bytes` says how large it is.
pub async fn fill(
    store: &Arc<Store>,
    size: Size,
    mut bytes: impl AsyncFnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<Vec<Part>> {
    let bench = Arc::new(gateway::registration()?);
    let now = now();
    let mut many = bench.user(now);
    many.id = Some(MANY.to_owned());
    create(store, &many).await?;
    for _ in 0..MEMBERS_OF_MANY {
        keep_member(store, &bench, &many, now).await?;
    }

    let users: Arc<Vec<User>> = Arc::new(
        (0..size.users)
            .map(|number| User {
                id: Some(format!("u{number}")),
                email: Some(email(number)),
                ..bench.user(now)
            })
            .collect(),
    );
    let mut parts = Vec::new();
    let mut grown = bytes().await?;
    let mut done = async |name, count, took| {
        let before = std::mem::replace(&mut grown, bytes().await?);
        parts.push(Part {
            name,
            count,
            bytes: grown.saturating_sub(before),
            took,
        });
        anyhow::Ok(())
    };
    let took = side_by_side(size.users, |number| {
        let (store, users) = (store.clone(), users.clone());
        async move { create(&store, &users[number]).await }
    });
    done("users", size.users, took.await?).await?;
    let took = side_by_side(size.members, |number| {
        let (store, users, bench) = (store.clone(), users.clone(), bench.clone());
        async move { keep_member(&store, &bench, &users[number % users.len()], now).await }
    });
    done("connected members", size.members, took.await?).await?;
    let deadline = now + SignedDuration::from_hours(30 * 24);
    let took = keep_links(store, &users, size.links, (now, deadline));
    done("pending links", size.links, took.await?).await?;
    Ok(parts)
}

/// Keeps members with a link that may be opened until then.
pub async fn keep_links(
    store: &Arc<Store>,
    users: &Arc<Vec<User>>,
    links: usize,
    times: (Timestamp, Timestamp),
) -> anyhow::Result<Duration> {
    let bench = Arc::new(gateway::registration()?);
    side_by_side(links, |number| {
        let (store, users, bench) = (store.clone(), users.clone(), bench.clone());
        async move {
            let user = &users[number % users.len()];
            bench.keep_link(&store, user, times).await.map(drop)
        }
    })
    .await
}

/// Keeps a user.
pub async fn create(store: &Store, user: &User) -> anyhow::Result<()> {
    let created = store.create_user(user).await?;
    ensure!(created == UserCreation::Created, "{created:?}");
    Ok(())
}

/// Keeps a member that is connected.
async fn keep_member(
    store: &Store,
    bench: &Registration,
    user: &User,
    now: Timestamp,
) -> anyhow::Result<()> {
    let deadline = now + SignedDuration::from_mins(10);
    let link = bench.keep_link(store, user, (now, deadline)).await?;
    bench.connect(store, &link, now).await
}

/// Does it for each number below `count`, [`TASKS`] of them at once.
async fn side_by_side<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> F,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0..count {
        if under_way.len() == TASKS
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        under_way.spawn(work(number));
        if number % 100_000 == 99_999 {
            eprintln!("  {} of {count} after {:.0?}", number + 1, begun.elapsed());
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}
