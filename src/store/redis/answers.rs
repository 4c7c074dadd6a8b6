//! Asking several servers the same thing at once.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::{CONNECT_TIMEOUT, Endpoint};
use super::failure::{Cause, NotInTime};

/// How long the others are waited for once one has answered.
pub(super) const OTHERS: Duration = Duration::from_millis(100);

/// Asks all of these servers, each on a connection of its own.
pub(super) fn ask_each<T, F>(
    endpoints: impl IntoIterator<Item = Endpoint>,
    question: impl Fn(Endpoint) -> F,
) -> JoinSet<Result<T, Cause>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Cause>> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for endpoint in endpoints {
        let answer = timeout(CONNECT_TIMEOUT, question(endpoint));
        asked.spawn(async move {
            answer
                .await
                .unwrap_or_else(|_| Err(NotInTime(CONNECT_TIMEOUT).into()))
        });
    }
    asked
}

/// What those answer who do so in time; if nobody does, why one of them did not.
pub(super) async fn in_time<T: 'static>(
    mut asked: JoinSet<Result<T, Cause>>,
) -> Result<Vec<T>, Cause> {
    let mut answers = Vec::new();
    let mut failed = None;
    loop {
        let next = match answers.is_empty() {
            true => asked.join_next().await,
            false => timeout(OTHERS, asked.join_next()).await.unwrap_or(None),
        };
        match next {
            Some(Ok(Ok(answer))) => answers.push(answer),
            Some(Ok(Err(cause))) => failed = Some(cause),
            Some(Err(_)) => {}
            None => break,
        }
    }
    match failed {
        Some(cause) if answers.is_empty() => Err(cause),
        _ => Ok(answers),
    }
}
