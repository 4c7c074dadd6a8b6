//! People who go through the whole flow: mint, open, authorize, callback, result. Each has connections
//! that stay open and starts every flow with no cookies; the next flow begins when the last one ended.
//!
//! [`run`] is what gateways see: everybody is somewhere else. [`leg_by_leg`] has everybody take the same leg, so
//! that what is used meanwhile is what this leg costs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, RETRY_AFTER, SET_COOKIE,
};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

/// The parts of a flow whose time is taken, in their order.
pub const LEGS: [&str; 4] = ["mint", "open", "callback", "result"];

/// Whom the flows go through, and how many.
#[derive(Clone)]
pub struct Load {
    /// Where the gateways listen; each request goes to the next one.
    pub gateways: Vec<SocketAddr>,
    /// Where the bank does.
    pub bank: SocketAddr,
    /// The value of `Authorization` for minting.
    pub authorization: String,
    /// Users that the members are spread over.
    pub spread: usize,
    /// People under way at once.
    pub people: usize,
    /// The number of the first flow: each number has its user.
    pub first: usize,
    /// Flows in all.
    pub flows: usize,
}

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// Flows that ended on the page `connected`.
    pub completed: usize,
    /// What went wrong in others, and how often.
    pub failures: BTreeMap<String, usize>,
    /// The times of every leg, in [`LEGS`]' order.
    pub times: [Vec<Duration>; LEGS.len()],
    /// Mints that were refused for a while, because too much was asked at once.
    pub refused: usize,
    /// From the first flow's start to the last one's end.
    pub took: Duration,
}

/// Runs the load to its end.
pub async fn run(load: &Load) -> anyhow::Result<Seen> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut people = JoinSet::new();
    for _ in 0..load.people {
        people.spawn(person(load.clone(), next.clone()));
    }
    let mut all = Seen::default();
    while let Some(seen) = people.join_next().await {
        all.add(seen??);
    }
    all.took = begun.elapsed();
    Ok(all)
}

/// p50, p95 and p99 of sorted times.
pub fn percentiles(sorted: &[Duration]) -> [Duration; 3] {
    let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1) * percent / 100);
    [50, 95, 99].map(|percent| at(percent).copied().unwrap_or_default())
}

impl Seen {
    /// p50, p95 and p99 of each leg.
    pub fn percentiles(&mut self) -> [[Duration; 3]; LEGS.len()] {
        self.times.each_mut().map(|times| {
            times.sort_unstable();
            percentiles(times)
        })
    }

    /// Adds what somebody else saw beside it.
    pub fn add(&mut self, seen: Self) {
        self.completed += seen.completed;
        self.refused += seen.refused;
        for (failure, times) in seen.failures {
            *self.failures.entry(failure).or_default() += times;
        }
        for (all, seen) in self.times.iter_mut().zip(seen.times) {
            all.extend(seen);
        }
    }
}

async fn person(load: Load, next: Arc<AtomicUsize>) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut browser = Browser::start(&load).await?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        seen.refused += std::mem::take(&mut browser.refused);
        if number >= load.flows {
            return Ok(seen);
        }
        match browser.flow(&load, load.first + number).await {
            Ok(times) => {
                seen.completed += 1;
                for (all, time) in seen.times.iter_mut().zip(times) {
                    all.push(time);
                }
            }
            Err(error) => {
                *seen.failures.entry(format!("{error:#}")).or_default() += 1;
                browser = Browser::start(&load).await?;
            }
        }
    }
}

/// Runs the load leg by leg: the times of each leg, and what `used` grew by during it. The first failure ends it.
pub async fn leg_by_leg<U: std::ops::Sub<Output = U> + Copy>(
    load: &Load,
    used: impl Fn() -> anyhow::Result<U>,
) -> anyhow::Result<Vec<(Vec<Duration>, U)>> {
    let mut people = Vec::with_capacity(load.people);
    for person in 0..load.people {
        let flows: Vec<Flow> = (person..load.flows)
            .step_by(load.people)
            .map(|number| Flow::new(load.first + number))
            .collect();
        people.push((Browser::start(load).await?, flows));
    }
    let mut legs = Vec::with_capacity(LEGS.len());
    for leg in 0..LEGS.len() {
        let before = used()?;
        let mut under_way = JoinSet::new();
        for (mut browser, mut flows) in people.drain(..) {
            let load = load.clone();
            under_way.spawn(async move {
                let mut times = Vec::with_capacity(flows.len());
                for flow in &mut flows {
                    times.push(browser.take(leg, &load, flow).await?);
                }
                anyhow::Ok((browser, flows, times))
            });
        }
        let mut times = Vec::with_capacity(load.flows);
        while let Some(done) = under_way.join_next().await {
            let (browser, flows, taken) = done??;
            people.push((browser, flows));
            times.extend(taken);
        }
        legs.push((times, used()? - before));
    }
    Ok(legs)
}

/// Reads these addresses of the first gateway, `load.people` of them at once; the time of each.
pub async fn reads(load: &Load, paths: Vec<String>) -> anyhow::Result<Vec<Duration>> {
    let paths = Arc::new(paths);
    let mut readers = JoinSet::new();
    for reader in 0..load.people {
        let (load, paths) = (load.clone(), paths.clone());
        readers.spawn(async move {
            let mut gateway = Connection::open(load.gateways[0]).await?;
            let mut times = Vec::new();
            for path in paths.iter().skip(reader).step_by(load.people) {
                let begun = Instant::now();
                let read = gateway.send(reading(&load, path), "").await?;
                times.push(begun.elapsed());
                ensure!(read.status.is_success(), "{path}: {}", read.status);
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(read) = readers.join_next().await {
        times.extend(read??);
    }
    Ok(times)
}

/// Reads one address of the first gateway.
pub async fn read(load: &Load, path: &str) -> anyhow::Result<Value> {
    let mut gateway = Connection::open(load.gateways[0]).await?;
    let read = gateway.send(reading(load, path), "").await?;
    ensure!(read.status.is_success(), "{path}: {}", read.status);
    Ok(serde_json::from_slice(&read.body)?)
}

fn reading(load: &Load, path: &str) -> hyper::http::request::Builder {
    Request::get(path)
        .header(AUTHORIZATION, &load.authorization)
        .header(ACCEPT, "application/json")
}

/// A flow under way.
struct Flow {
    number: usize,
    /// What its browser holds.
    cookie: String,
    /// Where it goes next.
    next: String,
}

impl Flow {
    fn new(number: usize) -> Self {
        Self {
            number,
            cookie: String::new(),
            next: String::new(),
        }
    }
}

struct Browser {
    gateways: Vec<Connection>,
    bank: Connection,
    /// Mints that were refused for a while.
    refused: usize,
}

impl Browser {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let mut gateways = Vec::with_capacity(load.gateways.len());
        for gateway in &load.gateways {
            gateways.push(Connection::open(*gateway).await?);
        }
        Ok(Self {
            gateways,
            bank: Connection::open(load.bank).await?,
            refused: 0,
        })
    }

    /// One flow to the page `connected`; how long each leg took.
    async fn flow(&mut self, load: &Load, number: usize) -> anyhow::Result<[Duration; LEGS.len()]> {
        let mut flow = Flow::new(number);
        let mut times = [Duration::ZERO; LEGS.len()];
        for (leg, time) in times.iter_mut().enumerate() {
            *time = self.take(leg, load, &mut flow).await?;
        }
        Ok(times)
    }

    /// One leg of a flow; how long it took.
    async fn take(&mut self, leg: usize, load: &Load, flow: &mut Flow) -> anyhow::Result<Duration> {
        let taken = match leg {
            0 => self.mint(load, flow).await,
            1 => self.open(flow).await,
            2 => self.call_back(flow).await,
            _ => self.result(flow).await,
        };
        taken.context(LEGS[leg])
    }

    /// Sends a request to the next gateway.
    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: &'static str,
    ) -> anyhow::Result<Response> {
        self.gateways.rotate_left(1);
        self.gateways[0].send(request, body).await
    }

    /// Mints once the gateway has time for it; how long it took then.
    async fn mint(&mut self, load: &Load, flow: &mut Flow) -> anyhow::Result<Duration> {
        let user = scattered(flow.number, load.spread);
        let (begun, minted) = loop {
            let begun = Instant::now();
            let mint = Request::post(format!("/users/u{user}/members"))
                .header(AUTHORIZATION, &load.authorization)
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/json");
            let body = r#"{"member":{"institution_code":"bench","is_oauth":true}}"#;
            let minted = self.send(mint, body).await?;
            if minted.status != StatusCode::SERVICE_UNAVAILABLE {
                break (begun, minted);
            }
            self.refused += 1;
            let after = minted.headers.get(RETRY_AFTER).context("503")?.to_str()?;
            tokio::time::sleep(Duration::from_secs(after.parse()?)).await;
        };
        let took = begun.elapsed();
        ensure!(minted.status.is_success(), "{}", minted.status);
        let minted: Value = serde_json::from_slice(&minted.body)?;
        let link = minted["member"]["oauth_window_uri"].as_str();
        flow.next = path(link.context("no link")?)?;
        Ok(took)
    }

    /// Opens the link, and agrees at the bank.
    async fn open(&mut self, flow: &mut Flow) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let opened = self.send(navigation(&flow.next), "").await?;
        let took = begun.elapsed();
        flow.cookie = opened.cookie();
        let at_the_bank = path(opened.leads_to(StatusCode::FOUND)?)?;
        let agreed = self.bank.send(navigation(&at_the_bank), "").await;
        let agreed = agreed.context("authorize")?;
        flow.next = path(agreed.leads_to(StatusCode::FOUND).context("authorize")?)?;
        Ok(took)
    }

    async fn call_back(&mut self, flow: &mut Flow) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let returned = navigation(&flow.next).header(COOKIE, &flow.cookie);
        let returned = self.send(returned, "").await?;
        let took = begun.elapsed();
        flow.next = path(returned.leads_to(StatusCode::SEE_OTHER)?)?;
        Ok(took)
    }

    async fn result(&mut self, flow: &mut Flow) -> anyhow::Result<Duration> {
        let mut took = Duration::ZERO;
        // Under load an exchange may take longer than the callback waits: the page then asks again.
        for _ in 0..30 {
            let begun = Instant::now();
            let page = navigation(&flow.next).header(COOKIE, &flow.cookie);
            let page = self.send(page, "").await?;
            took += begun.elapsed();
            let text = String::from_utf8_lossy(&page.body);
            if text.contains("data-page=\"connected\"") {
                return Ok(took);
            }
            if !text.contains("data-page=\"connecting\"") {
                bail!("{}", page.status);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        bail!("still connecting after a minute")
    }
}

/// The next of so many, in an order without neighbours: whatever was used a moment ago is not used again.
pub fn scattered(number: usize, of: usize) -> usize {
    // A prime that divides no number of users that anybody measures with.
    number * 7919 % of
}

/// The path and query of an address.
fn path(address: &str) -> anyhow::Result<String> {
    let address: Url = address.parse()?;
    Ok(address[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

/// A GET as browsers send it when a person goes somewhere.
fn navigation(path: &str) -> hyper::http::request::Builder {
    Request::get(path)
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36",
        )
        .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("accept-language", "en-GB,en;q=0.9")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-user", "?1")
}

/// A connection that is used for one request after another.
struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Connection {
    async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            host: to.to_string(),
            sender,
        })
    }

    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: &'static str,
    ) -> anyhow::Result<Response> {
        let request = request.header(HOST, &self.host);
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes())))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}

impl Response {
    fn leads_to(&self, expected: StatusCode) -> anyhow::Result<&str> {
        ensure!(self.status == expected, "{}", self.status);
        let to = self.headers.get(LOCATION).context("no Location")?;
        Ok(to.to_str()?)
    }

    /// What a browser would send back.
    fn cookie(&self) -> String {
        let set = self.headers.get_all(SET_COOKIE).iter();
        let pairs = set.filter_map(|set| set.to_str().ok()?.split(';').next());
        pairs.collect::<Vec<_>>().join("; ")
    }
}
