//! People who go through the whole flow: mint, open, authorize, callback, result. Each has connections
//! that stay open and starts every flow with no cookies; the next flow begins when the last one ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
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
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where the bank does.
    pub bank: SocketAddr,
    /// The value of `Authorization` for minting.
    pub authorization: String,
    /// Users that the members are spread over.
    pub spread: usize,
    /// People under way at once.
    pub people: usize,
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
        let seen = seen??;
        all.completed += seen.completed;
        for (failure, times) in seen.failures {
            *all.failures.entry(failure).or_default() += times;
        }
        for (all, seen) in all.times.iter_mut().zip(seen.times) {
            all.extend(seen);
        }
    }
    all.took = begun.elapsed();
    Ok(all)
}

async fn person(load: Load, next: Arc<AtomicUsize>) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut browser = Browser::start(&load).await?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.flows {
            return Ok(seen);
        }
        match browser.flow(&load, number).await {
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

struct Browser {
    gateway: Connection,
    bank: Connection,
}

impl Browser {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        Ok(Self {
            gateway: Connection::open(load.gateway).await?,
            bank: Connection::open(load.bank).await?,
        })
    }

    /// One flow to the page `connected`; how long each leg took.
    async fn flow(&mut self, load: &Load, number: usize) -> anyhow::Result<[Duration; LEGS.len()]> {
        let mut times = [Duration::ZERO; LEGS.len()];

        let begun = Instant::now();
        let mint = Request::post(format!("/users/u{}/members", number % load.spread))
            .header(AUTHORIZATION, &load.authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json");
        let body = r#"{"member":{"institution_code":"bench","is_oauth":true}}"#;
        let minted = self.gateway.send(mint, body).await.context("mint")?;
        times[0] = begun.elapsed();
        ensure!(minted.status.is_success(), "mint: {}", minted.status);
        let minted: Value = serde_json::from_slice(&minted.body).context("mint")?;
        let link = minted["member"]["oauth_window_uri"].as_str();
        let link = link.context("mint: no link")?;

        let begun = Instant::now();
        let opened = self
            .gateway
            .send(navigation(path(link)?), "")
            .await
            .context("open")?;
        times[1] = begun.elapsed();
        let cookie = opened.cookie();
        let at_the_bank = opened.leads_to(StatusCode::FOUND).context("open")?;

        let agreed = navigation(path(at_the_bank)?);
        let agreed = self.bank.send(agreed, "").await.context("authorize")?;
        let back = agreed.leads_to(StatusCode::FOUND).context("authorize")?;

        let begun = Instant::now();
        let returned = navigation(path(back)?).header(COOKIE, &cookie);
        let returned = self.gateway.send(returned, "").await.context("callback")?;
        times[2] = begun.elapsed();
        let outcome = path(
            returned
                .leads_to(StatusCode::SEE_OTHER)
                .context("callback")?,
        )?;

        // Under load an exchange may take longer than the callback waits: the page then asks again.
        for _ in 0..30 {
            let begun = Instant::now();
            let page = navigation(outcome.clone()).header(COOKIE, &cookie);
            let page = self.gateway.send(page, "").await.context("result")?;
            times[3] += begun.elapsed();
            let text = String::from_utf8_lossy(&page.body);
            if text.contains("data-page=\"connected\"") {
                return Ok(times);
            }
            if !text.contains("data-page=\"connecting\"") {
                bail!("result: {}", page.status);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        bail!("result: still connecting after a minute")
    }
}

/// The path and query of an address.
fn path(address: &str) -> anyhow::Result<String> {
    let address: Url = address.parse()?;
    Ok(address[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

/// A GET as browsers send it when a person goes somewhere.
fn navigation(path: String) -> hyper::http::request::Builder {
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
