//! Connections: bounded in number, in time and in what they leave behind.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guichet::serve::descriptors;
use reqwest::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;
use url::Url;

use crate::support::gateway::{BANK, Backend, CLIENT, TestGateway, eventually};
use crate::support::process::Guarded;

/// A socket of `source` on the way to `to`, for whoever takes next to nothing.
async fn connect_from(source: Ipv4Addr, to: &Url) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.bind((source, 0).into()).expect("a loopback address");
    let port = to.port().expect("a port");
    let to = (Ipv4Addr::LOCALHOST, port).into();
    socket.connect(to).await.ok()
}

/// A connection from `source` that asks for much and takes next to nothing.
async fn reader_that_never_reads(source: Ipv4Addr, to: &Url) -> Option<TcpStream> {
    let stream = connect_from(source, to).await?;
    let asking = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64);
    // A connection that was refused takes nothing; what is left of it counts as a reader as well.
    let _ = stream.try_write(asking.as_bytes());
    Some(stream)
}

/// Asks from `source` over a connection of its own; the status of the response, if one comes.
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

/// `guichet serve` in a process of its own, in the place of `gateway`, which was stopped, with what `ulimit`
/// makes of its number of descriptors. It is ready.
async fn serve_within(gateway: &TestGateway, limits: &str, log: &str) -> Guarded {
    let log = gateway.folder.path().join(log);
    let program = env!("CARGO_BIN_EXE_guichet");
    let file = gateway.file();
    let limited = format!(r#"ulimit {limits}; exec "$0" serve --config "$1""#);
    let arguments = [
        "-c".as_ref(),
        limited.as_ref(),
        program.as_ref(),
        file.as_os_str(),
    ];
    let process = Guarded::start(Path::new("sh"), arguments, &log, None);
    let readiness = gateway.operator.join("readyz").expect("a path");
    eventually(async || {
        let status = ask_from(Ipv4Addr::LOCALHOST, readiness.clone()).await;
        status.filter(|status| *status == 200)
    })
    .await;
    process
}

/// What the gateway has counted as `series`, if there is such a series yet.
async fn counted(gateway: &TestGateway, series: &str) -> Option<f64> {
    let metrics = gateway.metrics().await;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

/// How many connections the public listener has.
const OPEN: &str = "guichet_connections{door=\"public\"}";

/// How many made room for others.
const MADE_ROOM: &str = "guichet_connections_cut_total{reason=\"room\"}";

/// How many descriptors the process may have.
const DESCRIPTORS: &str = "process_max_fds";

/// How many the system would not hand over.
const ACCEPT_ERRORS: &str = "guichet_accept_errors_total{}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_raises_the_soft_limit_of_descriptors_to_the_hard_one() {
    let hard = u32::try_from(descriptors::hard_limit()).expect("a limit");
    assert!(hard > 256, "there is nothing to raise to");
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    gateway.stop().await;
    let _process = serve_within(&gateway, "-S -n 256", "raised.log").await;
    let descriptors = eventually(async || counted(&gateway, DESCRIPTORS).await).await;
    assert_eq!(descriptors, f64::from(hard));
}

/// A gateway in a process of its own, with 1 024 descriptors, met by 1 300 readers that never read: from
/// one source, and from ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_keep_nobody_else_out() {
    descriptors::raise();
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    gateway.stop().await;
    for sources in [1, 10] {
        let process = serve_within(&gateway, "-n 1024", &format!("flooded-{sources}.log")).await;

        let (began, mut readers) = (Instant::now(), Vec::new());
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
        let readiness = gateway.operator.join("readyz").expect("a path");
        let status = ask_from(Ipv4Addr::LOCALHOST, readiness).await;
        assert_eq!(status, Some(200), "the operator");
        let open = eventually(async || counted(&gateway, OPEN).await).await;
        let most = if sources == 1 { 208.0 + 8.0 } else { 416.0 };
        assert!(open <= most, "{open} of {most}");
        // How fast the readers came decides whether they found no place or somebody else's.
        let full = if sources == 1 { "source" } else { "all" };
        let refused = format!("guichet_connections_refused_total{{reason=\"{full}\"}}");
        let refused = counted(&gateway, &refused).await.expect("a count");
        let made_room = counted(&gateway, MADE_ROOM).await.expect("a count");
        assert!(
            refused + made_room >= 1300.0 - most,
            "{refused} {made_room}"
        );
        assert_eq!(counted(&gateway, ACCEPT_ERRORS).await, Some(0.0));
        let said = process.log();
        let lines = said.lines().filter(|line| {
            line.contains("every place is taken") || line.contains("their peers kept us waiting")
        });
        let lines = lines.count();
        // In ten seconds ten of each source, ten that name none, and a sum of either.
        let periods = usize::try_from(began.elapsed().as_secs() / 10).expect("a while") + 2;
        let most = (usize::from(sources) * 10 + 12) * periods;
        assert!((1..=most).contains(&lines), "{lines} lines: {said}");

        let stopping = Instant::now();
        drop(process);
        let took = stopping.elapsed();
        assert!(took < Duration::from_secs(15), "the stop took {took:?}");
        drop(readers);
    }
}

/// Writes `text` at once, and then `part` again and again, one every `pause`, until the other end has
/// enough or `times` were sent; the response.
fn trickle(
    mut stream: TcpStream,
    text: String,
    part: String,
    pause: Duration,
    times: usize,
) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (mut reading, mut writing) = stream.split();
        let sending = async {
            writing.write_all(text.as_bytes()).await?;
            let mut pace = interval(pause);
            for _ in 0..times {
                pace.tick().await;
                writing.write_all(part.as_bytes()).await?;
            }
            Ok::<(), std::io::Error>(())
        };
        let mut response = Vec::new();
        let reading = async {
            let mut chunk = [0; 4096];
            while let Ok(bytes @ 1..) = reading.read(&mut chunk).await {
                response.extend_from_slice(&chunk[..bytes]);
            }
        };
        // Sent or not: what counts is what came back.
        let (_, ()) = tokio::join!(sending, reading);
        String::from_utf8(response).expect("text")
    })
}

/// A POST's head, for a body of so many bytes.
fn head_of_post(path: &str, length: usize, fields: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{fields}\r\n"
    )
}

/// A body near the limit from a telephone on a bad line, 5 kB a second; the response.
async fn upload_of_a_phone(gateway: &TestGateway) -> JoinHandle<String> {
    let key = STANDARD.encode(format!("{CLIENT}:{}", gateway.api_key));
    let (times, part) = (24, " ".repeat(2560));
    let user = r#"{"user":{}}"#;
    let length = user.len() + times * part.len();
    let authorization = format!("Authorization: Basic {key}\r\n");
    let head = head_of_post("/users", length, &authorization) + user;
    let stream = connect_from(Ipv4Addr::LOCALHOST, &gateway.url).await;
    let stream = stream.expect("a connection");
    trickle(stream, head, part, Duration::from_millis(500), times)
}

/// Who stops half-way, in a head, in a body or while receiving the response, is let go of, and so is who
/// sends a body in crumbs. Who is only slow is served.
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
    let in_crumbs = trickle(
        send("").await,
        head_of_post("/sessions", 100, ""),
        "{".to_owned(),
        Duration::from_secs(5),
        100,
    );
    // Wherever a body is read: under a key for doing it once, and in a browser.
    let key = STANDARD.encode(format!("{CLIENT}:{}", gateway.api_key));
    let once = format!("Authorization: Basic {key}\r\nIdempotency-Key: one\r\n");
    let in_keyed = send(&head_of_post("/users", 100, &once)).await;
    let callback = format!("/oauth/redirect_from/{CLIENT}/{BANK}");
    let in_form = send(&head_of_post(&callback, 100, "Accept: text/html\r\n")).await;
    let phone = upload_of_a_phone(&gateway).await;
    let idle = send("").await;
    let reader = reader_that_never_reads(Ipv4Addr::LOCALHOST, &gateway.url).await;
    let to_the_end = async |mut stream: TcpStream| {
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut text));
        read.await.expect("let go of in time").expect("text");
        text
    };
    let (head, body, nothing, keyed, form) = tokio::join!(
        to_the_end(in_head),
        to_the_end(in_body),
        to_the_end(idle),
        to_the_end(in_keyed),
        to_the_end(in_form),
    );
    assert_eq!((head.as_str(), nothing.as_str()), ("", ""));
    let limit = Duration::from_secs(40);
    let crumbs = tokio::time::timeout(limit, in_crumbs).await;
    let crumbs = crumbs.expect("let go of in time").expect("no panic");
    for body in [&body, &crumbs, &keyed] {
        assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
        assert!(body.contains("did not arrive"), "{body}");
    }
    assert!(form.starts_with("HTTP/1.1 408 "), "{form}");
    assert!(form.contains("data-page="), "{form}");
    let served = phone.await.expect("no panic");
    assert!(served.starts_with("HTTP/1.1 200 "), "{served}");
    let slow = "guichet_connections_cut_total{reason=\"slow\"} 1";
    eventually(async || gateway.metrics().await.contains(slow).then_some(())).await;
    drop(reader);
}

/// A gateway with few descriptors, all of whose places are taken by peers that trickle their requests'
/// bodies: others are served, and a slow telephone is not the one who makes room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_trickle_keep_nobody_else_out() {
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    gateway.stop().await;
    // 29 places, 14 of them for one source.
    let process = serve_within(&gateway, "-n 250", "trickled.log").await;
    let phone = upload_of_a_phone(&gateway).await;
    let mut trickling = Vec::new();
    for number in 0..28 {
        let source = Ipv4Addr::new(127, 0, 1, 1 + number % 4);
        let stream = connect_from(source, &gateway.url).await;
        let head = head_of_post("/sessions", 60_000, "");
        let pause = Duration::from_millis(500);
        let stream = stream.expect("a connection");
        trickling.push(trickle(stream, head, " ".to_owned(), pause, usize::MAX));
    }
    eventually(async || (counted(&gateway, OPEN).await? == 29.0).then_some(())).await;
    let public = gateway.at("/openapi.json");
    eventually(async || ask_from(Ipv4Addr::LOCALHOST, public.clone()).await).await;
    let mut asking = JoinSet::new();
    for number in 0..8 {
        asking.spawn(ask_from(
            Ipv4Addr::new(127, 0, 2, 1 + number),
            public.clone(),
        ));
    }
    let asked = asking.join_all().await;
    assert_eq!(asked, [Some(200); 8], "{}", process.log());
    let served = phone.await.expect("no panic");
    assert!(served.starts_with("HTTP/1.1 200 "), "{served}");
    let room = counted(&gateway, MADE_ROOM).await;
    assert!(room >= Some(1.0), "{room:?}");
    trickling.iter().for_each(JoinHandle::abort);
}

/// A gateway whose operator's listener, which has places of its own, takes the last descriptor: the system
/// then refuses every further connection. That is counted, it is said without flooding the log, and whoever
/// waited is served when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_system_refuses_are_counted_and_summed_up_and_taken_in_later() {
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    gateway.stop().await;
    let process = serve_within(&gateway, "-n 64", "refused.log").await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(connect_from(Ipv4Addr::LOCALHOST, &gateway.operator).await);
    }
    let line = "a connection could not be accepted";
    let errors = || {
        let said = process.log();
        let lines = said.lines().filter(|said| said.contains(line));
        let written = lines
            .clone()
            .filter(|line| !line.contains("left_out="))
            .count();
        let left_out = lines.filter_map(|line| {
            let (_, rest) = line.split_once("left_out=")?;
            rest.split(' ').next()?.parse::<usize>().ok()
        });
        let left_out: usize = left_out.sum();
        (written, left_out)
    };
    process.wait_for(|| (errors().0 > 0).then_some(()));
    let waiting = connect_from(Ipv4Addr::LOCALHOST, &gateway.url).await;
    let waiting = waiting.expect("a place in the system's queue");
    let request = "GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let pause = Duration::from_secs(1);
    let waiting = trickle(waiting, request.to_owned(), String::new(), pause, 0);
    process.wait_for(|| (errors().1 > 0).then_some(()));
    drop(idle);
    let served = waiting.await.expect("no panic");
    assert!(served.starts_with("HTTP/1.1 200 "), "{served}");
    // Each is told, by itself or in a sum.
    let all = counted(&gateway, ACCEPT_ERRORS).await.expect("a count");
    let (written, left_out) = process.wait_for(|| {
        let (written, left_out) = errors();
        ((written + left_out) as f64 >= all).then_some((written, left_out))
    });
    let said = process.log();
    assert_eq!((written + left_out) as f64, all, "{said}");
    assert!(
        written <= 30 && left_out > written,
        "{written} lines: {said}"
    );
    assert!(said.contains("os error 24"), "{said}");
}

/// A burst of connections that fill the memory, heads and bodies that never end: a while after they are
/// gone the gateway is about as large as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_given_back_after_a_burst() {
    descriptors::raise();
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    gateway.stop().await;
    let process = serve_within(&gateway, "-n 4096", "burst.log").await;
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.pid()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.and_then(|line| line.trim().strip_suffix(" kB"));
        line.and_then(|size| size.parse::<u64>().ok())
            .expect("a size")
            / 1024
    };
    let before = resident();
    let mut burst = Vec::new();
    for number in 0..1500_u16 {
        let source = Ipv4Addr::new(127, 0, 1, 1 + u8::try_from(number % 4).expect("small"));
        let mut stream = connect_from(source, &gateway.url)
            .await
            .expect("a connection");
        let text = match number % 2 {
            0 => format!(
                "GET /users HTTP/1.1\r\nHost: x\r\nX-Long: {}",
                "x".repeat(60_000)
            ),
            _ => head_of_post("/sessions", 60_000, "") + " ".repeat(59_000).as_str(),
        };
        stream.write_all(text.as_bytes()).await.expect("sent");
        burst.push(stream);
    }
    let most = eventually(async || Some(resident()).filter(|now| *now > before + 48)).await;
    drop(burst);
    println!("{before} MB before, {most} MB in the burst");
    let gone = Instant::now();
    let after = process.wait_for(|| Some(resident()).filter(|now| *now <= before + 24));
    println!("{after} MB {:?} after it", gone.elapsed());
}
