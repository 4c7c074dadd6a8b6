//! What happens without a request: duties and deadlines.
//!
//! Everything due is in the store, so nothing is lost if a worker dies: what it had taken up is due again
//! after a while. A step of this process that queues a duty wakes the worker. Duties of other processes,
//! and those that become due, are found by one look at the store a second, over everything.

mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::flow::circuits::Target;
use crate::flow::duties::{Duty, Line, Reserved};
use crate::flow::{Gateway, deadlines, duties, timeline};
use crate::log_context;
use crate::webhook::Webhooks;
use turns::Turns;

/// How often the store is looked over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many duties this process has taken up at a time, in all: more than the lines of any client hold.
const SIDE_BY_SIDE: usize = 1024;

/// Works until `shutdown`, then finishes what it has begun.
pub async fn run(gateway: Arc<Gateway>, webhooks: Webhooks, shutdown: CancellationToken) {
    let overdue = Notify::new();
    let worker = Worker {
        gateway: gateway.clone(),
        webhooks: Arc::new(webhooks),
        turns: Turns::default(),
        running: JoinSet::new(),
        lines: HashMap::new(),
        taken: HashMap::new(),
        places: HashMap::new(),
    };
    tokio::join!(
        worker.run(&shutdown),
        look(&gateway, &overdue, &shutdown),
        keep_time(&gateway, &shutdown),
        sweep(&gateway, &overdue, &shutdown),
        upkeep(&gateway, &shutdown),
    );
}

/// Takes up what is due, and does it.
struct Worker {
    gateway: Arc<Gateway>,
    webhooks: Arc<Webhooks>,
    turns: Turns,
    /// What was taken up.
    running: JoinSet<()>,
    /// The line of each task.
    lines: HashMap<Id, Line>,
    /// How much of each line is among it.
    taken: HashMap<Line, usize>,
    /// The places of everything that duties need.
    places: HashMap<Target, Arc<Semaphore>>,
}

impl Worker {
    async fn run(mut self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            while let Some(done) = self.running.try_join_next_with_id() {
                self.is_done(done);
            }
            // Those who come last wait for nobody's backlog.
            self.turns.add(duties::queued(&self.gateway).take());
            let limit = SIDE_BY_SIDE.saturating_sub(self.running.len());
            let (gateway, taken) = (&self.gateway, &self.taken);
            let room = |line: &Line| {
                let taken = taken.get(line).copied().unwrap_or_default();
                duties::room(gateway, line, taken)
            };
            let asks = self.turns.next(limit, room);
            if !asks.is_empty() {
                match duties::reserve(&self.gateway, &asks).await {
                    Ok(reserved) => reserved.into_iter().for_each(|it| self.begin(it, shutdown)),
                    // The next look finds it again.
                    Err(error) => {
                        tracing::error!(%error, "what is due could not be taken up; tried again");
                    }
                }
                continue;
            }
            tokio::select! {
                spots = duties::queued(&self.gateway).wait() => self.turns.add(spots),
                Some(done) = self.running.join_next_with_id() => self.is_done(done),
                () = shutdown.cancelled() => {}
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Begins what was taken up.
    fn begin(&mut self, reserved: Reserved, shutdown: &CancellationToken) {
        self.turns.found(&reserved);
        let taken_up = Instant::now();
        let line = reserved.spot.line;
        let Some(target) = duties::target(&self.gateway, &line) else {
            return;
        };
        let places = duties::places(&self.gateway, &target);
        let places = self
            .places
            .entry(target)
            .or_insert_with(|| Arc::new(Semaphore::new(places)))
            .clone();
        *self.taken.entry(line.clone()).or_default() += reserved.duties.len();
        for duty in reserved.duties {
            let taken = Taken {
                gateway: self.gateway.clone(),
                webhooks: self.webhooks.clone(),
                places: places.clone(),
                shutdown: shutdown.clone(),
                taken_up,
                duty,
            };
            let work = taken.perform().instrument(log_context::span());
            self.lines
                .insert(self.running.spawn(work).id(), line.clone());
        }
    }

    /// A task has ended, perhaps by a panic.
    fn is_done(&mut self, done: Result<(Id, ()), JoinError>) {
        let id = done.map_or_else(|error| error.id(), |(id, ())| id);
        let Some(line) = self.lines.remove(&id) else {
            return;
        };
        if let Some(taken) = self.taken.get_mut(&line) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&line);
            }
        }
    }
}

/// A duty that was taken up.
struct Taken {
    gateway: Arc<Gateway>,
    webhooks: Arc<Webhooks>,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
    taken_up: Instant,
    duty: Duty,
}

impl Taken {
    /// Does it once there is a place for it; gives it back if there is no time left, or this process stops.
    async fn perform(self) {
        let gateway = &self.gateway;
        let _place = self.places.acquire().await;
        let is_in_time = duties::is_in_time(gateway, self.duty.kind(), self.taken_up);
        let done = match is_in_time && !self.shutdown.is_cancelled() {
            true => duties::perform(gateway, &self.webhooks, self.duty).await,
            false => duties::give_back(gateway, &self.duty).await,
        };
        if let Err(error) = done {
            tracing::error!(%error, "a duty could not be done; it is due again later");
        }
    }
}

/// Looks for what is due, again and again. The worker is told by the store, the sweep by `overdue`.
async fn look(gateway: &Gateway, overdue: &Notify, shutdown: &CancellationToken) {
    let mut looks = every_look();
    while is_next(&mut looks, shutdown).await {
        match deadlines::look(gateway).await {
            Ok(true) => overdue.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "what is due could not be looked for; tried again")
            }
        }
    }
}

/// Agrees with the other gateways on the time, again and again: apart from the looks, which wait for no server that
/// hangs.
async fn keep_time(gateway: &Gateway, shutdown: &CancellationToken) {
    let mut looks = every_look();
    while is_next(&mut looks, shutdown).await {
        timeline::agree(gateway).await;
    }
}

/// Ends overdue windows whenever there are any.
async fn sweep(gateway: &Arc<Gateway>, overdue: &Notify, shutdown: &CancellationToken) {
    loop {
        tokio::select! {
            () = overdue.notified() => {}
            () = shutdown.cancelled() => return,
        }
        while !shutdown.is_cancelled() {
            match deadlines::sweep(gateway).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "a sweep failed; it is repeated");
                    break;
                }
            }
        }
    }
}

/// Deletes what was kept long enough and gives up what is too old, again and again.
async fn upkeep(gateway: &Gateway, shutdown: &CancellationToken) {
    let mut looks = every_look();
    let mut last = None;
    while is_next(&mut looks, shutdown).await {
        if let Err(error) = deadlines::upkeep(gateway, &mut last).await {
            tracing::error!(%error, "what was kept long enough could not be deleted; it is tried again");
        }
    }
}

fn every_look() -> Interval {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Waits for the next look; `false`: there is none any more.
async fn is_next(looks: &mut Interval, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        _ = looks.tick() => true,
        () = shutdown.cancelled() => false,
    }
}
