//! Sentinels: asking them which server takes writes.
//!
//! All are asked at once, and the answer of the latest configuration counts, so that a Sentinel that was cut off
//! from the others does not lead to a server that was replaced.

use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::failure::Cause;
use crate::domain::redis_address::Host;

/// How long the others are waited for once one has answered.
pub(super) const OTHERS: Duration = Duration::from_millis(100);

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
    pub(super) async fn primary(&self) -> Result<Host, Cause> {
        let mut asked = JoinSet::new();
        for endpoint in self.endpoints.clone() {
            let service = self.service.clone();
            asked.spawn(async move { named_by(&endpoint, service).await });
        }
        latest(asked).await
    }
}

/// The answer of the latest configuration; if nobody answers, why one of them did not.
async fn latest(mut asked: JoinSet<Result<(u64, Host), Cause>>) -> Result<Host, Cause> {
    let mut best: Option<(u64, Host)> = None;
    let mut failed = None;
    loop {
        let next = match &best {
            Some(_) => timeout(OTHERS, asked.join_next()).await.unwrap_or(None),
            None => asked.join_next().await,
        };
        match next {
            Some(Ok(Ok(answer))) if best.as_ref().is_none_or(|best| answer.0 > best.0) => {
                best = Some(answer);
            }
            Some(Ok(Err(cause))) => failed = Some(cause),
            Some(_) => {}
            None => break,
        }
    }
    match (best, failed) {
        (Some((_, host)), _) => Ok(host),
        (None, Some(cause)) => Err(cause),
        (None, None) => Err(Cause::Ended),
    }
}

/// The server that this Sentinel names, and the number of the configuration it knows.
async fn named_by(endpoint: &Endpoint, service: String) -> Result<(u64, Host), Cause> {
    let asking = async {
        let mut connection = endpoint.connect().await?;
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for question in ["GET-MASTER-ADDR-BY-NAME", "MASTER"] {
            pipeline.cmd("SENTINEL").arg(question).arg(&service);
        }
        let answers: Vec<Value> = pipeline.query_async(&mut connection).await?;
        Ok::<_, Cause>(answers)
    };
    let answers = match timeout(super::endpoint::CONNECT_TIMEOUT, asking).await {
        Ok(answers) => answers?,
        Err(_) => return Err(super::failure::NotInTime(super::endpoint::CONNECT_TIMEOUT).into()),
    };
    let mut answers = answers.into_iter().map(Value::extract_error);
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let address: RedisResult<Option<(String, u16)>> =
        next().and_then(|answer| Ok(redis::from_redis_value(answer)?));
    let Some((name, port)) = address? else {
        return Err(Cause::NotWatched(service));
    };
    // A Sentinel that does not say the number is believed less than one that does.
    let known: Vec<String> = next()
        .ok()
        .and_then(|answer| redis::from_redis_value(answer).ok())
        .unwrap_or_default();
    let pairs = known.chunks_exact(2);
    let mut epochs = pairs.filter(|pair| pair[0] == "config-epoch");
    let epoch = epochs.next().and_then(|pair| pair[1].parse().ok());
    Ok((epoch.unwrap_or(0), Host { name, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(
        given: impl IntoIterator<Item = Result<(u64, Host), Cause>>,
    ) -> JoinSet<Result<(u64, Host), Cause>> {
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

    #[tokio::test]
    async fn the_latest_configuration_counts_however_many_say_otherwise() {
        let given = [Ok((3, host(1))), Ok((4, host(2))), Ok((3, host(1)))];
        assert_eq!(latest(answers(given)).await.ok(), Some(host(2)));
    }

    #[tokio::test]
    async fn a_sentinel_that_does_not_answer_is_not_waited_for_once_another_has() {
        let mut asked = answers([Ok((1, host(1)))]);
        asked.spawn(std::future::pending());
        let found = timeout(10 * OTHERS, latest(asked)).await.expect("in time");
        assert_eq!(found.ok(), Some(host(1)));
    }

    #[tokio::test]
    async fn where_nobody_answers_it_is_told_why() {
        let given = [Err(Cause::NotWatched("s".to_owned()))];
        let told = latest(answers(given)).await;
        assert!(matches!(told, Err(Cause::NotWatched(_))), "{told:?}");
    }
}
