//! The window as a state machine: whatever steps come in whatever order, the invariants hold.

use std::collections::{BTreeMap, HashSet};

use guichet::domain::event::EventKind;
use guichet::domain::id::{MemberGuid, OauthStateGuid};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::window::{
    Ending, ErrorReason, OpenPolicy, Window, WindowOptions, WindowStatus,
};
use guichet::store::{Claimed, Opened, Opening, Retried, Retry, VisitKind, WindowQuery};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Bench;
use super::fixtures::{LEG, LINK, Linked, Visited, at, opened_by};

on_each_store!(every_order_of_steps_keeps_the_invariants);

/// Sequences of steps that are tried.
const CASES: u32 = 48;

/// One thing that happens to the member. Numbers choose among what is there, newest first.
#[derive(Clone, Debug)]
enum Step {
    Mint(OpenPolicy),
    Open {
        link: usize,
        by: usize,
        kind: VisitKind,
    },
    Answer {
        attempt: usize,
        is_bound: bool,
    },
    Commit {
        link: usize,
    },
    Fail {
        link: usize,
        ending: Ending,
    },
    Sweep,
    TryAgain {
        attempt: usize,
    },
    Wait {
        seconds: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let policy = prop_oneof![
        Just(OpenPolicy::Single),
        Just(OpenPolicy::Interstitial),
        Just(OpenPolicy::Multi)
    ];
    let kind = prop_oneof![
        Just(VisitKind::Navigate),
        Just(VisitKind::Begin),
        Just(VisitKind::Continue)
    ];
    let link = 0..3_usize;
    let attempt = 0..4_usize;
    let step = prop_oneof![
        2 => policy.prop_map(Step::Mint),
        6 => (link.clone(), attempt.clone(), kind)
            .prop_map(|(link, by, kind)| Step::Open { link, by, kind }),
        5 => (attempt.clone(), prop::bool::weighted(0.9))
            .prop_map(|(attempt, is_bound)| Step::Answer { attempt, is_bound }),
        4 => link.clone().prop_map(|link| Step::Commit { link }),
        3 => link.prop_map(|link| Step::Fail { link, ending: Ending::Failed }),
        1 => Just(Step::Sweep),
        3 => attempt.prop_map(|attempt| Step::TryAgain { attempt }),
        1 => (1..LINK).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..40)
}

/// One member and all that was done to it.
struct World<'a> {
    bench: &'a Bench,
    now: Timestamp,
    first: Linked,
    links: Vec<Linked>,
    visits: Vec<Visited>,
    /// Windows as they were when they were first seen finished.
    finished: BTreeMap<OauthStateGuid, Window>,
    /// How many times the store said that a response may be exchanged, by window.
    exchanged: Vec<OauthStateGuid>,
    member: Member,
}

/// The `number`th from the end, counted round.
fn newest<T>(items: &[T], number: usize) -> Option<&T> {
    let number = number.checked_rem(items.len())?;
    items.iter().rev().nth(number)
}

impl World<'_> {
    fn is_about(&self, member: MemberGuid) -> bool {
        member == self.first.member.guid
    }

    async fn take(&mut self, step: Step) {
        let store = &self.bench.store;
        let partition = self.first.user.guid.partition();
        match step {
            Step::Mint(policy) => {
                let mut window = self
                    .bench
                    .a_window(partition, self.now + SignedDuration::from_secs(LINK));
                window.options = opened_by(policy);
                let (user, member) = (self.first.user.guid, self.first.member.guid);
                let told = self
                    .bench
                    .a_notice(partition, EventKind::OauthStateFinished);
                let minted = store
                    .mint_window(user, member, &window, &told, self.now)
                    .await;
                minted.expect("answered").expect("the member is there");
                self.links.push(Linked {
                    window: window.guid,
                    ..self.first.clone()
                });
            }
            Step::Open { link, by, kind } => {
                let Some(linked) = newest(&self.links, link).cloned() else {
                    return;
                };
                let opening = Opening {
                    browser: newest(&self.visits, by)
                        .map(Visited::browser)
                        .unwrap_or_default(),
                    ..self.bench.an_opening(&linked, kind, self.now)
                };
                let opened = store
                    .open_window(&opening, self.now)
                    .await
                    .expect("answered");
                if let Opened::Claimed(_) = opened {
                    let attempt = opening.attempt;
                    self.visits.push(Visited { linked, attempt });
                }
            }
            Step::Answer { attempt, is_bound } => {
                let Some(visited) = newest(&self.visits, attempt) else {
                    return;
                };
                let mut claim = self.bench.a_claim(visited);
                if !is_bound {
                    claim.browser.clear();
                }
                match store
                    .claim_callback(&claim, self.now)
                    .await
                    .expect("answered")
                {
                    Claimed::Accepted { subject, .. } | Claimed::Burnt(subject) => {
                        self.exchanged.push(subject.window.guid);
                    }
                    Claimed::Ignored | Claimed::Unknown | Claimed::Waiting { .. } => {
                        panic!("the attempt is known, the policy is to burn")
                    }
                    Claimed::Settled => {}
                }
            }
            Step::Commit { link } => {
                let Some(linked) = newest(&self.links, link).cloned() else {
                    return;
                };
                let attempt = self.bench.an_attempt(partition, self.now);
                let connection = self.bench.a_connection(&Visited { linked, attempt });
                store
                    .commit_connected(&connection, self.now)
                    .await
                    .expect("answered");
            }
            Step::Fail { link, ending } => {
                let Some(linked) = newest(&self.links, link) else {
                    return;
                };
                let failure = self.bench.a_failure(linked, ending);
                store
                    .fail_window(&failure, self.now)
                    .await
                    .expect("answered");
            }
            Step::Sweep => {
                let overdue = store
                    .overdue_windows(self.now, 1000)
                    .await
                    .expect("answered");
                // A case that failed left its own behind.
                for window in overdue
                    .into_iter()
                    .filter(|window| self.is_about(window.member))
                {
                    let linked = Linked {
                        window: window.guid,
                        ..self.first.clone()
                    };
                    let failure = self.bench.a_failure(&linked, Ending::Expired);
                    store
                        .fail_window(&failure, self.now)
                        .await
                        .expect("answered");
                }
            }
            Step::TryAgain { attempt } => {
                let Some(failed) = newest(&self.visits, attempt).cloned() else {
                    return;
                };
                let deadline = self.now + SignedDuration::from_secs(LEG);
                let retry = Retry {
                    failed: failed.attempt.id.clone(),
                    browser: failed.browser(),
                    window: self.bench.a_window(partition, deadline),
                    attempt: self.bench.an_attempt(partition, deadline),
                };
                let retried = store
                    .retry_window(&retry, self.now)
                    .await
                    .expect("answered");
                if let Retried::Claimed(_) = retried {
                    let linked = Linked {
                        window: retry.window.guid,
                        ..failed.linked
                    };
                    self.links.push(linked.clone());
                    let attempt = retry.attempt;
                    self.visits.push(Visited { linked, attempt });
                }
            }
            Step::Wait { seconds } => self.now += SignedDuration::from_secs(seconds),
        }
    }

    /// What must hold after every step.
    async fn check(&mut self) {
        let query = WindowQuery {
            member: Some(self.first.member.guid),
            auth_status: None,
            limit: 1000,
        };
        let windows = self.bench.store.windows(self.first.user.guid, query).await;
        let windows = windows.expect("answered");
        let member = self.bench.member_now(&self.first).await.expect("kept");
        assert_eq!(
            windows.len(),
            self.links.len(),
            "no window is made or lost on the way"
        );
        let unfinished: Vec<&Window> = windows
            .iter()
            .filter(|window| !window.status.is_finished())
            .collect();
        assert!(
            unfinished.len() <= 1,
            "one unfinished window at most: {unfinished:#?}"
        );
        for window in &unfinished {
            assert_eq!(
                member.latest_window,
                Some(window.guid),
                "and it is the newest"
            );
        }
        for (guid, before) in &self.finished {
            let after = windows.iter().find(|window| window.guid == *guid);
            assert_eq!(after, Some(before), "what is finished does not change");
        }
        let connected = windows
            .iter()
            .any(|window| window.status == WindowStatus::Succeeded);
        assert_eq!(connected, member.status == ConnectionStatus::Connected);
        assert_eq!(connected, member.current_job.is_some());
        let exchanged: HashSet<_> = self.exchanged.iter().collect();
        assert_eq!(
            exchanged.len(),
            self.exchanged.len(),
            "one answer of a window is taken up"
        );
        for window in &windows {
            let was_taken_up = exchanged.contains(&window.guid);
            let unbound = WindowStatus::Errored(ErrorReason::SessionError, Ending::Unbound);
            let needs_answer = [WindowStatus::Returned, WindowStatus::Succeeded, unbound];
            assert!(
                was_taken_up || !needs_answer.contains(&window.status),
                "{window:#?}"
            );
            let inbound = (window.status == WindowStatus::Succeeded).then_some(member.guid);
            assert_eq!(window.inbound, inbound);
            if window.status.is_finished() {
                self.finished
                    .entry(window.guid)
                    .or_insert_with(|| window.clone());
            }
        }
        if member != self.member {
            assert!(
                member.revision > self.member.revision,
                "every change is a revision"
            );
        }
        self.member = member;
    }

    /// The ends of windows and the events that tell them.
    async fn check_told(&self) {
        let mut told: Vec<_> = self.bench.told(self.now).await;
        told.retain(|event| {
            event.kind == EventKind::OauthStateFinished && self.is_about(event.member.guid)
        });
        assert_eq!(told.len(), self.finished.len(), "every end is told once");
        for event in told {
            let window = event.window.expect("it is about one");
            assert_eq!(self.finished.get(&window.guid), Some(&window));
        }
    }
}

async fn play(bench: &Bench, steps: Vec<Step>) {
    let first = bench.linked(WindowOptions::default()).await;
    let mut world = World {
        bench,
        now: at(1),
        links: vec![first.clone()],
        visits: Vec::new(),
        finished: BTreeMap::new(),
        exchanged: Vec::new(),
        member: first.member.clone(),
        first,
    };
    for step in steps {
        world.take(step).await;
        world.check().await;
    }
    world.check_told().await;
}

async fn every_order_of_steps_keeps_the_invariants(bench: Bench) {
    let handle = tokio::runtime::Handle::current();
    let tried = tokio::task::spawn_blocking(move || {
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config).run(&steps(), |steps| {
            handle.block_on(play(&bench, steps));
            Ok(())
        })
    });
    if let Err(error) = tried.await.expect("the runner catches panics") {
        panic!("{error}");
    }
}
