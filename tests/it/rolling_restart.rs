//! A rolling restart: what one gateway had begun ends well, and the other one takes over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Client;
use serde_json::json;
use tokio::time::interval;
use url::Url;

use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::{Backend, CLIENT, Setup, TestGateway, eventually};
use crate::support::process::{Guarded, free_port};
use crate::support::program;
use crate::support::redis::Redis;
use crate::support::visitor::{Visitor, http};

/// A gateway of two behind a real haproxy.
struct Behind {
    log: PathBuf,
    file: PathBuf,
    process: Option<Guarded>,
}

impl Behind {
    fn start(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_guichet"));
        let arguments = ["serve".as_ref(), "--config".as_ref(), self.file.as_os_str()];
        self.process = Some(Guarded::start(program, arguments, &self.log, None));
    }
}

/// haproxy in front of two gateways: health checks, and no second tries. `X-Gateway` names one of them.
fn balancer(folder: &Path, port: u16, stats: u16, gateways: &[(u16, u16)]) -> Guarded {
    let servers: String = gateways
        .iter()
        .enumerate()
        .map(|(number, (public, operator))| {
            format!(
                "    use-server g{number} if {{ req.hdr(x-gateway) g{number} }}\n    \
                 server g{number} 127.0.0.1:{public} check port {operator} inter 200ms fall 1 rise 1\n"
            )
        })
        .collect();
    let text = format!(
        "global\n    maxconn 500\ndefaults\n    mode http\n    retries 0\n    timeout connect 5s\n    \
         timeout client 30s\n    timeout server 30s\n    timeout check 5s\n\
         frontend public\n    bind 127.0.0.1:{port}\n    option forwardfor\n    default_backend gateways\n\
         frontend stats\n    bind 127.0.0.1:{stats}\n    stats enable\n    stats uri /\n\
         backend gateways\n    balance roundrobin\n    option httpchk GET /readyz\n    http-check expect status 200\n{servers}"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).expect("a file");
    let program = program("GUICHET_TEST_HAPROXY", "/usr/sbin/haproxy");
    let arguments = ["-db".as_ref(), "-f".as_ref(), file.as_os_str()];
    Guarded::start(&program, arguments, &folder.join("haproxy.log"), None)
}

/// How many requests each gateway has had of haproxy, and whether it is up there.
async fn seen_by(stats: u16) -> Option<Vec<(u64, bool)>> {
    let url = format!("http://127.0.0.1:{stats}/;csv");
    let text = http().get(url).send().await.ok()?;
    let text = text.text().await.ok()?;
    let rows = text.lines().filter(|line| line.starts_with("gateways,g"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        Some((cells[7].parse().ok()?, cells[17].starts_with("UP")))
    });
    rows.collect()
}

/// Two gateways on one Redis, restarted one after the other under load, each while the bank keeps somebody's
/// token response back: no request fails, and the person is connected and told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request() {
    let redis = Redis::start();
    let setup = Setup {
        store: Some(redis.url()),
        swaps: vec![(
            "drain_seconds = 0",
            "drain_seconds = 3\ntrusted_proxies = [\"127.0.0.1\"]",
        )],
        ..Setup::default()
    };
    let mut gateway = TestGateway::with(Backend::Redis, setup).await;
    gateway.stop().await;
    let folder = gateway.folder.path();
    let text = std::fs::read_to_string(gateway.file()).expect("a configuration");
    let mut ports = Vec::new();
    let mut both: Vec<Behind> = Vec::new();
    for number in 0..2 {
        let (public, operator) = (free_port(), free_port());
        let address = |url: &Url| format!("\"127.0.0.1:{}\"", url.port().expect("a port"));
        let text = text
            .replace(&address(&gateway.url), &format!("\"127.0.0.1:{public}\""))
            .replace(
                &address(&gateway.operator),
                &format!("\"127.0.0.1:{operator}\""),
            );
        let file = folder.join(format!("gateway-{number}.toml"));
        std::fs::write(&file, text).expect("a file");
        ports.push((public, operator));
        both.push(Behind {
            log: folder.join(format!("gateway-{number}.log")),
            file,
            process: None,
        });
    }
    both.iter_mut().for_each(Behind::start);
    // haproxy takes its servers for up until a check says otherwise.
    for (_, operator) in &ports {
        let readiness = format!("http://127.0.0.1:{operator}/readyz");
        eventually(async || {
            let response = http().get(&readiness).send().await.ok()?;
            (response.status() == 200).then_some(())
        })
        .await;
    }
    // haproxy stands where links and the bank lead to.
    let (port, stats) = (gateway.url.port().expect("a port"), free_port());
    let haproxy = balancer(folder, port, stats, &ports);
    let are_up = async || {
        let seen = seen_by(stats).await.unwrap_or_default();
        (seen.len() == 2 && seen.iter().all(|(_, is_up)| *is_up)).then_some(seen)
    };
    eventually(are_up).await;

    let is_over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let client = Client::builder().no_proxy().build().expect("a client");
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let (users, openapi) = (at("/users"), at("/openapi.json"));
    let (user, key) = (at("/users/user-1"), gateway.api_key.clone());
    let load: Vec<_> = (0..6)
        .map(|number| {
            let (is_over, done, client) = (is_over.clone(), done.clone(), client.clone());
            let (users, user, openapi, key) =
                (users.clone(), user.clone(), openapi.clone(), key.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                let mut pace = interval(Duration::from_millis(5));
                while !is_over.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let request = match number % 3 {
                        0 => client.get(&user),
                        1 => client.post(&users).json(&json!({"user": {}})),
                        _ => client.get(&openapi),
                    };
                    let response = request.basic_auth(CLIENT, Some(&key)).send().await;
                    match response {
                        Ok(response) if response.status() == 200 => {
                            done.fetch_add(1, Ordering::Relaxed)
                        }
                        other => {
                            failed.push(format!("{other:?}"));
                            0
                        }
                    };
                }
                failed
            })
        })
        .collect();
    let answered_more = async |count: usize| {
        let before = done.load(Ordering::Relaxed);
        eventually(async || (done.load(Ordering::Relaxed) > before + count).then_some(())).await;
    };
    answered_more(50).await;
    for (number, restarted) in both.iter_mut().enumerate() {
        let (visitor, gate) = (Visitor::new(), Gate::closed());
        let (member, link) = gateway.member().await;
        let authorization = gateway.open(&visitor, &link).await;
        gateway.bank.next_token(Behaviour::Hold(gate.clone()));
        let callback = gateway.bank.code_for(&authorization).url();
        let here = format!("g{number}");
        let returned = visitor.get_with(&callback, &[("X-Gateway", &here)]).await;
        let result = returned.location().expect("the outcome's address");
        let exchanges = gateway.bank.hits().token;
        assert_eq!(exchanges, number + 1, "it is under way");

        let stopping = restarted.process.take().expect("it runs");
        // Told to stop, it is waited for until it has ended, while the load goes on.
        let stopped = tokio::task::spawn_blocking(move || drop(stopping));
        // Its listeners are closed, and it waits for the bank.
        let said = || std::fs::read_to_string(&restarted.log).expect("a log");
        let waits = "waiting for exchanges and deliveries";
        eventually(async || said().contains(waits).then_some(())).await;
        let page = visitor.get(&result).await;
        assert_eq!(page.name(), Some("connecting"), "{}", page.body);
        gate.open();
        let page = visitor.follow_from(page).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("connected")),
            "{}",
            page.body
        );
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
        stopped.await.expect("it ends");
        assert!(said().contains(": stopped"), "{}", said());
        answered_more(50).await;
        restarted.start();
        eventually(are_up).await;
        let before = are_up().await.expect("both are up")[number].0;
        eventually(async || (seen_by(stats).await?[number].0 > before + 20).then_some(())).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for load in load {
        let failed = load.await.expect("no panic");
        assert_eq!(failed, Vec::<String>::new(), "{}", haproxy.log());
    }
}
