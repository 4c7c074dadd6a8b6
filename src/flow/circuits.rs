//! Circuits: an endpoint, aggregator or institution that fails rests as a whole, so that what waits for it uses up no
//! tries and costs nobody else.
//!
//! ```text
//! closed ─ five failures in a row ─▶ open ─ its rest is over ─▶ one probe ─ success ─▶ closed
//!                                     ▲                             │ failure: a longer rest
//!                                     └─────────────────────────────┘
//! ```
//!
//! Each process learns for itself, by a clock that nobody sets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::endpoint::EndpointId;
use crate::domain::id::{AggregatorName, ClientId, InstitutionCode};
use crate::metrics::Metrics;

/// How many failures in a row open a circuit.
const FAILURES: u32 = 5;

/// How long a circuit rests when it opens, and after each further probe that failed, in seconds; the last one goes on.
const RESTS: [u64; 7] = [5, 10, 20, 40, 80, 160, 300];

/// The longest rest that the other side can ask for.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// The shortest rest that is told.
const MOMENT: Duration = Duration::from_secs(1);

/// How long a probe that tells nothing counts as under way: longer than any call takes.
const PROBE: Duration = Duration::from_secs(2 * 60);

/// What rests as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An endpoint of a client.
    Endpoint(ClientId, EndpointId),
    /// An aggregator.
    Aggregator(AggregatorName),
    /// An institution's token endpoint, and what it needs to work.
    Institution(InstitutionCode),
    /// An institution's revocation endpoint.
    Revocation(InstitutionCode),
    /// Nobody but the store.
    Store,
}

/// It rests for so long: nothing is to be sent there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it rests for {0:?}")]
pub struct Rests(pub Duration);

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    is_probe: bool,
}

/// Whether calls may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Any number.
    Closed,
    /// One, which shows whether it works again.
    Probe,
    /// None.
    Open,
}

/// The circuits of this process.
pub struct Circuits {
    known: Mutex<HashMap<Target, Circuit>>,
    metrics: Arc<Metrics>,
}

/// One that has failed since it last worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Circuit {
    /// How many failures in a row.
    failures: u32,
    /// How many rests in a row.
    rests: u32,
    /// Until when it rests.
    until: Option<Instant>,
    /// Until when a probe counts as under way.
    probing: Option<Instant>,
}

impl Circuit {
    fn state(&self, now: Instant) -> State {
        let is_over = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        match self.until {
            None => State::Closed,
            Some(_) if is_over(self.until) && is_over(self.probing) => State::Probe,
            Some(_) => State::Open,
        }
    }

    /// How long nothing is to be sent; a moment at least, so that what is given back until then does not come at once.
    fn rest(&self, now: Instant) -> Option<Rests> {
        let until = self.until.max(self.probing).unwrap_or(now);
        let is_open = self.state(now) == State::Open;
        is_open.then(|| Rests(until.saturating_duration_since(now).max(MOMENT)))
    }

    /// Counts a failure. Returns for how long it rests now, if this opened it or was its probe.
    fn fail(&mut self, is_probe: bool, asked: Option<Duration>, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let opens = self.until.is_none() && self.failures >= FAILURES;
        // What began before it opened tells nothing new.
        if !opens && !is_probe {
            return None;
        }
        self.probing = None;
        let nth = usize::try_from(self.rests).unwrap_or(usize::MAX);
        let usual = RESTS.get(nth).or(RESTS.last()).copied().unwrap_or_default();
        let asked = asked.unwrap_or_default().min(LONGEST_REST);
        let rest = Duration::from_secs(usual).max(asked);
        self.rests = self.rests.saturating_add(1);
        self.until = Some(now + rest);
        Some(rest)
    }
}

impl Circuits {
    /// All closed.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            known: Mutex::default(),
            metrics,
        }
    }

    /// Whether calls may be made.
    pub fn state(&self, target: &Target, now: Instant) -> State {
        let known = self.known();
        known
            .get(target)
            .map_or(State::Closed, |circuit| circuit.state(now))
    }

    /// How long nothing is to be sent there yet; `None`: calls may be made, or one that shows whether it works.
    pub fn rest(&self, target: &Target, now: Instant) -> Option<Rests> {
        self.known().get(target)?.rest(now)
    }

    /// The institutions whose token endpoint rests.
    pub fn resting_institutions(&self, now: Instant) -> Vec<InstitutionCode> {
        let known = self.known();
        let resting = known
            .iter()
            .filter(|(_, circuit)| circuit.rest(now).is_some());
        let code = |(target, _): (&Target, &Circuit)| match target {
            Target::Institution(code) => Some(code.clone()),
            _ => None,
        };
        resting.filter_map(code).collect()
    }

    /// A call is about to be made. It must be followed by [`Self::worked`] or [`Self::failed`].
    ///
    /// # Errors
    ///
    /// [`Rests`]: the call is not to be made.
    pub fn enter(&self, target: &Target, now: Instant) -> Result<Entered, Rests> {
        let mut known = self.known();
        let Some(circuit) = known.get_mut(target) else {
            return Ok(Entered { is_probe: false });
        };
        match circuit.state(now) {
            State::Closed => Ok(Entered { is_probe: false }),
            State::Probe => {
                circuit.probing = Some(now + PROBE);
                Ok(Entered { is_probe: true })
            }
            State::Open => Err(circuit.rest(now).unwrap_or(Rests(MOMENT))),
        }
    }

    /// The call was answered as it should be.
    pub fn worked(&self, target: &Target) {
        let worked = self.known().remove(target);
        if worked.is_some_and(|circuit| circuit.until.is_some()) {
            self.count(target, -1.0);
            tracing::info!(rests = false, "it works again; what waited for it goes on");
        }
    }

    /// The call failed; the other side perhaps asked to wait.
    pub fn failed(&self, target: &Target, entered: Entered, asked: Option<Duration>, now: Instant) {
        let mut known = self.known();
        let circuit = known.entry(target.clone()).or_default();
        let is_first = circuit.until.is_none();
        let rest = circuit.fail(entered.is_probe, asked, now);
        drop(known);
        if let Some(rest) = rest {
            if is_first {
                self.count(target, 1.0);
            }
            let rest_s = rest.as_secs();
            tracing::warn!(
                rests = true,
                rest_s,
                "it fails again and again; everything for it waits"
            );
        }
    }

    fn count(&self, target: &Target, change: f64) {
        let what = match target {
            Target::Endpoint(..) => "endpoint",
            Target::Aggregator(_) => "aggregator",
            Target::Institution(_) | Target::Revocation(_) => "institution",
            Target::Store => "store",
        };
        self.metrics.resting.add([what], change);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Target, Circuit>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Entered = Entered { is_probe: false };
    const PROBED: Entered = Entered { is_probe: true };

    fn aggregator() -> Target {
        Target::Aggregator("pulls".parse().expect("a name"))
    }

    fn later(from: Instant, seconds: u64) -> Instant {
        from + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn five_failures_in_a_row_open_it_and_one_probe_that_works_closes_it() {
        let circuits = Circuits::new(Arc::new(Metrics::default()));
        let (target, now) = (aggregator(), Instant::now());
        for _ in 0..3 {
            for _ in 1..FAILURES {
                assert!(circuits.enter(&target, now).is_ok());
                circuits.failed(&target, USUAL, None, now);
            }
            circuits.worked(&target);
        }
        for _ in 0..FAILURES {
            assert!(circuits.enter(&target, now).is_ok());
            circuits.failed(&target, USUAL, None, now);
        }
        assert_eq!(
            circuits.enter(&target, now),
            Err(Rests(Duration::from_secs(5)))
        );
        assert_eq!(circuits.state(&target, later(now, 4)), State::Open);
        let probe = later(now, 5);
        assert_eq!(circuits.state(&target, probe), State::Probe);
        assert_eq!(circuits.enter(&target, probe), Ok(PROBED));
        assert!(circuits.enter(&target, probe).is_err(), "one probe");
        circuits.worked(&target);
        assert_eq!(circuits.state(&target, probe), State::Closed);
    }

    #[tokio::test]
    async fn a_probe_that_fails_or_says_nothing_makes_the_rest_longer() {
        let circuits = Circuits::new(Arc::new(Metrics::default()));
        let (target, mut now) = (aggregator(), Instant::now());
        for _ in 0..FAILURES {
            circuits.failed(&target, USUAL, None, now);
        }
        for rest in RESTS.into_iter().chain([300, 300]) {
            assert_eq!(circuits.state(&target, later(now, rest - 1)), State::Open);
            now = later(now, rest);
            assert_eq!(circuits.enter(&target, now), Ok(PROBED), "after {rest} s");
            // Calls that began before it opened tell nothing new.
            if rest == 5 {
                assert_eq!(circuits.state(&target, later(now, 119)), State::Open);
                now = later(now, 120);
                assert_eq!(
                    circuits.enter(&target, now),
                    Ok(PROBED),
                    "the probe was lost"
                );
            }
            circuits.failed(&target, USUAL, None, now);
            circuits.failed(&target, PROBED, None, now);
        }
        now = later(now, 300);
        assert_eq!(circuits.enter(&target, now), Ok(PROBED));
        circuits.failed(&target, PROBED, Some(Duration::from_secs(900)), now);
        assert_eq!(circuits.state(&target, later(now, 899)), State::Open);
        assert_eq!(circuits.state(&target, later(now, 900)), State::Probe);
    }

    #[tokio::test]
    async fn calls_that_began_before_it_opened_do_not_lengthen_its_rest() {
        let circuits = Circuits::new(Arc::new(Metrics::default()));
        let (target, now) = (aggregator(), Instant::now());
        for _ in 0..FAILURES + 20 {
            circuits.failed(&target, USUAL, None, now);
        }
        assert_eq!(circuits.state(&target, later(now, 5)), State::Probe);
        let other = Target::Endpoint("acme".parse().expect("a client"), EndpointId::default());
        assert_eq!(circuits.state(&other, now), State::Closed);
    }
}
