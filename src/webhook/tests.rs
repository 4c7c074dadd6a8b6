use url::Url;

use super::*;
use crate::domain::called_address::Forbidden;
use crate::domain::client::SigningSecret;
use crate::domain::endpoint::EndpointId;
use crate::fake_server::{FakeServer, Reply, response};

const BODY: &[u8] = br#"{"action":"updated"}"#;
const EVENT: &str = "EVT-68e96dd6-eabd-42d3-9f05-416897f0746c";

fn message() -> Message {
    Message {
        event: EVENT.parse().unwrap(),
        callback_payload: None,
        body: serde_json::from_slice(BODY).unwrap(),
    }
}

fn endpoint(url: Url, secrets: &[u8]) -> WebhookEndpoint {
    let secret = |byte: &u8| SigningSecret(zeroize::Zeroizing::new(vec![*byte; 32]));
    WebhookEndpoint {
        id: EndpointId::of(&url),
        url,
        kinds: vec![],
        secrets: secrets.iter().map(secret).collect(),
        basic: None,
    }
}

fn webhooks(allow: &[&Url], timeout: Duration) -> Webhooks {
    by_way_of(&Outgoing::default(), allow, timeout)
}

fn by_way_of(outgoing: &Outgoing, allow: &[&Url], timeout: Duration) -> Webhooks {
    let host = |url: &&Url| url[url::Position::BeforeHost..url::Position::AfterPort].parse();
    Webhooks::new(
        Settings {
            timeout,
            allow_hosts: allow.iter().map(host).map(Result::unwrap).collect(),
        },
        outgoing,
    )
    .unwrap()
}

/// Delivers to a server that responds like this, and that the operator allowed.
async fn at(reply: fn() -> Reply) -> Delivery {
    let server = FakeServer::start(move |_| reply());
    let url = server.url("/hook");
    let delivery = webhooks(&[&url], Duration::from_secs(30))
        .deliver(&endpoint(url, &[1]), &message(), Timestamp::now())
        .await
        .delivery;
    assert_eq!(server.requests().len(), 1);
    delivery
}

fn not_taken(reason: &str, retry_after: Option<u64>) -> Delivery {
    Delivery::Again {
        reason: reason.to_owned(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

#[tokio::test]
async fn b8_an_independent_receiver_accepts_the_signature() {
    let server = FakeServer::start(|_| response("204 No Content", &[], b""));
    let url = server.url("/hook?a=1");
    let webhooks = webhooks(&[&url], Duration::from_secs(30));
    let now = Timestamp::now();
    let rotating = endpoint(url.clone(), &[1, 2]);
    assert_eq!(
        webhooks.deliver(&rotating, &message(), now).await.delivery,
        Delivery::Delivered
    );

    let request = server.requests().remove(0);
    assert!(request.head.starts_with("POST /hook?a=1 HTTP/1.1\r\n"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("webhook-id"), Some(EVENT));
    assert_eq!(request.body, BODY);
    let mut headers = HeaderMap::new();
    for name in [signature::ID, signature::TIMESTAMP, signature::SIGNATURE] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    for byte in [1, 2] {
        let receiver = standardwebhooks::Webhook::from_bytes(vec![byte; 32]).unwrap();
        receiver.verify(&request.body, &headers).unwrap();
    }

    let unsigned = endpoint(url, &[]);
    assert_eq!(
        webhooks.deliver(&unsigned, &message(), now).await.delivery,
        Delivery::Delivered
    );
    assert_eq!(server.requests()[1].header(signature::SIGNATURE), None);
}

#[tokio::test]
async fn http_basic_stands_beside_a_signature_or_instead_of_one() {
    let server = FakeServer::start(|_| response("204 No Content", &[], b""));
    let url = server.url("/hook");
    let webhooks = webhooks(&[&url], Duration::from_secs(30));
    for (secrets, is_signed) in [(&[1][..], true), (&[], false)] {
        let mut endpoint = endpoint(url.clone(), secrets);
        endpoint.basic = Some(BasicCredentials {
            username: "test".to_owned(),
            password: "123\u{a3}".into(),
        });
        let now = Timestamp::now();
        assert_eq!(
            webhooks.deliver(&endpoint, &message(), now).await.delivery,
            Delivery::Delivered
        );
        let request = server.requests().pop().expect("a request");
        // The example of RFC 7617 section 2.1.
        assert_eq!(
            request.header("authorization"),
            Some("Basic dGVzdDoxMjPCow==")
        );
        assert_eq!(request.header(signature::SIGNATURE).is_some(), is_signed);
    }
    let bare = endpoint(url, &[1]);
    let message = message();
    let sent = webhooks.deliver(&bare, &message, Timestamp::now());
    sent.await;
    let request = server.requests().pop().expect("a request");
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn a_password_cannot_be_printed() {
    let mut endpoint = endpoint("https://hooks.example/".parse().unwrap(), &[1]);
    endpoint.basic = Some(BasicCredentials {
        username: "guichet".to_owned(),
        password: "hunter2".into(),
    });
    let headers = headers(&endpoint, &message(), Timestamp::UNIX_EPOCH, BODY);
    let printed = format!("{headers:?}");
    assert!(printed.contains("Sensitive"), "{printed}");
    for secret in ["hunter2", &STANDARD.encode("guichet:hunter2")] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn the_clients_own_words_are_a_header_too() {
    let server = FakeServer::start(|_| response("204 No Content", &[], b""));
    let url = server.url("/hook");
    let webhooks = webhooks(&[&url], Duration::from_secs(30));
    let endpoint = endpoint(url, &[1]);
    for words in [None, Some("eyJvcmRlciI6NDJ9")] {
        let message = Message {
            callback_payload: words.map(|words| words.parse().unwrap()),
            ..message()
        };
        let delivery = webhooks.deliver(&endpoint, &message, Timestamp::now());
        assert_eq!(delivery.await.delivery, Delivery::Delivered);
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.header("x-callback-payload"), words);
    }
}

#[tokio::test]
async fn any_success_is_taken_whatever_follows_it() {
    assert_eq!(
        at(|| response("200 OK", &[], b"thanks")).await,
        Delivery::Delivered
    );
    assert_eq!(
        at(|| response("202 Accepted", &[], &[b'x'; 100_000])).await,
        Delivery::Delivered
    );
    const UNFINISHED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nthan";
    let broken = at(|| Reply::Bytes(UNFINISHED.to_vec()));
    assert_eq!(broken.await, Delivery::Delivered);
    const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n";
    let endless = at(|| Reply::Drip([ENDLESS, &[b'x'; 9999]].concat()));
    assert_eq!(endless.await, Delivery::Delivered);
    assert_eq!(at(|| response("410 Gone", &[], b"")).await, Delivery::Gone);
}

#[tokio::test]
async fn a_failure_is_tried_again_when_the_receiver_likes() {
    let status = |number| format!("the receiver responded with status {number}");
    assert_eq!(
        at(|| response("500 A", &[], b"")).await,
        not_taken(&status(500), None)
    );
    assert_eq!(
        at(|| response("429 A", &[("retry-after", "120")], b"")).await,
        not_taken(&status(429), Some(120))
    );
    assert_eq!(
        at(|| response("503 A", &[("retry-after", "99999999")], b"")).await,
        not_taken(&status(503), Some(12 * 3600))
    );
}

#[tokio::test]
async fn t10_a_redirect_is_a_failure() {
    let delivery = at(|| response("307 A", &[("location", "http://127.0.0.1:1/canary")], b""));
    assert_eq!(
        delivery.await,
        not_taken("the receiver responded with status 307", None)
    );
}

#[tokio::test]
async fn a_receiver_that_is_silent_or_away_is_tried_again() {
    let server = FakeServer::start(|_| Reply::Silence);
    let url = server.url("/");
    let webhooks = webhooks(&[&url], Duration::from_millis(300));
    let delivery = webhooks
        .deliver(&endpoint(url, &[1]), &message(), Timestamp::now())
        .await
        .delivery;
    assert_eq!(delivery, not_taken("no response within 300ms", None));
    let Delivery::Again { reason, .. } = at(|| Reply::Bytes(vec![])).await else {
        panic!("nothing was taken");
    };
    assert!(!reason.contains("127.0.0.1"), "{reason}");
}

#[tokio::test]
async fn s2_an_address_of_this_machine_is_not_called_unless_allowed() {
    let server = FakeServer::start(|_| response("200 OK", &[], b""));
    let other = server.url("/").join("http://127.0.0.1:1/").unwrap();
    let webhooks = webhooks(&[&other], Duration::from_secs(30));
    let port = server.url("/").port().unwrap();
    for address in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://localhost:{port}/"),
    ] {
        let url = address.parse().unwrap();
        let delivery = webhooks
            .deliver(&endpoint(url, &[1]), &message(), Timestamp::now())
            .await
            .delivery;
        let Delivery::Again { reason, .. } = delivery else {
            panic!("{address} was called");
        };
        let refusals = [Forbidden::Scheme, Forbidden::NotPublic];
        let named = refusals
            .iter()
            .any(|refusal| reason.contains(&refusal.to_string()));
        assert!(named, "{address}: {reason}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn s2_through_a_proxy_what_is_private_here_is_refused_and_unknown_names_are_left_to_it() {
    let proxy = FakeServer::start(|_| response("502 Bad Gateway", &[], b""));
    let excepting = Outgoing::through(proxy.url("/").as_str(), "").unwrap();
    let always = Outgoing::always_through(&proxy.url("/"));
    let allowed: Url = "https://localhost:2/".parse().unwrap();
    let refused = Forbidden::NotPublic.to_string();
    for (outgoing, address, is_refused, asked) in [
        (&excepting, "https://localhost:1/", true, None),
        (&always, "https://localhost:1/", true, None),
        (&always, "https://10.0.0.1/", true, None),
        (&always, "https://localhost:2/", false, Some("localhost:2")),
        (
            &always,
            "https://hooks.invalid/",
            false,
            Some("hooks.invalid:443"),
        ),
        (
            &excepting,
            "https://hooks.invalid/",
            false,
            Some("hooks.invalid:443"),
        ),
    ] {
        let before = proxy.requests().len();
        let webhooks = by_way_of(outgoing, &[&allowed], Duration::from_secs(30));
        let delivery = webhooks
            .deliver(
                &endpoint(address.parse().unwrap(), &[1]),
                &message(),
                Timestamp::now(),
            )
            .await
            .delivery;
        let Delivery::Again { reason, .. } = delivery else {
            panic!("{address} was called");
        };
        assert_eq!(reason.contains(&refused), is_refused, "{address}: {reason}");
        let requests = proxy.requests().split_off(before);
        let lines: Vec<&str> = requests
            .iter()
            .filter_map(|request| request.head.lines().next())
            .collect();
        let expected = asked.map(|asked| format!("CONNECT {asked} HTTP/1.1"));
        assert_eq!(lines, expected.as_slice(), "{address}");
    }
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
    for (value, expected) in [
        ("0", Some(0)),
        ("120", Some(120)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
        ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
        ("Fri, 21 Oct 2016 07:00:00 GMT", Some(12 * 3600)),
        ("-5", None),
        ("soon", None),
        ("99999999999999999999", None),
    ] {
        let expected = expected.map(Duration::from_secs);
        assert_eq!(outgoing::retry_after(value, now), expected, "{value}");
    }
}
