//! Exchanges that run in this process, for requests that wait for one to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::id::AttemptId;

/// How long a request waits for an exchange to end. A person waits twice this time at most, for callback
/// and outcome, between agreeing at the institution and seeing a page of ours.
pub(super) const PATIENCE: Duration = Duration::from_millis(800);

/// The attempts whose exchange runs in this process. Those of another gateway are not among them.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<HashMap<AttemptId, watch::Receiver<()>>>>);

/// A running exchange. Dropping this tells those who wait that it ended.
pub(super) struct Running {
    all: UnderWay,
    attempt: AttemptId,
    _ends: watch::Sender<()>,
}

impl UnderWay {
    /// Registers the exchange of this attempt. An attempt never has a second one.
    pub(super) fn begin(&self, attempt: AttemptId) -> Running {
        let (ends, end) = watch::channel(());
        self.running().insert(attempt.clone(), end);
        Running {
            all: self.clone(),
            attempt,
            _ends: ends,
        }
    }

    /// Waits until the exchange of `attempt` has ended, at most `patience`. Returns at once when none
    /// runs here.
    pub(super) async fn wait(&self, attempt: &AttemptId, patience: Duration) {
        let running = self.running().get(attempt).cloned();
        if let Some(mut end) = running {
            // Nothing is ever sent: the sender is dropped, and that is the signal.
            drop(tokio::time::timeout(patience, end.changed()).await);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.running().remove(&self.attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    const LONG: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_secs(20);

    fn attempt() -> AttemptId {
        "00aaaaaaaaaaaaaaaaaaaaaa".parse().expect("an attempt")
    }

    #[tokio::test]
    async fn everybody_who_waits_learns_of_the_end_and_nothing_is_left_behind() {
        let all = UnderWay::default();
        let running = all.begin(attempt());
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let all = all.clone();
                tokio::spawn(async move { all.wait(&attempt(), LONG).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        drop(running);
        for waited in waiting {
            let waited = timeout(SOON, waited).await;
            waited.expect("not long after").expect("no panic");
        }
        assert!(all.running().is_empty());
    }

    #[tokio::test]
    async fn patience_ends_and_nothing_to_wait_for_takes_no_time() {
        let all = UnderWay::default();
        let waited = timeout(SOON, all.wait(&attempt(), LONG)).await;
        waited.expect("nothing runs here");
        let _running = all.begin(attempt());
        let before = Instant::now();
        let patience = Duration::from_millis(30);
        let waited = timeout(SOON, all.wait(&attempt(), patience)).await;
        waited.expect("it has an end");
        assert!(before.elapsed() >= patience);
    }
}
