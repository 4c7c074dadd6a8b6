//! Connections: bounded in number and in time.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use guichet::serve::descriptors;
use reqwest::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use url::Url;

use crate::support::gateway::{Backend, TestGateway, eventually};
use crate::support::process::Guarded;

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
