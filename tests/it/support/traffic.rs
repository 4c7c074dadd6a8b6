//! People who connect, one after the other and without pause, and what became of each of them.
//!
//! Programs send a request again when they are asked to, and people load a page again as it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guichet::domain::id::{ClientId, UserGuid};
use guichet::flow::access;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, sleep, timeout};
use url::Url;

use super::gateway::{BANK, CLIENT, TestGateway};
use super::loopback::Recorded;
use super::visitor::{Page, Visitor, http};

/// How long a person or a program goes on trying.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many are under way at a time.
const AT_A_TIME: usize = 40;

/// More than any deadline of a flow and its tries.
const PAST_ALL: Duration = Duration::from_secs(2 * 60 * 60);

/// How one person fared.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Which of them.
    pub number: usize,
    /// The person.
    pub user: UserGuid,
    /// The member that was made for it, if its program was told.
    pub member: Option<String>,
    /// The last page that was seen.
    pub page: String,
    /// When it began.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Flow {
    /// Whether the person was told "connected".
    pub fn is_connected(&self) -> bool {
        self.page == "connected"
    }
}

/// The people.
pub struct Traffic {
    gateway: Arc<TestGateway>,
    ended: Arc<Mutex<Vec<Flow>>>,
    is_over: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

impl Traffic {
    /// Makes that many users, and lets one of them after the other connect, each so long after the last.
    pub async fn start(gateway: &Arc<TestGateway>, users: usize, pace: Duration) -> Self {
        let mut known = Vec::new();
        for _ in 0..users {
            let body = Some(json!({"user": {}}));
            let (status, answer) = gateway.platform("POST", "/users", body).await;
            assert_eq!(status, 200, "{answer}");
            let guid = answer["user"]["guid"].as_str().expect("a guid");
            known.push(guid.parse::<UserGuid>().expect("a guid"));
        }
        let ended: Arc<Mutex<Vec<Flow>>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let running = {
            let (gateway, ended, is_over) = (gateway.clone(), ended.clone(), is_over.clone());
            tokio::spawn(async move {
                let room = Arc::new(Semaphore::new(AT_A_TIME));
                let mut people = JoinSet::new();
                let mut ticks = interval(pace);
                let numbers = AtomicUsize::new(0);
                while !is_over.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let place = room.clone().acquire_owned().await.expect("it is open");
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    let user = known[number % known.len()];
                    let (gateway, ended) = (gateway.clone(), ended.clone());
                    people.spawn(async move {
                        let flow = connect(&gateway, user, number).await;
                        ended.lock().expect("no panic").push(flow);
                        drop(place);
                    });
                }
                while let Some(person) = people.join_next().await {
                    person.expect("no panic");
                }
            })
        };
        Self {
            gateway: gateway.clone(),
            ended,
            is_over,
            running,
        }
    }

    /// Those who have come to an end so far.
    pub fn ended(&self) -> Vec<Flow> {
        self.ended.lock().expect("no panic").clone()
    }

    /// Waits until so many people are connected who began after this was called.
    pub async fn connects(&self, count: usize) {
        self.connects_where(count, |_| true).await;
    }

    /// The same, where only those count.
    pub async fn connects_where(&self, count: usize, counts: impl Fn(&Flow) -> bool) {
        let begun = Instant::now();
        loop {
            let ended = self.ended();
            let later = ended.iter().filter(|it| it.began > begun && counts(it));
            if later.filter(|it| it.is_connected()).count() >= count {
                return;
            }
            let last: Vec<&Flow> = ended.iter().rev().take(10).collect();
            assert!(begun.elapsed() < PATIENCE, "nobody connects: {last:#?}");
            // Between two looks at the condition, not instead of one.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets nobody begin any more, and waits for those under way.
    pub async fn end(self) -> Vec<Flow> {
        self.is_over.store(true, Ordering::Relaxed);
        self.running.await.expect("no panic");
        self.ended.lock().expect("no panic").clone()
    }

    /// The same, and accounts for each of them.
    pub async fn account(self) -> Vec<Flow> {
        let gateway = self.gateway.clone();
        let flows = self.end().await;
        account_for(&gateway, &flows).await;
        flows
    }
}

/// One person, from the first request of the program to the last page.
async fn connect(gateway: &TestGateway, user: UserGuid, number: usize) -> Flow {
    let began = Instant::now();
    let mut flow = Flow {
        number,
        user,
        member: None,
        page: "nothing".to_owned(),
        began,
        took: Duration::ZERO,
    };
    let going = async {
        let link = minted(gateway, &mut flow).await;
        let visitor = Visitor::new();
        let page = opened(&visitor, &link).await;
        let page = match page.location() {
            Some(authorization) if page.url.origin() != authorization.origin() => {
                let callback = gateway.bank.code_for(&authorization).url();
                returned(&visitor, &callback).await
            }
            _ => page,
        };
        flow.page = page.name().unwrap_or("no page").to_owned();
    };
    if timeout(PATIENCE, going).await.is_err() {
        flow.page = "gave up".to_owned();
    }
    flow.took = began.elapsed();
    flow
}

/// The program asks for a member, under one key until it is answered, and gives its link.
async fn minted(gateway: &TestGateway, flow: &mut Flow) -> Url {
    let name = format!("flow-{}", flow.number);
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true, "metadata": name}});
    loop {
        let request = http()
            .post(gateway.at(&format!("/users/{}/members", flow.user)))
            .basic_auth(CLIENT, Some(&gateway.api_key))
            .header("idempotency-key", &name)
            .json(&body);
        let response = request.send().await.expect("a response");
        let (status, wait) = (response.status(), wait(response.headers()));
        let answer: Value = response.json().await.expect("JSON");
        if status.is_success() {
            let member = &answer["member"];
            flow.member = member["guid"].as_str().map(str::to_owned);
            let link = member["oauth_window_uri"].as_str().expect("a link");
            return link.parse().expect("a URL");
        }
        assert!(status == 503 || status == 409, "{status}: {answer}");
        sleep(wait).await;
    }
}

/// Follows the link until it leads to the bank, or to a page that does not change by itself.
async fn opened(visitor: &Visitor, link: &Url) -> Page {
    let mut page = visitor.get(link).await;
    loop {
        page = match page.name() {
            Some("busy") => {
                sleep(wait(&page.headers)).await;
                visitor.get(link).await
            }
            Some("used" | "resume") if page.button("continue").is_some() => {
                visitor.press(&page, "continue").await
            }
            _ => return page,
        };
    }
}

/// Comes back from the bank, and waits for the outcome.
async fn returned(visitor: &Visitor, callback: &Url) -> Page {
    let mut page = visitor.get(callback).await;
    loop {
        let next = match (page.name(), page.location()) {
            (Some("busy" | "connecting"), _) => {
                sleep(wait(&page.headers)).await;
                page.url.clone()
            }
            (_, Some(next)) if next.origin() == page.url.origin() => next,
            _ => return page,
        };
        page = visitor.get(&next).await;
    }
}

/// How long a response asks to wait.
fn wait(headers: &reqwest::header::HeaderMap) -> Duration {
    let seconds = ["retry-after", "refresh"].iter().find_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        value.split(';').next()?.trim().parse().ok()
    });
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Every flow is accounted for: none is lost whose person was told "connected", none doubled, and none is left
/// unfinished when its deadline has passed.
async fn account_for(gateway: &TestGateway, flows: &[Flow]) {
    let codes = gateway.bank.token_requests();
    let codes: Vec<_> = codes.iter().map(|it| it.field("code")).collect();
    let distinct: BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len(), "a code was sent twice");

    let connected = flows.iter().filter(|flow| flow.is_connected());
    let connected: BTreeSet<String> = connected.filter_map(|flow| flow.member.clone()).collect();
    let told = |received: &[Recorded]| connected.is_subset(&succeeded(received));
    // What was taken up before a failover is due again after a while.
    gateway.pass(Duration::from_secs(91));
    gateway.hooks.wait_for(told, PATIENCE).await;
    for is_past in [false, true] {
        if is_past {
            gateway.pass(PAST_ALL);
        }
        let users: BTreeSet<UserGuid> = flows.iter().map(|flow| flow.user).collect();
        for user in users {
            let theirs = flows.iter().filter(|flow| flow.user == user);
            let theirs: Vec<&Flow> = theirs.collect();
            account_for_user(gateway, user, &theirs, is_past).await;
        }
    }
    told_once(&gateway.hooks.received());
}

async fn account_for_user(gateway: &TestGateway, user: UserGuid, flows: &[&Flow], is_past: bool) {
    let session = session(gateway, user).await;
    let read = async |path: &str| {
        let (status, answer) = gateway
            .call("GET", path, None, |request| {
                request.header("MD-SESSION-TOKEN", &session)
            })
            .await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let mut names = BTreeMap::new();
    for page in 1.. {
        let members = read(&format!("/members?page={page}&records_per_page=100")).await;
        let members = members["members"].as_array().expect("a list").clone();
        for member in &members {
            let (name, guid) = (&member["metadata"], &member["guid"]);
            let earlier = names.insert(name.to_string(), guid.clone());
            assert_eq!(earlier, None, "{name} became two members");
        }
        if members.len() < 100 {
            break;
        }
    }
    for flow in flows {
        let Some(member) = &flow.member else { continue };
        if flow.is_connected() {
            let answer = read(&format!("/members/{member}")).await;
            let status = &answer["member"]["connection_status"];
            assert_eq!(status, "CONNECTED", "{flow:?}: {answer}");
        } else if !names.values().any(|guid| guid == member) {
            // It was made a moment before its server died, and its program may be told that it is unknown.
            continue;
        }
        let begun = Instant::now();
        loop {
            let answer = read(&format!("/oauth_states?outbound_member_guid={member}")).await;
            let states = answer["oauth_states"].as_array().expect("a list").clone();
            let is = |status: u64| {
                states
                    .iter()
                    .filter(|it| it["auth_status"] == status)
                    .count()
            };
            if flow.is_connected() {
                assert_eq!((is(2), states.len()), (1, 1), "{flow:?}: {answer}");
            }
            if !is_past || is(1) == 0 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "stuck: {flow:?}: {answer}");
            // Between two looks at the condition, not instead of one.
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn session(gateway: &TestGateway, user: UserGuid) -> String {
    let client: ClientId = CLIENT.parse().expect("a client id");
    let user = access::user(&gateway.inside, &client, &user.to_string()).await;
    let user = user.expect("a step").expect("the user");
    let token = access::api_token(&gateway.inside, &user).await;
    let session = access::begin_session(&gateway.inside, &token.expect("a token")).await;
    session
        .expect("a step")
        .expect("a session")
        .expose()
        .to_owned()
}

/// The members whose success was told.
pub fn succeeded(received: &[Recorded]) -> BTreeSet<String> {
    let ends = received.iter().map(Recorded::json);
    let ends = ends.filter(|body| body["oauth_state"]["auth_status"] == 2);
    let members = ends.filter_map(|body| {
        let member = body["oauth_state"]["inbound_member_guid"].as_str()?;
        Some(member.to_owned())
    });
    members.collect()
}

/// No event has two bodies, and no end of a window is told by two events.
fn told_once(received: &[Recorded]) {
    let mut bodies: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    for event in received {
        let id = event.header("webhook-id").expect("an id").to_owned();
        let earlier = bodies.insert(id.clone(), &event.body);
        assert!(
            earlier.is_none_or(|it| it == event.body),
            "{id} has two bodies"
        );
        let body = event.json();
        if body["action"] == "finished" && body["oauth_state"].is_object() {
            let state = body["oauth_state"]["guid"].to_string();
            let earlier = ends.insert(state.clone(), id.clone());
            assert!(earlier.is_none_or(|it| it == id), "{state} ended twice");
        }
    }
}
