//! What happens without a request: duties and deadlines.
//!
//! Everything due is in the store, so nothing is lost if a worker dies: what it had taken up is due again
//! after a while. A step of this process that queues a duty wakes the worker. Duties of other processes,
//! and those that become due, are found by one look at the store a second, over everything.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::flow::circuits::Target;
use crate::flow::deadlines::Upkeep;
use crate::flow::duties::{Ask, Duty, Home, Line, Reserved, Spot};
use crate::flow::turns::Turns;
use crate::flow::watch::{self, Watch};
use crate::flow::{
    Gateway, Internal, certificates, claim, client_keys, deadlines, duties, maintenance, timeline,
};
use crate::log_context;
use crate::webhook::Webhooks;

/// How often the store is looked over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the files of client keys are looked at.
const CLIENT_KEYS_EVERY: Duration = Duration::from_secs(5);
/// How often the files of client certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(10);

/// How many duties this process has taken up at a time, in all: more than the lines of any client hold.
const SIDE_BY_SIDE: usize = 1024;

/// Works until `shutdown`, then finishes what it has begun.
pub async fn run(gateway: Arc<Gateway>, webhooks: Webhooks, shutdown: CancellationToken) {
    let overdue = Notify::new();
    let worker = Worker {
        gateway: gateway.clone(),
        webhooks: Arc::new(webhooks),
        turns: Turns::default(),
        reserving: JoinSet::new(),
        asked: HashMap::new(),
        running: JoinSet::new(),
        lines: HashMap::new(),
        taken: HashMap::new(),
        places: HashMap::new(),
    };
    tokio::join!(
        worker.run(&shutdown),
        look(&gateway, &overdue, &shutdown),
        keep_time(&gateway, &shutdown),
        watch_maintenance(&gateway, &shutdown),
        watch_client_keys(&gateway, &shutdown),
        watch_certificates(&gateway, &shutdown),
        sweep(&gateway, &overdue, &shutdown),
        upkeep(&gateway, &shutdown),
        watch_institutions(&gateway, &shutdown),
    );
}

/// Takes up what is due, and does it.
struct Worker {
    gateway: Arc<Gateway>,
    webhooks: Arc<Webhooks>,
    turns: Turns,
    /// What is being taken up: at each server of the store one request at a time, so that one that hangs delays only
    /// what it has.
    reserving: JoinSet<Result<Vec<Reserved>, Internal>>,
    /// Where, and for how many of each line, by task.
    asked: HashMap<Id, (Home, Vec<(Line, usize)>)>,
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
            self.add(duties::queued(&self.gateway).take());
            self.ask();
            tokio::select! {
                spots = duties::queued(&self.gateway).wait() => self.add(spots),
                Some(reserved) = self.reserving.join_next_with_id() => self.is_reserved(reserved, shutdown),
                Some(done) = self.running.join_next_with_id() => self.is_done(done),
                () = shutdown.cancelled() => {}
            }
        }
        self.gateway.claims.close();
        // What is still taken up is given back at once.
        while let Some(reserved) = self.reserving.join_next_with_id().await {
            self.is_reserved(reserved, shutdown);
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Something is due there: it is done here, or somebody claims it.
    fn add(&mut self, spots: BTreeSet<Spot>) {
        self.turns.add(claim::tell(&self.gateway, spots));
    }

    /// Asks for what is next.
    fn ask(&mut self) {
        let mut busy: HashSet<Home> = HashSet::new();
        let mut asked: HashMap<&Line, usize> = HashMap::new();
        for (home, lines) in self.asked.values() {
            busy.insert(*home);
            for (line, count) in lines {
                *asked.entry(line).or_default() += count;
            }
        }
        let (gateway, taken) = (&self.gateway, &self.taken);
        let under_way = self.running.len() + asked.values().sum::<usize>();
        let limit = SIDE_BY_SIDE.saturating_sub(under_way);
        let room = |line: &Line| {
            let all = [taken.get(line), asked.get(line)];
            duties::room(gateway, line, all.into_iter().flatten().sum())
        };
        let is_free = |spot: &Spot| !busy.contains(&duties::home(gateway, spot));
        let mut at: BTreeMap<Home, Vec<Ask>> = BTreeMap::new();
        for ask in self.turns.next(limit, room, is_free) {
            let home = duties::home(gateway, &ask.spot);
            at.entry(home).or_default().push(ask);
        }
        for (home, asks) in at {
            let gateway = self.gateway.clone();
            let lines = asks.iter().map(|ask| (ask.spot.line.clone(), ask.limit));
            let lines = lines.collect();
            let reserve = async move { duties::reserve(&gateway, &asks).await };
            let task = self
                .reserving
                .spawn(reserve.instrument(log_context::span()));
            self.asked.insert(task.id(), (home, lines));
        }
    }

    /// A server has answered, or not.
    fn is_reserved(
        &mut self,
        reserved: Result<(Id, Result<Vec<Reserved>, Internal>), JoinError>,
        shutdown: &CancellationToken,
    ) {
        let (id, reserved) = match reserved {
            Ok((id, reserved)) => (id, reserved),
            Err(error) => (error.id(), Err(Internal::Interrupted)),
        };
        self.asked.remove(&id);
        match reserved {
            Ok(reserved) => reserved.into_iter().for_each(|it| self.begin(it, shutdown)),
            // The next look finds it again.
            Err(error) => {
                tracing::error!(%error, "what is due could not be taken up; tried again");
            }
        }
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
                line: line.clone(),
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
    line: Line,
    duty: Duty,
}

impl Taken {
    /// Does it once there is a place for it; gives it back if there is no time left, or this process stops.
    async fn perform(self) {
        let gateway = &self.gateway;
        let place = self.places.acquire_owned().await;
        let is_in_time = duties::is_in_time(gateway, &self.line, self.taken_up);
        let done = match place {
            Ok(place) if is_in_time && !self.shutdown.is_cancelled() => {
                duties::perform(gateway, &self.webhooks, self.duty, place).await
            }
            _ => duties::give_back(gateway, &self.duty).await,
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

/// Looks at what operators say of institutions, again and again. While the store is away what was said last counts.
async fn watch_maintenance(gateway: &Gateway, shutdown: &CancellationToken) {
    let mut looks = every_look();
    while is_next(&mut looks, shutdown).await {
        if let Err(error) = maintenance::look(gateway).await {
            tracing::debug!(%error, "what operators say of institutions could not be read; it is tried again");
        }
    }
}

/// Looks at the files of client keys, again and again.
async fn watch_client_keys(gateway: &Arc<Gateway>, shutdown: &CancellationToken) {
    let mut looks = every(CLIENT_KEYS_EVERY);
    let mut told = client_keys::Told::default();
    while is_next(&mut looks, shutdown).await {
        if let Err(error) = client_keys::look(gateway, &mut told).await {
            tracing::error!(%error, "client keys could not be looked at; it is tried again");
        }
    }
}

/// Looks at the files of client certificates, again and again.
async fn watch_certificates(gateway: &Arc<Gateway>, shutdown: &CancellationToken) {
    let mut looks = every(CERTIFICATES_EVERY);
    let mut told = certificates::Told::default();
    while is_next(&mut looks, shutdown).await {
        if let Err(error) = certificates::look(gateway, &mut told).await {
            tracing::error!(%error, "client certificates could not be looked at; it is tried again");
        }
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

/// Deletes what was kept long enough, gives up what is too old and looks after members, again and again.
async fn upkeep(gateway: &Arc<Gateway>, shutdown: &CancellationToken) {
    let mut looks = every_look();
    let mut upkeep = Upkeep::default();
    while is_next(&mut looks, shutdown).await {
        if let Err(error) = deadlines::upkeep(gateway, &mut upkeep).await {
            tracing::error!(%error, "what was kept long enough could not be deleted; it is tried again");
        }
    }
}

/// Looks at what institutions show of themselves, again and again.
async fn watch_institutions(gateway: &Gateway, shutdown: &CancellationToken) {
    let mut looks = every_look();
    let mut watch = Watch::default();
    while is_next(&mut looks, shutdown).await {
        let looking = watch::go_on(gateway, &mut watch);
        // A look is cut off at the end: the next one sees the same.
        let looked = tokio::select! {
            looked = looking => looked,
            () = shutdown.cancelled() => return,
        };
        if let Err(error) = looked {
            tracing::debug!(%error, "institutions could not be looked at; it is tried again");
        }
    }
}

fn every_look() -> Interval {
    every(LOOK_EVERY)
}

fn every(pause: Duration) -> Interval {
    let mut looks = tokio::time::interval(pause);
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
