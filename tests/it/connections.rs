//! Connections: bounded in number and in time, and handed over when a gateway stops.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use guichet::serve::descriptors;
use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use url::Url;

use crate::support::gateway::{Backend, CLIENT, Setup, TestGateway, eventually};
use crate::support::process::{Guarded, free_port};
use crate::support::program;
use crate::support::redis::Redis;

/// A connection from `source` that asks for much and takes next to nothing.
async fn reader_that_never_reads(source: Ipv4Addr, to: &Url) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.bind((source, 0).into()).expect("a loopback address");
    let port = to.port().expect("a port");
    let stream = socket
        .connect((Ipv4Addr::LOCALHOST, port).into())
        .await
        .ok()?;
    let asking = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64);
    // A connection that was refused takes nothing; what is left of it counts as a reader as well.
    let _ = stream.try_write(asking.as_bytes());
    Some(stream)
}

/// Asks from `source` over a connection of its own; the status of the answer, if one comes.
async fn ask_from(source: Ipv4Addr, url: Url) -> Option<u16> {
    let client = Client::builder()
        .local_address(std::net::IpAddr::from(source))
        .pool_max_idle_per_host(0)
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("a client");
    Some(client.get(url).send().await.ok()?.status().as_u16())
}

/// A gateway in a process of its own, with 1 024 descriptors, met by 1 300 readers that never read: from
/// one source, and from ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_keep_nobody_else_out() {
    descriptors::raise();
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    gateway.stop().await;
    for sources in [1, 10] {
        let log = gateway.folder.path().join(format!("flooded-{sources}.log"));
        let program = env!("CARGO_BIN_EXE_guichet");
        let file = gateway.file();
        let limited = r#"ulimit -n 1024; exec "$0" serve --config "$1""#;
        let arguments = [
            "-c".as_ref(),
            limited.as_ref(),
            program.as_ref(),
            file.as_os_str(),
        ];
        let process = Guarded::start(Path::new("sh"), arguments, &log, None);
        let readiness = gateway.operator.join("readyz").expect("a path");
        let is_ready = async || {
            let status = ask_from(Ipv4Addr::LOCALHOST, readiness.clone()).await;
            status.filter(|status| *status == 200)
        };
        eventually(is_ready).await;

        let mut readers = Vec::new();
        for number in (0..sources).cycle().take(1300) {
            let source = Ipv4Addr::new(127, 0, 1, 1 + number);
            readers.push(reader_that_never_reads(source, &gateway.url).await);
        }
        // Nobody is kept out: the operator, somebody else, and somebody at the same source.
        for source in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 1, 1)] {
            let public = gateway.at("/openapi.json");
            eventually(async || ask_from(source, public.clone()).await).await;
            for _ in 0..5 {
                let status = ask_from(source, public.clone()).await;
                assert_eq!(status, Some(200), "{source}: {}", process.log());
            }
        }
        assert_eq!(is_ready().await, Some(200), "the operator");
        let metrics = eventually(async || {
            let metrics = gateway.metrics().await;
            metrics
                .contains("guichet_connections{door=\"public\"}")
                .then_some(metrics)
        })
        .await;
        let open = metrics
            .lines()
            .find_map(|line| line.strip_prefix("guichet_connections{door=\"public\"} "));
        let open: f64 = open.and_then(|open| open.parse().ok()).expect("a number");
        let most = if sources == 1 { 208.0 + 8.0 } else { 416.0 };
        assert!(open <= most, "{open} of {most}: {metrics}");
        let count = |name: &str| {
            let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
            lines
                .filter_map(|count| count.parse::<f64>().ok())
                .sum::<f64>()
        };
        // How fast the readers came decides whether they found no place or somebody else's.
        let full = if sources == 1 { "source" } else { "all" };
        let refused = count(&format!(
            "guichet_connections_refused_total{{reason=\"{full}\"}} "
        ));
        let made_room = count("guichet_connections_cut_total{reason=\"room\"} ");
        assert!(refused + made_room >= 1300.0 - most, "{metrics}");
        assert!(
            !metrics.contains("guichet_accept_errors_total 1"),
            "{metrics}"
        );
        let said = process.log();
        let lines = said.lines().filter(|line| {
            line.contains("every place is taken") || line.contains("their peers kept us waiting")
        });
        let lines = lines.count();
        assert!((1..100).contains(&lines), "{lines} lines: {said}");

        let stopping = Instant::now();
        drop(process);
        let took = stopping.elapsed();
        assert!(took < Duration::from_secs(15), "the stop took {took:?}");
        drop(readers);
    }
}

/// Who stops half-way, in a head, in a body or while being answered, is let go of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_half_way_is_let_go_of() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let address = (Ipv4Addr::LOCALHOST, gateway.url.port().expect("a port"));
    let send = async |text: &str| {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    };
    let in_head = send("GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Sl").await;
    let in_body = send(
        "POST /sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"se",
    )
    .await;
    let idle = send("").await;
    let reader = reader_that_never_reads(Ipv4Addr::LOCALHOST, &gateway.url).await;
    let to_the_end = async |mut stream: TcpStream| {
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_secs(40), stream.read_to_string(&mut text));
        read.await.expect("let go of in time").expect("text");
        text
    };
    let (head, body, nothing) =
        tokio::join!(to_the_end(in_head), to_the_end(in_body), to_the_end(idle));
    assert_eq!((head.as_str(), nothing.as_str()), ("", ""));
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
    assert!(body.contains("did not arrive"), "{body}");
    let slow = "guichet_connections_cut_total{reason=\"slow\"} 1";
    eventually(async || gateway.metrics().await.contains(slow).then_some(())).await;
    drop(reader);
}

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

/// haproxy in front of two gateways: health checks, and no second tries.
fn balancer(folder: &Path, port: u16, stats: u16, gateways: &[(u16, u16)]) -> Guarded {
    let servers: String = gateways
        .iter()
        .enumerate()
        .map(|(number, (public, operator))| {
            format!(
                "    server g{number} 127.0.0.1:{public} check port {operator} inter 200ms fall 1 rise 1\n"
            )
        })
        .collect();
    let text = format!(
        "global\n    maxconn 500\ndefaults\n    mode http\n    retries 0\n    timeout connect 5s\n    \
         timeout client 30s\n    timeout server 30s\n    timeout check 5s\n\
         frontend door\n    bind 127.0.0.1:{port}\n    option forwardfor\n    default_backend gateways\n\
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
    let text = crate::support::visitor::http().get(url).send().await.ok()?;
    let text = text.text().await.ok()?;
    let rows = text.lines().filter(|line| line.starts_with("gateways,g"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        Some((cells[7].parse().ok()?, cells[17].starts_with("UP")))
    });
    rows.collect()
}

/// Two gateways on one Redis, restarted one after the other under load: no request fails.
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
        let readiness: Url = readiness.parse().expect("a URL");
        eventually(async || {
            let status = ask_from(Ipv4Addr::LOCALHOST, readiness.clone()).await;
            status.filter(|status| *status == 200)
        })
        .await;
    }
    let (port, stats) = (free_port(), free_port());
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
                while !is_over.load(Ordering::Relaxed) {
                    let request = match number % 3 {
                        0 => client.get(&user),
                        1 => client.post(&users).json(&json!({"user": {}})),
                        _ => client.get(&openapi),
                    };
                    let answer = request.basic_auth(CLIENT, Some(&key)).send().await;
                    match answer {
                        Ok(answer) if answer.status() == 200 => {
                            done.fetch_add(1, Ordering::Relaxed)
                        }
                        other => {
                            failed.push(format!("{other:?}"));
                            0
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(2)).await;
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
    for (number, gateway) in both.iter_mut().enumerate() {
        let stopping = gateway.process.take().expect("it runs");
        // Told to stop, it is waited for until it has ended, while the load goes on.
        let stopped = tokio::task::spawn_blocking(move || {
            let log = stopping.log();
            drop(stopping);
            log
        });
        stopped.await.expect("it ends");
        answered_more(50).await;
        gateway.start();
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
