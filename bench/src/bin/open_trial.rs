//! The trial before the steps move out of Lua: opening a link on Redis as *load, decide, apply*, beside
//! today's script that decides inside of Redis.
//!
//! ```text
//! redis-server --port 6399 --save "" --appendonly no &
//! cargo run --release --package guichet-bench --bin open_trial -- redis://127.0.0.1:6399/ PID [20000]
//! ```
//!
//! `PID` is the server's process. Both ways open the same number of fresh links, 32 at once on one connection,
//! in turn, and print what one opening cost: CPU of this process, CPU of the server, commands and round
//! trips. The server must be empty, and is emptied in between.
//!
//! In the trial a member is one *unit*: a hash with a version and one JSON value each for the member and for
//! its unfinished window with its attempts. `load` is one HGETALL; the law is a function in Rust; `apply` is
//! one script that compares the version and runs the commands it is given. It knows keys, versions and
//! bytes, and is the same for every step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use guichet::domain::id::{AttemptId, MemberGuid};
use guichet::domain::secret::{AuthorizationState, BindingSecret};
use guichet::domain::window::{Binding, NewAttempt};
use guichet::store::redis::{RedisSettings, RedisStore};
use guichet::store::{Knock, Opened, Opening, Retention, Store};
use guichet_bench::links::{Chance, Link};
use guichet_bench::measure;
use jiff::{SignedDuration, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{Script, ScriptInvocation};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

/// How many openings are under way at once.
const TASKS: usize = 32;
/// How often each way is measured.
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("which server?")?;
    let server: u32 = arguments.next().context("which process?")?.parse()?;
    let count: usize = arguments.next().map_or(Ok(20_000), |it| it.parse())?;
    let client = redis::Client::open(url.as_str())?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let size: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await?;
    ensure!(size == 0, "the server must be empty");

    let settings = RedisSettings {
        retention: Retention {
            finished: Duration::from_secs(30 * 24 * 60 * 60),
        },
        accept_volatile: true,
    };
    let (store, _) = RedisStore::open(&url, "guichet", settings).await?;
    let store = Arc::new(Store::from(store));
    println!(
        "| way | gateway CPU, µs | Redis CPU, µs | commands | conflicts |\n|---|---|---|---|---|"
    );
    for _ in 0..ROUNDS {
        let links = links(count);
        for link in &links {
            link.keep(&store).await?;
        }
        let before = Cost::so_far(server, &mut redis).await?;
        in_tasks(links, |link| {
            let store = Arc::clone(&store);
            async move {
                let opened = store.open_window(&opening(&link), link.now).await?;
                ensure!(matches!(opened, Opened::Claimed(_)), "{opened:?}");
                Ok(())
            }
        })
        .await?;
        let after = Cost::so_far(server, &mut redis).await?;
        println!("| script | {} | 0 |", after.since(&before, count));
        redis::cmd("FLUSHDB").query_async::<()>(&mut redis).await?;

        let trial = Arc::new(Trial::new(redis.clone()));
        let links = self::links(count);
        for link in &links {
            trial.create(link).await?;
        }
        let before = Cost::so_far(server, &mut redis).await?;
        in_tasks(links, |link| {
            let trial = Arc::clone(&trial);
            async move {
                let outcome = trial.open(&opening(&link), link.now).await?;
                ensure!(matches!(outcome, Outcome::Claimed(_)), "not claimed");
                Ok(())
            }
        })
        .await?;
        let after = Cost::so_far(server, &mut redis).await?;
        let conflicts = trial.conflicts.load(Ordering::Relaxed);
        println!(
            "| load, decide, apply | {} | {conflicts} |",
            after.since(&before, count)
        );
        redis::cmd("FLUSHDB").query_async::<()>(&mut redis).await?;
    }
    Ok(())
}

/// Opens the links, [`TASKS`] at once.
async fn in_tasks<F>(links: Vec<Link>, open: impl Fn(Link) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for link in links {
        if running.len() == TASKS {
            running.join_next().await.context("a task")???;
        }
        running.spawn(open(link));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

fn links(count: usize) -> Vec<Link> {
    let now = Timestamp::from_millisecond(1_767_225_600_000).expect("a time");
    (0..count).map(|_| Link::new(now)).collect()
}

/// A browser that follows it.
fn opening(link: &Link) -> Opening {
    let state = AuthorizationState::new(&Chance, link.member.partition());
    let id = AttemptId::of(&state);
    let binding = Binding {
        attempt: id.clone(),
        digest: BindingSecret::new(&Chance).digest(),
    };
    Opening {
        window: link.window,
        member: link.member,
        knock: Knock::Navigate,
        browser: Vec::new(),
        attempt: NewAttempt {
            id,
            binding,
            sealed: vec![7; 200],
            deadline: link.now + SignedDuration::from_mins(15),
        },
    }
}

/// The member, as one self-describing value.
#[derive(Serialize, Deserialize)]
struct MemberRecord {
    user: String,
    client: String,
    institution: String,
    institution_guid: String,
    name: String,
    is_oauth: bool,
    skip_aggregation: bool,
    status: String,
    revision: u64,
    created_at: i64,
}

/// Its unfinished window, with the attempts at it.
#[derive(Serialize, Deserialize)]
struct WindowRecord {
    guid: String,
    status: String,
    open_policy: String,
    referral_source: String,
    authorization_minutes: i64,
    created_at: i64,
    deadline: i64,
    leg_ends: Option<i64>,
    opened_at: Option<i64>,
    opens: u32,
    attempts: Vec<AttemptRecord>,
}

#[derive(Serialize, Deserialize)]
struct AttemptRecord {
    id: String,
    binding: String,
    #[serde(with = "base64_text")]
    sealed: Vec<u8>,
    is_replaced: bool,
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = <&str>::deserialize(from)?;
        STANDARD_NO_PAD
            .decode(text)
            .map_err(serde::de::Error::custom)
    }
}

/// What was loaded.
struct Unit {
    version: u64,
    member: MemberRecord,
    window: WindowRecord,
}

/// What an opening led to, as the store's [`Opened`].
enum Outcome {
    Unknown,
    Claimed(Box<Unit>),
    AskFirst,
    Resumable,
    Taken,
    Over,
}

/// The law of opening: what was loaded and what is asked give the outcome; `Claimed` is to be applied.
fn decide(mut unit: Unit, opening: &Opening, now: i64) -> Outcome {
    let window = &mut unit.window;
    if window.guid != opening.window.compact() {
        return Outcome::Unknown;
    }
    if now >= window.deadline {
        return Outcome::Over;
    }
    if window
        .attempts
        .iter()
        .any(|it| it.id == opening.attempt.id.as_str())
    {
        return Outcome::Claimed(Box::new(unit));
    }
    let is_own = window.attempts.last().is_some_and(|newest| {
        let shown = |it: &Binding| it.digest.to_text() == newest.binding;
        opening.browser.iter().any(shown)
    });
    let is_new = window.status == "issued";
    let claims = match opening.knock {
        Knock::Continue => is_own && !is_new,
        Knock::Look => false,
        Knock::Navigate if is_new && window.open_policy == "interstitial" => {
            return Outcome::AskFirst;
        }
        _ => is_new || (window.open_policy == "multi" && window.opens < 5),
    };
    if !claims {
        return match is_own {
            true => Outcome::Resumable,
            false => Outcome::Taken,
        };
    }
    let deadline = now + window.authorization_minutes * 60_000;
    window.leg_ends.get_or_insert(deadline);
    window.deadline = deadline;
    window.opens += 1;
    window.status = "opened".to_owned();
    window.opened_at = Some(now);
    for replaced in &mut window.attempts {
        replaced.is_replaced = true;
        replaced.sealed.clear();
    }
    window.attempts.push(AttemptRecord {
        id: opening.attempt.id.as_str().to_owned(),
        binding: opening.attempt.binding.digest.to_text(),
        sealed: opening.attempt.sealed.clone(),
        is_replaced: false,
    });
    unit.version += 1;
    Outcome::Claimed(Box::new(unit))
}

/// The other way.
struct Trial {
    redis: MultiplexedConnection,
    apply: Script,
    conflicts: AtomicUsize,
}

/// Compares versions, then runs the commands it is given, all or nothing.
const APPLY: &str = r"
local at = 0
local function arg()
  at = at + 1
  return ARGV[at]
end
for i = 1, tonumber(arg()) do
  if (redis.call('HGET', KEYS[i], 'v') or '') ~= arg() then
    return 0
  end
end
for _ = 1, tonumber(arg()) do
  local command = {}
  for i = 1, tonumber(arg()) do
    command[i] = arg()
  end
  redis.call(unpack(command))
end
return 1
";

impl Trial {
    fn new(redis: MultiplexedConnection) -> Self {
        Self {
            redis,
            apply: Script::new(APPLY),
            conflicts: AtomicUsize::new(0),
        }
    }

    fn key(member: MemberGuid, kind: &str, name: &str) -> String {
        format!("guichet2{{{}}}{kind}{name}", member.partition())
    }

    async fn create(&self, link: &Link) -> anyhow::Result<()> {
        let now = link.now.as_millisecond();
        let member = MemberRecord {
            user: link.user.compact(),
            client: "demo".to_owned(),
            institution: "mx_bank_oauth".to_owned(),
            institution_guid: "INS-68e96dd6-eabd-42d3-9f05-416897f0746c".to_owned(),
            name: "MX Bank (OAuth)".to_owned(),
            is_oauth: true,
            skip_aggregation: false,
            status: "PENDING".to_owned(),
            revision: 1,
            created_at: now,
        };
        let window = WindowRecord {
            guid: link.window.compact(),
            status: "issued".to_owned(),
            open_policy: "single".to_owned(),
            referral_source: "BROWSER".to_owned(),
            authorization_minutes: 15,
            created_at: now,
            deadline: now + 600_000,
            leg_ends: None,
            opened_at: None,
            opens: 0,
            attempts: Vec::new(),
        };
        let key = Self::key(link.member, "u", &link.member.compact());
        let mut command = redis::cmd("HSET");
        command.arg(key).arg("v").arg(1);
        command.arg("m").arg(serde_json::to_vec(&member)?);
        command.arg("w").arg(serde_json::to_vec(&window)?);
        Ok(command.query_async(&mut self.redis.clone()).await?)
    }

    async fn load(&self, member: MemberGuid) -> anyhow::Result<Option<Unit>> {
        let mut command = redis::cmd("HMGET");
        command.arg(Self::key(member, "u", &member.compact()));
        command.arg("v").arg("m").arg("w");
        let loaded = command.query_async(&mut self.redis.clone()).await?;
        let (Some(version), Some(member), Some(window)): (_, Option<Vec<u8>>, Option<Vec<u8>>) =
            loaded
        else {
            return Ok(None);
        };
        Ok(Some(Unit {
            version,
            member: serde_json::from_slice(&member)?,
            window: serde_json::from_slice(&window)?,
        }))
    }

    async fn open(&self, opening: &Opening, now: Timestamp) -> anyhow::Result<Outcome> {
        for _ in 0..5 {
            let Some(unit) = self.load(opening.member).await? else {
                return Ok(Outcome::Unknown);
            };
            let loaded = unit.version;
            let unit = match decide(unit, opening, now.as_millisecond()) {
                Outcome::Claimed(unit) if unit.version != loaded => unit,
                outcome => return Ok(outcome),
            };
            if self.keep(opening, &unit, loaded).await? {
                return Ok(Outcome::Claimed(unit));
            }
            self.conflicts.fetch_add(1, Ordering::Relaxed);
        }
        anyhow::bail!("five conflicts")
    }

    async fn keep(&self, opening: &Opening, unit: &Unit, loaded: u64) -> anyhow::Result<bool> {
        let member = opening.member;
        let key = Self::key(member, "u", &member.compact());
        let pointer = Self::key(member, "a", opening.attempt.id.as_str());
        let due = Self::key(member, "d", "w");
        let mut call: ScriptInvocation<'_> = self.apply.prepare_invoke();
        call.key(&key).key(&pointer).key(&due);
        call.arg(1).arg(loaded).arg(3);
        call.arg(6).arg("HSET").arg(&key).arg("v").arg(unit.version);
        call.arg("w").arg(serde_json::to_vec(&unit.window)?);
        call.arg(5).arg("SET").arg(&pointer).arg(member.compact());
        call.arg("PX").arg(90_000_000);
        call.arg(4)
            .arg("ZADD")
            .arg(&due)
            .arg(unit.window.deadline)
            .arg(&unit.window.guid);
        ensure!(!unit.member.user.is_empty(), "a member has a user");
        Ok(call.invoke_async(&mut self.redis.clone()).await?)
    }
}

/// What was used so far.
struct Cost {
    gateway: Duration,
    redis: Duration,
    commands: u64,
}

impl Cost {
    async fn so_far(server: u32, redis: &mut MultiplexedConnection) -> anyhow::Result<Self> {
        let info: String = redis::cmd("INFO").arg("stats").query_async(redis).await?;
        let commands = info
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(Self {
            gateway: measure::cpu(std::process::id())?,
            redis: measure::cpu(server)?,
            commands: commands.context("INFO")?.trim().parse()?,
        })
    }

    fn since(&self, before: &Self, count: usize) -> String {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        format!(
            "{:.1} | {:.1} | {:.1}",
            micros(self.gateway - before.gateway),
            micros(self.redis - before.redis),
            (self.commands - before.commands) as f64 / count as f64
        )
    }
}
