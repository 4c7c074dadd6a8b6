//! The connection: commands, scripts and their failures.
//!
//! The one place that knows which kind of server is behind. Today that is a single one; Sentinel or
//! Cluster would be further kinds of [`Link`], with nothing changed above it.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind, Value};

use super::call::{self, Call};
use crate::store::{Result, StoreError};

/// How long a step may take in all, connecting again included.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many commands may wait for the connection before callers do.
const QUEUE: usize = 1024;

/// A multiplexed connection that comes back by itself. Clones share it.
///
/// A command that was under way when the connection broke fails and is not sent again: whether it
/// happened is unknown here, and which steps may be repeated is for the store's callers to decide.
#[derive(Clone)]
pub(super) struct Link {
    manager: ConnectionManager,
}

impl Link {
    /// Connects to `redis://…` or `rediss://…`.
    pub(super) async fn open(url: &str) -> Result<Self> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(StoreError::Unfit(
                "the store's address must begin with redis:// or rediss://".to_owned(),
            ));
        }
        let client = redis::Client::open(url).map_err(unfit)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(STEP_TIMEOUT))
            .set_number_of_retries(1)
            .set_pipeline_buffer_size(QUEUE);
        let connecting = ConnectionManager::new_with_config(client, config);
        let manager = in_time(connecting).await?;
        Ok(Self { manager })
    }

    /// Sends one command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut manager = self.manager.clone();
        in_time(command.query_async(&mut manager)).await
    }

    /// Sends commands together and gives their answers in order; fails when one of them fails.
    ///
    /// They need not be in one slot.
    pub(super) async fn query_all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        let answers = self.send_all(commands).await?;
        answers
            .into_iter()
            .map(|answer| answer.extract_error().map_err(failed))
            .collect()
    }

    /// Calls a script: one round trip, but after the server has forgotten its scripts.
    pub(super) async fn call(&self, call: Call) -> Result<Value> {
        let command = call.command();
        let mut manager = self.manager.clone();
        in_time(async {
            match command.query_async(&mut manager).await {
                Err(error) if is_forgotten(&error) => {
                    call.script().load_async(&mut manager).await?;
                    command.query_async(&mut manager).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Calls scripts together and gives their answers in order; fails when one of them fails.
    pub(super) async fn call_all(&self, calls: Vec<Call>) -> Result<Vec<Value>> {
        let mut answers = self
            .send_all(calls.iter().map(Call::command).collect())
            .await?;
        for (call, answer) in calls.into_iter().zip(&mut answers) {
            let forgotten = matches!(
                answer,
                Value::ServerError(error)
                    if error.kind() == Some(ServerErrorKind::NoScript)
            );
            if forgotten {
                *answer = self.call(call).await?;
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.extract_error().map_err(failed))
            .collect()
    }

    /// Gives the server every script, so that later calls find it.
    pub(super) async fn load_scripts(&self) -> Result<()> {
        for script in call::all() {
            self.load(script).await?;
        }
        Ok(())
    }

    async fn load(&self, script: &Script) -> Result<()> {
        let mut manager = self.manager.clone();
        in_time(script.load_async(&mut manager)).await.map(drop)
    }

    async fn send_all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for command in commands {
            pipeline.add_command(command);
        }
        let mut manager = self.manager.clone();
        in_time(pipeline.query_async(&mut manager)).await
    }
}

async fn in_time<T>(answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
    match tokio::time::timeout(STEP_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(failed),
        Err(elapsed) => Err(StoreError::Unavailable(Box::new(elapsed))),
    }
}

fn is_forgotten(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// What a failure means to the store's callers. Neither Redis' own texts nor the client's carry
/// arguments, so no secret travels with them.
fn failed(error: RedisError) -> StoreError {
    if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) {
        return unfit(error);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::Server(ServerErrorKind::NoPerm) => unfit(error),
        ErrorKind::Parse
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::Server(ServerErrorKind::ResponseError) => {
            StoreError::Unreadable(error.to_string())
        }
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

fn unfit(error: RedisError) -> StoreError {
    StoreError::Unfit(format!("the Redis server cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_of_another_kind_is_refused_in_words() {
        for address in [
            "",
            "localhost:6379",
            "http://localhost",
            "unix:///run/redis",
        ] {
            let refused = Link::open(address).await.err();
            assert!(
                matches!(&refused, Some(StoreError::Unfit(text)) if text.contains("redis://")),
                "{address:?}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_in_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let begun = std::time::Instant::now();
        let refused = Link::open(&format!("redis://{address}")).await.err();
        assert!(
            matches!(refused, Some(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        assert!(begun.elapsed() < STEP_TIMEOUT + Duration::from_secs(1));
    }
}
