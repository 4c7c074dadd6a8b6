//! Sentinels: asking them which server takes writes.
//!
//! All are asked at once, and the answer of the latest configuration counts, so that a Sentinel that was cut off
//! from the others does not lead to a server that was replaced.

use redis::{RedisResult, Value};
use tokio::task::JoinSet;

use super::answers::{ask_each, in_time};
use super::endpoint::Endpoint;
use super::failure::Cause;
use crate::domain::redis_address::Host;

/// The Sentinels of one server.
#[derive(Debug)]
pub(super) struct Sentinels {
    endpoints: Vec<Endpoint>,
    service: String,
}

impl Sentinels {
    /// The Sentinels at these places, which watch the server of that name.
    pub(super) fn new(endpoints: Vec<Endpoint>, service: String) -> Self {
        Self { endpoints, service }
    }

    /// The server that takes writes.
    pub(super) async fn primary(&self) -> Result<Primary, Cause> {
        let asked = ask_each(self.endpoints.clone(), |endpoint| {
            named_by(endpoint, self.service.clone())
        });
        latest(asked).await
    }
}

/// The server that takes writes, as the Sentinels say.
#[derive(Debug, PartialEq)]
pub(super) struct Primary {
    pub(super) host: Host,
    /// Whether most of them answered, so that none that was cut off from the others misleads us.
    pub(super) is_sure: bool,
    /// Whether one of them reaches a replica, which may be taking over.
    pub(super) has_replica: bool,
}

/// What one Sentinel says.
#[derive(Debug)]
struct Named {
    host: Host,
    /// The number of the configuration it knows.
    epoch: u64,
    /// Whether it reaches a replica.
    has_replica: bool,
}

/// The answer of the latest configuration; if nobody answers, why one of them did not.
async fn latest(asked: JoinSet<Result<Named, Cause>>) -> Result<Primary, Cause> {
    let all = asked.len();
    let answers = in_time(asked).await?;
    let is_sure = answers.len() * 2 > all;
    let has_replica = answers.iter().any(|it| it.has_replica);
    match answers.into_iter().max_by_key(|it| it.epoch) {
        Some(Named { host, .. }) => Ok(Primary {
            host,
            is_sure,
            has_replica,
        }),
        None => Err(Cause::Ended),
    }
}

async fn named_by(endpoint: Endpoint, service: String) -> Result<Named, Cause> {
    let mut connection = endpoint.connect().await?;
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for question in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS"] {
        pipeline.cmd("SENTINEL").arg(question).arg(&service);
    }
    let answers: Vec<Value> = pipeline.query_async(&mut connection).await?;
    let mut answers = answers.into_iter().map(Value::extract_error);
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let address: RedisResult<Option<(String, u16)>> =
        next().and_then(|answer| Ok(redis::from_redis_value(answer)?));
    let Some((name, port)) = address? else {
        return Err(Cause::NotWatched(service));
    };
    // A Sentinel that does not say the number is believed less than one that does.
    let known: Vec<String> = read(next());
    let epoch = field(&known, "config-epoch").and_then(|epoch| epoch.parse().ok());
    let replicas: Vec<Vec<String>> = read(next());
    let is_reached = |replica: &Vec<String>| {
        let flags = field(replica, "flags").unwrap_or_default();
        let mut flags = flags.split(',');
        !flags.any(|flag| matches!(flag, "s_down" | "o_down" | "disconnected"))
    };
    Ok(Named {
        host: Host { name, port },
        epoch: epoch.unwrap_or(0),
        has_replica: replicas.iter().any(is_reached),
    })
}

/// What a Sentinel answers; nothing, where it may not.
fn read<T: redis::FromRedisValue + Default>(answer: RedisResult<Value>) -> T {
    let answer = answer.ok().and_then(|it| redis::from_redis_value(it).ok());
    answer.unwrap_or_default()
}

/// A field of what a Sentinel says of a server.
fn field<'a>(pairs: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = pairs.chunks_exact(2).filter(|pair| pair[0] == name);
    pairs.next().map(|pair| pair[1].as_str())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::super::answers::OTHERS;
    use super::*;

    fn answers(
        given: impl IntoIterator<Item = Result<Named, Cause>>,
    ) -> JoinSet<Result<Named, Cause>> {
        let mut asked = JoinSet::new();
        for answer in given {
            asked.spawn(async move { answer });
        }
        asked
    }

    fn host(port: u16) -> Host {
        Host {
            name: "h".to_owned(),
            port,
        }
    }

    fn names(epoch: u64, port: u16, has_replica: bool) -> Result<Named, Cause> {
        Ok(Named {
            host: host(port),
            epoch,
            has_replica,
        })
    }

    #[tokio::test]
    async fn the_latest_configuration_counts_however_many_say_otherwise() {
        let given = [names(3, 1, false), names(4, 2, false), names(3, 1, true)];
        let expected = Primary {
            host: host(2),
            is_sure: true,
            has_replica: true,
        };
        assert_eq!(latest(answers(given)).await.ok(), Some(expected));
    }

    #[tokio::test]
    async fn a_sentinel_that_does_not_answer_is_not_waited_for_once_another_has() {
        let mut asked = answers([names(1, 1, false)]);
        asked.spawn(std::future::pending());
        let found = timeout(10 * OTHERS, latest(asked)).await.expect("in time");
        // And one of two does not suffice where it has to be sure.
        let expected = Primary {
            host: host(1),
            is_sure: false,
            has_replica: false,
        };
        assert_eq!(found.ok(), Some(expected));
    }

    #[tokio::test]
    async fn where_nobody_answers_it_is_told_why() {
        let given = [Err(Cause::NotWatched("s".to_owned()))];
        let told = latest(answers(given)).await;
        assert!(matches!(told, Err(Cause::NotWatched(_))), "{told:?}");
    }
}
