//! Kill -9 in the middle of refreshes, at a server from elsewhere that rotates refresh tokens and ends a chain of them
//! when one comes twice: a chain lives, or its end is told.

use std::collections::HashSet;
use std::time::Duration;

use guichet::domain::duty::DutyKind;
use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use crate::support::aggregation::{distinct, job, report};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::interop::{ELSEWHERE, ELSEWHERE_GUID};
use crate::support::loopback::Recorded;
use crate::support::relay::{Hold, Relay, Seen};
use crate::support::served::Served;
use crate::support::settings::AGGREGATOR_KEY;
use crate::support::visitor::http;

const LIMIT: Duration = Duration::from_secs(20);
/// How long the server's access tokens are valid: so short that each lease needs a new one.
const ACCESS: Duration = Duration::from_secs(30);
/// How many leases there are at once.
const LEASES: usize = 50;
/// In how many parts the process dies fifty times. In each fewer chains can be lost than put the brake on.
const PARTS: u64 = 2;
/// How often it dies in each way in a part.
const CYCLES: u64 = 5;
/// With what a successor lets pass first, more than how long nobody else refreshes after a process died.
const FENCE: Duration = Duration::from_secs(30);
/// A little more than the wait after a refresh whose outcome is unknown.
const DOUBT: Duration = Duration::from_secs(601);
/// More than a refresh that is due is with whoever took it up, and less than is left of the wait.
const UNDER_WAY: Duration = Duration::from_secs(6 * 60);

crate::on_both_stores!(killed_during_refreshes_fifty_times_chains_live_or_their_end_is_told,);

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Once somebody was lent a new token; others may be waiting for the next.
    Lent,
    /// That long after the server's response was passed on.
    Answered(Duration),
    /// While the server's response is on the way: the chain is lost.
    Unanswered,
    /// While the request is on the way: the server does not hear of it.
    Unasked,
    /// That long after the leases were asked for, wherever the refresh is then.
    Asked(Duration),
}

impl Death {
    /// Those of a part, at moments that no other has.
    fn all(part: u64) -> impl Iterator<Item = Self> {
        (0..CYCLES).flat_map(move |cycle| {
            let nth = part * CYCLES + cycle;
            [
                Self::Lent,
                Self::Answered(Duration::from_millis(2 * nth)),
                Self::Unanswered,
                Self::Unasked,
                Self::Asked(Duration::from_millis(8 * nth)),
            ]
        })
    }
}

/// A gateway as a process, the server from elsewhere, and a relay between them.
struct World {
    served: Served,
    relay: Relay,
}

impl World {
    async fn start(backend: Backend) -> Self {
        let setup = Setup {
            elsewhere: Some(ACCESS),
            ..Setup::default()
        };
        let mut served = Served::with(backend, setup).await;
        let elsewhere = served.gateway.elsewhere.as_ref().expect("asked for");
        let endpoint = elsewhere.endpoints.token_endpoint.clone();
        let relay = Relay::to(&endpoint).await;
        served.kill();
        let (there, here) = (endpoint.as_str(), relay.url());
        // Its clock stays behind when time passes here, so its ID tokens would be from long ago.
        let swaps = [(there, here.as_str()), ("\"openid\", ", "")];
        served.gateway.rewrite_institution(ELSEWHERE, &swaps);
        served.serve().await;
        Self { served, relay }
    }

    fn gateway(&self) -> &TestGateway {
        &self.served.gateway
    }

    /// A member that has just been connected, and the job that follows.
    async fn connected(&self) -> (MemberGuid, String) {
        let body = json!({"member": {"institution_guid": ELSEWHERE_GUID, "is_oauth": true}});
        let (member, link) = self.gateway().member_with(body).await;
        (member, self.connect(member, &link).await)
    }

    /// The person follows the link and agrees; the job that follows.
    async fn connect(&self, member: MemberGuid, link: &Url) -> String {
        let (gateway, visitor) = (self.gateway(), self.gateway().visitor());
        let before = pushed(&gateway.aggregator.received(), member).len();
        let authorization = gateway.open(&visitor, link).await;
        let elsewhere = gateway.elsewhere.as_ref().expect("asked for");
        let page = visitor.follow(&elsewhere.agree(&authorization).await).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        self.nth_job(member, before + 1).await
    }

    /// A further job of the member.
    async fn ordered(&self, member: MemberGuid) -> String {
        let gateway = self.gateway();
        let before = pushed(&gateway.aggregator.received(), member).len();
        let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
        let (status, response) = gateway.platform("POST", &path, None).await;
        assert_eq!(status, 202, "{response}");
        self.nth_job(member, before + 1).await
    }

    async fn nth_job(&self, member: MemberGuid, nth: usize) -> String {
        let enough = |pushes: &[Recorded]| pushed(pushes, member).len() >= nth;
        let pushes = self.gateway().aggregator.wait_for(enough, LIMIT).await;
        job(pushed(&pushes, member)[nth - 1])
    }

    /// The job is done.
    async fn done(&self, job: &str) {
        let succeeded = json!({"status": "succeeded"});
        let (status, job) = report(self.gateway(), job, succeeded).await;
        assert_eq!((status, &*job), (200, "SUCCEEDED"));
    }

    /// Whether the server takes that access token.
    async fn is_good(&self, token: &str) -> bool {
        let elsewhere = self.gateway().elsewhere.as_ref().expect("asked for");
        elsewhere.honours(token).await
    }

    /// Asks for the token of a job; none if the process dies, or says that there is none now.
    fn lent(&self, job: &str) -> impl Future<Output = Option<String>> + use<> {
        let path = format!("/aggregation/jobs/{job}/lease");
        let request = http().post(self.gateway().at(&path));
        async move {
            let request = request.bearer_auth(AGGREGATOR_KEY);
            let text = request.send().await.ok()?.text().await.ok()?;
            let lease: Value = serde_json::from_str(&text).ok()?;
            lease["access_token"].as_str().map(str::to_owned)
        }
    }

    /// Many ask for it at once.
    fn leases(&self, job: &str) -> JoinSet<Option<String>> {
        (0..LEASES).map(|_| self.lent(job)).collect()
    }

    /// Many ask at once for the token of a job, the process dies, and the next one starts. Whether the chain is known
    /// to live.
    async fn round(&mut self, death: Death, job: &str) -> bool {
        let before = self.relay.seen();
        self.relay.hold(match death {
            Death::Unasked => Hold::Requests,
            Death::Unanswered => Hold::Responses,
            Death::Lent | Death::Answered(_) | Death::Asked(_) => Hold::Nothing,
        });
        let mut leases = self.leases(job);
        let mut tokens = HashSet::new();
        match death {
            Death::Lent => {
                let first = leases.join_next().await.expect("a lease");
                tokens.insert(first.expect("no panic").expect("a token"));
            }
            Death::Answered(later) => {
                let is_answered = |seen: &Seen| seen.answered > before.answered;
                self.relay.wait_for(is_answered).await;
                tokio::time::sleep(later).await;
            }
            Death::Unanswered | Death::Unasked => {
                self.relay.wait_for(|seen| seen.held > before.held).await;
            }
            Death::Asked(later) => tokio::time::sleep(later).await,
        }
        self.served.kill();
        tokens.extend(leases.join_all().await.into_iter().flatten());
        self.relay.hold(Hold::Nothing);
        self.served.serve().await;
        for token in &tokens {
            assert!(self.is_good(token).await, "{death:?}: it was lent");
        }
        let is_kept = !tokens.is_empty();
        // Where the next refresh was under way already, that takes long. Then it is looked at in the end.
        let soon = Duration::from_secs(if is_kept { 2 } else { 0 });
        let again = tokio::time::timeout(soon, self.lent(job)).await;
        let again = again.ok().flatten();
        if let Some(token) = &again {
            assert!(
                self.is_good(token).await,
                "{death:?}: a new process lent it"
            );
        }
        self.done(job).await;
        again.is_some()
    }

    async fn status(&self, member: MemberGuid) -> (String, Value) {
        let gateway = self.gateway();
        let path = format!("/users/{}/members/{member}", gateway.user);
        let (status, response) = gateway.platform("GET", &path, None).await;
        assert_eq!(status, 200, "{response}");
        let member = &response["member"];
        let name = member["connection_status"].as_str().expect("a status");
        (name.to_owned(), member["connection_status_reason"].clone())
    }

    /// Lets time pass, and waits until what was due then has been done.
    async fn pass(&self, time: Duration) {
        let gateway = self.gateway();
        gateway.pass(time);
        eventually(async || {
            let queues = gateway.inside.store.queues().await.expect("counted");
            let refreshes = queues.kinds().get(&DutyKind::Refresh).copied();
            let next = refreshes.and_then(|queued| queued.due_at);
            let soon = gateway.clock.now() + UNDER_WAY;
            next.is_none_or(|next| next > soon).then_some(())
        })
        .await;
    }

    /// The end of the member's connection was told, once.
    async fn told_once(&self, member: MemberGuid) {
        let guid = member.to_string();
        let told = |told: &[Recorded]| {
            let told = distinct(told).into_iter().map(Recorded::json);
            let is_it = |it: &Value| {
                let of = &it["member"];
                let is_lost = of["connection_status"] == "IMPAIRED";
                it["action"] == "updated" && of["guid"] == guid.as_str() && is_lost
            };
            told.filter(is_it).count()
        };
        let hooks = &self.gateway().hooks;
        let received = hooks.wait_for(|it| told(it) >= 1, LIMIT).await;
        assert_eq!(told(&received), 1);
    }

    /// A new consent for a member.
    async fn connect_again(&self, member: MemberGuid) -> String {
        let gateway = self.gateway();
        let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
        let (_, minted) = gateway.platform("GET", &path, None).await;
        let link = minted["member"]["oauth_window_uri"].as_str();
        let link = link.and_then(|link| link.parse().ok()).expect("a link");
        self.connect(member, &link).await
    }
}

/// The pushes for a member.
fn pushed(pushes: &[Recorded], member: MemberGuid) -> Vec<&Recorded> {
    let member = json!(member);
    let pushes = pushes.iter();
    pushes
        .filter(|it| it.json()["member_guid"] == member)
        .collect()
}

async fn killed_during_refreshes_fifty_times_chains_live_or_their_end_is_told(backend: Backend) {
    for part in 0..PARTS {
        let mut world = World::start(backend).await;
        let mut chains = Vec::new();
        let early = world.connected().await;
        let token = world.lent(&early.1).await.expect("a token");
        world.done(&early.1).await;

        let mut going_on = None;
        for death in Death::all(part) {
            let (member, job) = match going_on.take() {
                Some(member) => (member, world.ordered(member).await),
                None => world.connected().await,
            };
            match world.round(death, &job).await {
                true => going_on = Some(member),
                false => chains.push((member, Some(death))),
            }
        }
        chains.extend(going_on.map(|member| (member, None)));

        // Half a minute, once: then that token has ended.
        if part == 0 {
            eventually(async || (!world.is_good(&token).await).then_some(())).await;
        }
        let job = world.ordered(early.0).await;
        let tokens = world.leases(&job).join_all().await;
        let tokens: Option<HashSet<String>> = tokens.into_iter().collect();
        for token in tokens.expect("each lease has a token") {
            assert!(world.is_good(&token).await);
        }
        world.done(&job).await;
        chains.push((early.0, None));

        // Whatever is in doubt is tried again, twice.
        world.served.succeed().await;
        world.pass(FENCE).await;
        for _ in 0..3 {
            world.pass(DOUBT).await;
        }
        let mut lost = 0;
        for (member, death) in &chains {
            let (status, reason) = world.status(*member).await;
            let job = match (&*status, reason.as_str()) {
                ("CONNECTED", None) => {
                    assert_ne!(*death, Some(Death::Unanswered), "{member}: lost in silence");
                    world.ordered(*member).await
                }
                ("IMPAIRED", Some("REFRESH_LOST")) => {
                    let may_be = death.is_some_and(|death| death != Death::Unasked);
                    assert!(
                        may_be,
                        "{member}: lost, and the server has it still: {death:?}"
                    );
                    world.told_once(*member).await;
                    lost += 1;
                    world.connect_again(*member).await
                }
                other => panic!("{member} is {other:?} after {death:?}"),
            };
            let token = world.lent(&job).await;
            let token = token.unwrap_or_else(|| panic!("{member} is dead after {death:?}"));
            assert!(world.is_good(&token).await, "{member} after {death:?}");
            world.done(&job).await;
        }
        println!("{} chains, {lost} of them lost and told", chains.len());
    }
}
