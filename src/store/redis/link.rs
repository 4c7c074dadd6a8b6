//! Commands and scripts, sent over the connection.
//!
//! The one place that knows which kind of server is behind. Today that is a single one; Sentinel or
//! Cluster would be further kinds of [`Link`], with nothing changed above it.

use redis::{Cmd, FromRedisValue, RedisResult, ServerErrorKind, Value};

use super::connection::Connection;
use super::failure::{self, Cause};
use super::scripts::{self, Call};
use crate::store::outcome::{Result, StoreError};

/// The way to the server. Clones share it.
#[derive(Clone)]
pub(super) struct Link {
    connection: Connection,
}

impl Link {
    /// Connects to `redis://…` or `rediss://…`.
    pub(super) async fn open(url: &str) -> Result<Self> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(StoreError::Unfit(
                "the store's address must begin with redis:// or rediss://".to_owned(),
            ));
        }
        let connection = Connection::open(url).await.map_err(Cause::at_start)?;
        Ok(Self { connection })
    }

    /// Sends one command while the server is examined.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.send(command).await.map_err(Cause::at_start)
    }

    /// Sends one command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.send(command).await.map_err(Cause::while_running)
    }

    /// Sends commands together and gives their answers in order; fails when one of them fails.
    ///
    /// They need not be in one slot.
    pub(super) async fn query_all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let sent = self.connection.run(|mut connection| async move {
            let answers = together(commands).query_async(&mut connection).await?;
            each(answers)
        });
        sent.await.map_err(Cause::while_running)
    }

    /// Calls a script: one round trip, but after the server has forgotten its scripts.
    pub(super) async fn call(&self, call: Call) -> Result<Value> {
        let sent = self.connection.run(|mut connection| async move {
            let command = call.command();
            match command.query_async(&mut connection).await {
                Err(error) if failure::is_forgotten(&error) => {
                    call.script().load_async(&mut connection).await?;
                    command.query_async(&mut connection).await
                }
                answer => answer,
            }
        });
        sent.await.map_err(Cause::while_running)
    }

    /// Calls scripts together and gives their answers in order; fails when one of them fails.
    pub(super) async fn call_all(&self, calls: Vec<Call>) -> Result<Vec<Value>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let sent = self.connection.run(|mut connection| async move {
            let commands = calls.iter().map(Call::command).collect();
            let mut answers: Vec<Value> = together(commands).query_async(&mut connection).await?;
            for (call, answer) in calls.iter().zip(&mut answers) {
                let is_forgotten = matches!(
                    answer,
                    Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript)
                );
                if is_forgotten {
                    call.script().load_async(&mut connection).await?;
                    *answer = call.command().query_async(&mut connection).await?;
                }
            }
            each(answers)
        });
        sent.await.map_err(Cause::while_running)
    }

    /// Gives the server every script, so that later calls find it.
    pub(super) async fn load_scripts(&self) -> Result<()> {
        for script in scripts::all() {
            let sent = self.connection.run(|mut connection| async move {
                script.load_async(&mut connection).await.map(drop)
            });
            sent.await.map_err(Cause::at_start)?;
        }
        Ok(())
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> std::result::Result<T, Cause> {
        let sent = self
            .connection
            .run(|mut connection| async move { command.query_async(&mut connection).await });
        sent.await
    }
}

/// Commands in one trip, each with an answer or an error of its own.
fn together(commands: Vec<Cmd>) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

/// The answers, or the first error among them.
fn each(answers: Vec<Value>) -> RedisResult<Vec<Value>> {
    answers.into_iter().map(Value::extract_error).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::connection::CONNECT_TIMEOUT;
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
        assert!(begun.elapsed() < CONNECT_TIMEOUT + Duration::from_secs(1));
    }
}
