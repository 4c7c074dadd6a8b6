//! One server that takes writes, and the connections to it.
//!
//! Nearly everything goes over one connection. What must survive a failover goes over others, because `WAIT`
//! stops everything behind it on its connection until replicas have acknowledged what was written on it before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, ServerErrorKind, Value};
use tokio::time::Instant;

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::failure::{self, Cause};
use super::scripts::{self, Call};
use crate::domain::redis_address::Host;
use crate::store::outcome::Result as Outcome;

/// How many connections share what waits for acknowledgements.
const LANES: usize = 4;

/// How long replicas may take to acknowledge.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(1);

/// How long it is believed how many replicas there are.
const BELIEVED: Duration = Duration::from_secs(1);

/// How long a replica that left may be the one that takes over, before those who decide that say so.
const MAY_HAVE_TAKEN_OVER: Duration = Duration::from_secs(5);

/// One command, and the script to load where the server has forgotten it.
pub(super) struct Asked {
    command: Cmd,
    script: Option<&'static redis::Script>,
}

impl From<Cmd> for Asked {
    fn from(command: Cmd) -> Self {
        Self {
            command,
            script: None,
        }
    }
}

impl From<Call> for Asked {
    fn from(call: Call) -> Self {
        Self {
            command: call.command(),
            script: Some(call.script()),
        }
    }
}

impl Asked {
    /// The first of its keys, as each of our commands has one.
    pub(super) fn key(&self) -> &[u8] {
        // Behind the name of a script is how many keys follow.
        let place = if self.script.is_some() { 3 } else { 1 };
        match self.command.args_iter().nth(place) {
            Some(redis::Arg::Simple(key)) => key,
            _ => &[],
        }
    }
}

/// One server.
pub(super) struct Server {
    endpoint: Endpoint,
    connection: Connection,
    lanes: OnceLock<[Connection; LANES]>,
    turn: AtomicUsize,
    replicas: Mutex<Replicas>,
}

/// What is known of a server's replicas.
#[derive(Clone, Copy, Default)]
struct Replicas {
    /// How many there are, and when that was asked.
    now: Option<(Instant, u64)>,
    /// When there was one last.
    last: Option<Instant>,
}

impl Server {
    /// The server at that place. It is connected to at once, and again whenever that is necessary.
    pub(super) fn at(endpoint: Endpoint) -> Self {
        Self {
            connection: Connection::to(endpoint.clone()),
            endpoint,
            lanes: OnceLock::new(),
            turn: AtomicUsize::new(0),
            replicas: Mutex::default(),
        }
    }

    /// Where it is.
    pub(super) fn host(&self) -> &Host {
        &self.endpoint.host
    }

    /// Another server has taken over: what is under way here fails at once.
    pub(super) fn end(&self) {
        self.connection.end();
        self.lanes
            .get()
            .into_iter()
            .flatten()
            .for_each(Connection::end);
    }

    /// Sends one command while the server is examined.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Outcome<T> {
        let sent = self
            .connection
            .run(|mut connection| async move { command.query_async(&mut connection).await });
        sent.await.map_err(Cause::at_start)
    }

    /// Gives the server every script, so that later calls find it.
    pub(super) async fn load_scripts(&self) -> Outcome<()> {
        for script in scripts::all() {
            let sent = self.connection.run(|mut connection| async move {
                script.load_async(&mut connection).await.map(drop)
            });
            sent.await.map_err(Cause::at_start)?;
        }
        Ok(())
    }

    /// Sends one command: one round trip, but after the server has forgotten its script.
    pub(super) async fn send(&self, asked: &Asked, is_asking: bool) -> Result<Value, Cause> {
        self.run(&self.connection, |connection| {
            one(asked, is_asking, connection)
        })
        .await
    }

    /// Sends commands together. Each has a reply or an error of its own, in order.
    pub(super) async fn send_all(&self, asked: &[&Asked]) -> Result<Vec<Value>, Cause> {
        self.run(&self.connection, |connection| all(asked, connection))
            .await
    }

    /// Sends a command, and succeeds once so many replicas have what it wrote and everything that was written
    /// before. `mark` writes something in any case.
    pub(super) async fn send_acknowledged(
        &self,
        asked: &Asked,
        mark: &Asked,
        wanted: u64,
        is_asking: bool,
    ) -> Result<Value, Cause> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(ACKNOWLEDGED_WITHIN.as_millis() as u64);
        let (asking, wait) = (Asked::from(redis::cmd("ASKING")), Asked::from(wait));
        let together: Vec<&Asked> = match is_asking {
            true => vec![&asking, asked, &asking, mark, &wait],
            false => vec![asked, mark, &wait],
        };
        let sent = self.run(self.lane(), |mut connection| async move {
            let answers = together_on(&together, &mut connection).await?;
            if !answers.iter().any(is_forgotten) {
                return Ok(answers);
            }
            // Nothing may be written behind the question who has it, so all of it is sent again.
            load(asked, &mut connection).await?;
            together_on(&together, &mut connection).await
        });
        let mut answers = sent.await?.into_iter();
        if is_asking {
            answers.next();
        }
        let answer = answers.next().unwrap_or(Value::Nil).extract_error()?;
        // If the mark is not written, nothing is waited for, and that must not count as acknowledged.
        let mut acknowledged = Value::Nil;
        for answer in answers {
            acknowledged = answer.extract_error()?;
        }
        let got = redis::from_redis_value(acknowledged).map_err(redis::RedisError::from)?;
        if got < wanted {
            self.forget_replicas();
            return Err(Cause::Unacknowledged { got, wanted });
        }
        Ok(answer)
    }

    /// Whether the server sends to a replica, or did a moment ago: that one may have taken over, and nobody has said
    /// so yet. Where it does not tell, it has none.
    pub(super) async fn has_replica(&self) -> Result<bool, Cause> {
        let Replicas { now, last } = *self.replicas();
        let is_recent = |last: Instant| last.elapsed() < MAY_HAVE_TAKEN_OVER;
        let count = match now.filter(|(since, _)| since.elapsed() < BELIEVED) {
            Some((_, count)) => count,
            None => self.ask_for_replicas().await?,
        };
        Ok(count > 0 || last.is_some_and(is_recent))
    }

    /// Whoever asks next looks how many there are.
    pub(super) fn forget_replicas(&self) {
        self.replicas().now = None;
    }

    async fn ask_for_replicas(&self) -> Result<u64, Cause> {
        let asked = Instant::now();
        let role = self.run(&self.connection, |mut connection| async move {
            let role = redis::cmd("ROLE")
                .query_async::<Value>(&mut connection)
                .await;
            match role {
                Err(error) if failure::is_no_permission(&error) => Ok(Value::Nil),
                role => role,
            }
        });
        let count = match role.await? {
            Value::Array(parts) => match parts.get(2) {
                Some(Value::Array(replicas)) => replicas.len() as u64,
                _ => 0,
            },
            _ => 0,
        };
        let mut replicas = self.replicas();
        replicas.now = Some((asked, count));
        if count > 0 {
            replicas.last = Some(asked);
        }
        Ok(count)
    }

    fn replicas(&self) -> std::sync::MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step on one of the connections. When that is lost, the others probably are, so that all are made again,
    /// and not one after the other as steps find them dead.
    async fn run<T, F>(
        &self,
        connection: &Connection,
        step: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Cause>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let done = connection.run(step).await;
        if let Err(cause) = &done
            && cause.asks_for_another_connection()
        {
            let lanes = self.lanes.get().into_iter().flatten();
            lanes
                .chain([&self.connection])
                .for_each(|it| it.renew(cause));
        }
        done
    }

    fn lane(&self) -> &Connection {
        let connect = || [(); LANES].map(|()| Connection::to(self.endpoint.clone()));
        let lanes = self.lanes.get_or_init(connect);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &lanes[turn % LANES]
    }
}

/// Sends one command; to a server that is taking over its hash slot, behind a word that we were sent there.
async fn one(
    asked: &Asked,
    is_asking: bool,
    mut connection: MultiplexedConnection,
) -> RedisResult<Value> {
    if is_asking {
        load(asked, &mut connection).await?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").ignore();
        pipeline.add_command(asked.command.clone());
        let [answer]: [Value; 1] = pipeline.query_async(&mut connection).await?;
        return Ok(answer);
    }
    match asked.command.query_async(&mut connection).await {
        Err(error) if failure::is_forgotten(&error) => {
            load(asked, &mut connection).await?;
            asked.command.query_async(&mut connection).await
        }
        answer => answer,
    }
}

async fn load(asked: &Asked, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    match asked.script {
        Some(script) => script.load_async(connection).await.map(drop),
        None => Ok(()),
    }
}

/// Sends commands in one trip, and those once more whose script the server had forgotten.
async fn all(asked: &[&Asked], mut connection: MultiplexedConnection) -> RedisResult<Vec<Value>> {
    let mut answers = together_on(asked, &mut connection).await?;
    for (asked, answer) in asked.iter().zip(&mut answers) {
        if is_forgotten(answer) {
            load(asked, &mut connection).await?;
            *answer = asked.command.query_async(&mut connection).await?;
        }
    }
    Ok(answers)
}

async fn together_on(
    asked: &[&Asked],
    connection: &mut MultiplexedConnection,
) -> RedisResult<Vec<Value>> {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for asked in asked {
        pipeline.add_command(asked.command.clone());
    }
    pipeline.query_async(connection).await
}

fn is_forgotten(answer: &Value) -> bool {
    matches!(
        answer,
        Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript)
    )
}
