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
//!
//! A connection is always to the same server. It ends for good when another server has taken over.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::endpoint::{CONNECT_TIMEOUT, Endpoint};
use super::failure::{Cause, NotInTime};

/// How long a step may take once it is sent.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(3);

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
    endpoint: Endpoint,
    state: watch::Sender<State>,
    /// Ends a pause between two attempts.
    wake: Notify,
}

#[derive(Clone)]
enum State {
    Up(Line),
    Trying,
    Down(Arc<Cause>),
    Ended,
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

impl Connection {
    /// A connection to that server. The first attempt begins at once.
    pub(super) fn to(endpoint: Endpoint) -> Self {
        let state = watch::Sender::new(State::Trying);
        let wake = Notify::new();
        let shared = Arc::new(Shared {
            endpoint,
            state,
            wake,
        });
        tokio::spawn(connect_again(Arc::downgrade(&shared), 0, Duration::ZERO));
        Self(shared)
    }

    /// Ends it for good: steps under way fail at once, so that they are sent elsewhere.
    pub(super) fn end(&self) {
        let last = self.0.state.send_replace(State::Ended);
        if let State::Up(line) = last {
            line.cut.cancel();
        }
        self.0.wake.notify_one();
    }

    /// Runs `step` on the connection, within [`STEP_TIMEOUT`].
    ///
    /// A step that was under way when the connection broke fails and is not sent again: whether it
    /// happened is unknown here.
    pub(super) async fn run<T, F>(
        &self,
        step: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Cause>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let line = self.line().await?;
        let answer = tokio::select! {
            answer = timeout(STEP_TIMEOUT, step(line.connection.clone())) => answer,
            () = line.cut.cancelled() => return Err(self.cut()),
        };
        let cause = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Cause::from(error),
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

    async fn line(&self) -> Result<Line, Cause> {
        // Nearly always.
        if let State::Up(line) = &*self.0.state.borrow() {
            return Ok(line.clone());
        }
        let mut states = self.0.state.subscribe();
        let is_refused = match &*states.borrow_and_update() {
            State::Up(line) => return Ok(line.clone()),
            State::Down(cause) if cause.is_silence() => {
                return Err(Cause::Still(cause.clone()));
            }
            State::Ended => return Err(Cause::Ended),
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
            State::Down(cause) => Err(Cause::Still(cause.clone())),
            State::Ended => Err(Cause::Ended),
            State::Trying => Err(NotInTime(CONNECT_TIMEOUT).into()),
        }
    }

    /// Why a step that was under way was cut off.
    fn cut(&self) -> Cause {
        match *self.0.state.borrow() {
            State::Ended => Cause::Ended,
            _ => NotInTime(STEP_TIMEOUT).into(),
        }
    }

    /// Connects again, because another connection to the same server was lost. One that was made just now stays.
    pub(super) fn renew(&self, cause: &Cause) {
        let up = match &*self.0.state.borrow() {
            State::Up(line) => Some(line.clone()),
            _ => None,
        };
        if let Some(line) = up.filter(|line| line.since.elapsed() >= YOUNG) {
            self.replace(&line, cause);
        }
    }

    /// Begins to look for another connection than `line`, unless somebody has already.
    fn replace(&self, line: &Line, cause: &Cause) {
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
            let host = &self.0.endpoint.host;
            tracing::warn!(%host, %cause, "the connection to the store is lost; connecting again");
            let pause = if is_young { YOUNG } else { Duration::ZERO };
            let shared = Arc::downgrade(&self.0);
            tokio::spawn(connect_again(shared, line.number + 1, pause));
        }
    }
}

/// Tries until it succeeds, or nobody needs the connection any more. Attempt number 0 is the first of all.
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
        if matches!(*shared.state.borrow(), State::Ended) {
            return;
        }
        let host = &shared.endpoint.host;
        let next = match shared.endpoint.connect().await {
            Ok(connection) => State::Up(Line::new(connection, number)),
            Err(cause) => {
                let is_told = number == 0 || matches!(*shared.state.borrow(), State::Down(_));
                if !is_told {
                    tracing::warn!(%host, %cause, "the store refuses a connection; trying again");
                }
                State::Down(Arc::new(cause))
            }
        };
        let is_up = matches!(next, State::Up(_));
        let is_wanted = shared.state.send_if_modified(|state| {
            let is_wanted = !matches!(state, State::Ended);
            if is_wanted {
                *state = next;
            }
            is_wanted
        });
        if is_up && is_wanted && number > 0 {
            let after_ms = u64::try_from(lost.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%host, after_ms, "connected to the store again");
        }
        if is_up || !is_wanted {
            return;
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
