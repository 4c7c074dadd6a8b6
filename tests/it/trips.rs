//! How often a whole flow waits for Redis: each wait is a round trip, and what is asked side by side is one.

use std::path::Path;

use serde_json::json;
use url::Url;

use crate::support::gateway::{BANK, Backend, Setup, TestGateway, eventually};
use crate::support::process::{Guarded, free_port};
use crate::support::redis::Redis;
use crate::support::visitor::{Visitor, http};

/// How many times the server has read what somebody sent.
fn reads(redis: &Redis) -> u64 {
    let stats = redis.command("INFO stats");
    let name = "total_reads_processed:";
    let line = stats.lines().find_map(|line| line.strip_prefix(name));
    line.expect("Redis counts them")
        .trim()
        .parse()
        .expect("a number")
}

/// What each leg of a flow costs, the least of several, because the gateways look for what is due meanwhile. Every
/// second request is served at that port.
async fn least(redis: &Redis, gateway: &TestGateway, other: u16) -> [u64; 4] {
    let asking = (0..10).map(|_| {
        let before = reads(redis);
        reads(redis) - before
    });
    let asking = asking.min().expect("ten");
    let (status, answer) = gateway
        .platform("POST", "/users", Some(json!({"user": {}})))
        .await;
    assert_eq!(status, 200, "{answer}");
    let user = answer["user"]["guid"].as_str().expect("a guid");
    let members = format!("/users/{user}/members");
    let mut least = [u64::MAX; 4];
    for _ in 0..6 {
        let visitor = Visitor::new();
        let mut next: Option<Url> = None;
        for (leg, trips) in least.iter_mut().enumerate() {
            let before = reads(redis);
            next = Some(match next {
                None => {
                    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
                    let (_, answer) = gateway.platform("POST", &members, Some(body)).await;
                    let link = answer["member"]["oauth_window_uri"].as_str();
                    link.expect("a link").parse().expect("a URL")
                }
                Some(url) => {
                    let mut here = url.clone();
                    if leg % 2 == 1 {
                        here.set_port(Some(other)).expect("it has ports");
                    }
                    let page = visitor.get(&here).await;
                    match page.location() {
                        Some(to) if to.origin() == gateway.bank.authorize_url().origin() => {
                            gateway.bank.code_for(&to).url()
                        }
                        Some(result) => result,
                        None => {
                            assert_eq!(page.name(), Some("connected"));
                            url
                        }
                    }
                }
            });
            *trips = (*trips).min(reads(redis) - before - asking);
        }
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_24_a_whole_flow_waits_eight_times_for_redis_and_less_where_it_was_seen_before() {
    let redis = Redis::start();
    let setup = Setup {
        store: Some(redis.url()),
        without_aggregator: true,
        hook_events: Some("[\"member.deleted\"]"),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Redis, setup).await;
    let (public, operator) = (free_port(), free_port());
    let port = |url: &Url| url.port().expect("a port");
    let listen = |port: u16| format!("\"127.0.0.1:{port}\"");
    let text = std::fs::read_to_string(gateway.file()).expect("a configuration");
    let text = text
        .replace(&listen(port(&gateway.url)), &listen(public))
        .replace(&listen(port(&gateway.operator)), &listen(operator));
    let folder = gateway.folder.path();
    let file = folder.join("other.toml");
    std::fs::write(&file, text).expect("a file");
    let program = Path::new(env!("CARGO_BIN_EXE_guichet"));
    let arguments = ["serve".as_ref(), "--config".as_ref(), file.as_os_str()];
    let _other = Guarded::start(program, arguments, &folder.join("other.log"), None);
    let ready = format!("http://127.0.0.1:{operator}/readyz");
    eventually(async || {
        let response = http().get(&ready).send().await.ok()?;
        (response.status() == 200).then_some(())
    })
    .await;

    // API key beside user, creation; opening; claim and commit; result.
    let here = port(&gateway.url);
    assert_eq!(
        least(&redis, &gateway, here).await,
        [2, 1, 2, 1],
        "as one gateway has seen it"
    );
    // Opening and claiming read first.
    let elsewhere = least(&redis, &gateway, public).await;
    assert_eq!(elsewhere, [2, 2, 3, 1], "each request at the other gateway");
}
