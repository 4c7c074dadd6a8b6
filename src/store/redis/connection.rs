//! One connection that comes back by itself.
//!
//! ```text
//!        a step finds the connection dead            the first attempt fails
//!   Up ───────────────────────────────────▶ Trying ──────────────────────────▶ Down
//!    ◀──────────────────────────────────────┘                                   │
//!    ◀──────────────────────────────────────────────────────────────────────────┘
//!                       an attempt succeeds, whatever the ones before failed with
//! ```
//!
//! While *Trying*, steps wait for the outcome, at most [`CONNECT_TIMEOUT`], so that none fails because a server was
//! restarted. While *Down*, one task goes on trying, so that not every caller connects to a server that is away. If
//! the server refused the last attempt, a step starts the next attempt at once and waits for it, so that the first
//! step finds a server that is back. If the server was silent, steps fail at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisConnectionInfo, RedisResult};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::failure::{self, NotInTime};

/// How long a step may take once it is sent.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one attempt to connect may take, from the first packet to the first answer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many commands may wait for the connection before callers do.
const QUEUE: usize = 1024;

/// The pause after the first attempt to connect again that failed; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts, where no step brings one forward.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection younger than this that fails is not replaced at once, so that a server that accepts
/// connections and then closes them gets no more attempts than one that refuses them.
const YOUNG: Duration = Duration::from_secs(1);

/// A connection that is shared by its clones, and comes back.
#[derive(Clone)]
pub(super) struct Connection(Arc<Shared>);

struct Shared {
    address: Address,
    state: watch::Sender<State>,
    /// Ends a pause between two attempts.
    wake: Notify,
}

#[derive(Clone)]
enum State {
    Up(Line),
    Trying,
    Down(Arc<failure::Cause>),
}

/// One connection of those that followed each other.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    number: u64,
    since: Instant,
    /// Cancelled when nobody may wait for its answers any more.
    cut: CancellationToken,
}

/// Where the server is, and what is said to it first. We say it ourselves: the library keeps from
/// us what the server answers to a password.
struct Address {
    client: Client,
    login: RedisConnectionInfo,
}

impl Connection {
    /// Connects to `url`; one attempt.
    pub(super) async fn open(url: &str) -> Result<Self, failure::Cause> {
        let address = Address::of(url)?;
        let line = Line::new(address.connect().await?, 0);
        let state = watch::Sender::new(State::Up(line));
        let wake = Notify::new();
        Ok(Self(Arc::new(Shared {
            address,
            state,
            wake,
        })))
    }

    /// Runs `step` on the connection, within [`STEP_TIMEOUT`].
    ///
    /// A step that was under way when the connection broke fails and is not sent again: whether it
    /// happened is unknown here.
    pub(super) async fn run<T, F>(
        &self,
        step: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, failure::Cause>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let line = self.line().await?;
        let answer = tokio::select! {
            answer = timeout(STEP_TIMEOUT, step(line.connection.clone())) => answer,
            () = line.cut.cancelled() => return Err(NotInTime(STEP_TIMEOUT).into()),
        };
        let cause = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => failure::Cause::from(error),
            Err(_) => {
                // Those who sent theirs later would be no luckier.
                line.cut.cancel();
                NotInTime(STEP_TIMEOUT).into()
            }
        };
        if cause.asks_for_another_connection() {
            self.replace(&line, &cause);
        }
        Err(cause)
    }

    async fn line(&self) -> Result<Line, failure::Cause> {
        // Nearly always.
        if let State::Up(line) = &*self.0.state.borrow() {
            return Ok(line.clone());
        }
        let mut states = self.0.state.subscribe();
        let is_refused = match &*states.borrow_and_update() {
            State::Up(line) => return Ok(line.clone()),
            State::Down(cause) if cause.is_silence() => {
                return Err(failure::Cause::Still(cause.clone()));
            }
            State::Down(_) => true,
            State::Trying => false,
        };
        if is_refused {
            self.0.wake.notify_one();
        }
        let outcome = timeout(FIRST_PAUSE + CONNECT_TIMEOUT, states.changed());
        // The sender lives as long as `self`.
        if !matches!(outcome.await, Ok(Ok(()))) {
            return Err(NotInTime(CONNECT_TIMEOUT).into());
        }
        match &*states.borrow() {
            State::Up(line) => Ok(line.clone()),
            State::Down(cause) => Err(failure::Cause::Still(cause.clone())),
            State::Trying => Err(NotInTime(CONNECT_TIMEOUT).into()),
        }
    }

    /// Begins to look for another connection than `line`, unless somebody has already.
    fn replace(&self, line: &Line, cause: &failure::Cause) {
        let is_young = line.since.elapsed() < YOUNG;
        let is_first = self.0.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Up(current) if current.number == line.number);
            if is_it {
                *state = if is_young {
                    State::Down(Arc::new(cause.clone()))
                } else {
                    State::Trying
                };
            }
            is_it
        });
        if is_first {
            tracing::warn!(%cause, "the connection to the store is lost; connecting again");
            let pause = if is_young { YOUNG } else { Duration::ZERO };
            let shared = Arc::downgrade(&self.0);
            tokio::spawn(connect_again(shared, line.number + 1, pause));
        }
    }
}

/// Tries until it succeeds, or nobody holds the connection any more.
async fn connect_again(shared: Weak<Shared>, number: u64, mut pause: Duration) {
    let lost = Instant::now();
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        sleep(pause.min(FIRST_PAUSE)).await;
        tokio::select! {
            () = sleep(pause.saturating_sub(FIRST_PAUSE)) => {}
            () = shared.wake.notified() => {}
        }
        match shared.address.connect().await {
            Ok(connection) => {
                let line = Line::new(connection, number);
                shared.state.send_replace(State::Up(line));
                let after_ms = u64::try_from(lost.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(after_ms, "connected to the store again");
                return;
            }
            Err(cause) => {
                if !matches!(*shared.state.borrow(), State::Down(_)) {
                    tracing::warn!(%cause, "the store refuses a connection; trying again");
                }
                shared.state.send_replace(State::Down(Arc::new(cause)));
            }
        }
        pause = (2 * pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

impl Line {
    fn new(connection: MultiplexedConnection, number: u64) -> Self {
        Self {
            connection,
            number,
            since: Instant::now(),
            cut: CancellationToken::new(),
        }
    }
}

impl Address {
    fn of(url: &str) -> Result<Self, failure::Cause> {
        let info = url.into_connection_info()?;
        let login = info.redis_settings().clone();
        let client = Client::open(info.set_redis_settings(RedisConnectionInfo::default()))?;
        Ok(Self { client, login })
    }

    /// Connects, signs in, chooses the database, and waits for an answer: what takes connections
    /// and answers nothing is no server.
    async fn connect(&self) -> Result<MultiplexedConnection, failure::Cause> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let connecting = async {
            let client = &self.client;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let login = &self.login;
            if let Some(password) = login.password() {
                let mut auth = redis::cmd("AUTH");
                auth.arg(login.username()).arg(password);
                auth.exec_async(&mut connection).await?;
            }
            if login.db() != 0 {
                let mut select = redis::cmd("SELECT");
                select.arg(login.db()).exec_async(&mut connection).await?;
            }
            match redis::cmd("PING").exec_async(&mut connection).await {
                // A user that may do no more than it has to is answered all the same.
                Err(error) if failure::is_no_permission(&error) => Ok(connection),
                answer => answer.map(|()| connection),
            }
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(NotInTime(CONNECT_TIMEOUT).into()),
        }
    }
}
