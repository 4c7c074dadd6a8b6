//! A bank that repeats everything it was ever sent, in every place it can write to: neither the log nor
//! the store keeps a secret of the exchange.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::support::behaviour::{Behaviour, Honest, response};
use crate::support::dump::everything;
use crate::support::gateway::{
    BANK_SECRET, Backend, Setup, Subject, TestGateway, eventually, parameter,
};
use crate::support::loopback::Recorded;
use crate::support::served::Served;
use crate::support::visitor::Visitor;

crate::on_both_stores!(l1_a_bank_that_repeats_everything_leaves_no_secret_in_log_or_store,);

/// The ways a secret can be written.
const FORMS: [fn(&str) -> String; 6] = [
    str::to_owned,
    |secret| byte_serialize(secret.as_bytes()).collect(),
    |secret| secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    |secret| secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
    |secret| STANDARD.encode(secret),
    |secret| URL_SAFE_NO_PAD.encode(secret),
];

/// What the bank has seen, and how it writes that.
#[derive(Clone)]
struct Memory {
    seen: Arc<Mutex<Vec<String>>>,
    form: fn(&str) -> String,
}

impl Memory {
    fn of(form: fn(&str) -> String) -> Self {
        Self {
            seen: Arc::default(),
            form,
        }
    }

    fn learn(&self, secret: impl Into<String>) {
        let secret = secret.into();
        let mut seen = self.seen.lock().expect("a lock");
        if !secret.is_empty() && !seen.contains(&secret) {
            seen.push(secret);
        }
    }

    /// Everything that came with a request, and the tokens that are issued for it.
    fn learn_of(&self, request: &Recorded, honest: &Honest) {
        if let Some((_, proof)) = request
            .header("authorization")
            .and_then(|value| value.split_once(' '))
        {
            self.learn(proof);
        }
        for name in ["code", "code_verifier", "client_secret", "token"] {
            self.learn(request.field(name).unwrap_or_default());
        }
        for name in ["access_token", "refresh_token"] {
            let token = honest.fields.get(name).and_then(Value::as_str);
            self.learn(token.unwrap_or_default());
        }
    }

    /// All of it in one text, the newest first: what is cut off is what came up before.
    fn text(&self) -> String {
        let seen = self.seen.lock().expect("a lock");
        let written: Vec<String> = seen
            .iter()
            .rev()
            .map(|secret| (self.form)(secret))
            .collect();
        written.join(" ")
    }
}

/// Repeats the memory in one place of a response.
type Place = fn(&str, &Honest) -> Response<Body>;

fn refusal(status: u16, said: &str) -> Response<Body> {
    let body = json!({"error": said, "error_description": said});
    response(status, "application/json", body.to_string())
}

fn with_header(name: header::HeaderName, said: &str, status: u16, body: String) -> Response<Body> {
    let mut response = response(status, "application/json", body);
    let value = header::HeaderValue::from_bytes(said.as_bytes()).expect("no control characters");
    response.headers_mut().insert(name, value);
    response
}

fn body(honest: &Honest) -> String {
    Value::Object(honest.fields.clone()).to_string()
}

/// The places of a response where a server can write a text.
const PLACES: [(&str, Place); 10] = [
    ("an error of 400", |said, _| refusal(400, said)),
    ("an error of 200", |said, _| refusal(200, said)),
    ("an error beside tokens", |said, honest| {
        let mut fields = honest.fields.clone();
        fields.insert("error".to_owned(), json!(said));
        let body = Value::Object(fields).to_string();
        response(400, "application/json", body)
    }),
    ("Content-Type", |said, _| {
        with_header(header::CONTENT_TYPE, said, 200, "no JSON".to_owned())
    }),
    ("Content-Type of an object", |said, _| {
        let said = format!("text/html; {said}");
        with_header(header::CONTENT_TYPE, &said, 200, "{}".to_owned())
    }),
    ("Content-Encoding", |said, honest| {
        with_header(header::CONTENT_ENCODING, said, 200, body(honest))
    }),
    ("WWW-Authenticate", |said, _| {
        let said = format!("Bearer error=\"{}\"", said.replace(' ', "_"));
        with_header(header::WWW_AUTHENTICATE, &said, 401, "<p>".to_owned())
    }),
    ("a token type", |said, honest| {
        let mut fields = honest.fields.clone();
        fields.insert("token_type".to_owned(), json!(said));
        response(200, "application/json", Value::Object(fields).to_string())
    }),
    ("a text", |said, _| {
        response(500, "text/plain", said.to_owned())
    }),
    ("names and values of an object", |said, _| {
        response(200, "application/json", json!({said: said}).to_string())
    }),
];

fn repeats(memory: &Memory, place: Place) -> Behaviour {
    let memory = memory.clone();
    Behaviour::made(move |request, honest| {
        memory.learn_of(request, honest);
        place(&memory.text(), honest)
    })
}

/// One that does as it should, and remembers.
fn remembers(memory: &Memory) -> Behaviour {
    repeats(memory, |_, honest| {
        response(honest.status, "application/json", body(honest))
    })
}

async fn l1_a_bank_that_repeats_everything_leaves_no_secret_in_log_or_store(backend: Backend) {
    let setup = Setup {
        tables: "[log]\nfilter = \"debug,guichet=trace\"\n".to_owned(),
        subject: Some(Subject::Identify),
        openid: true,
        // A nonce goes with it.
        swaps: vec![(
            "scopes = [\"accounts\", \"transactions\"]",
            "scopes = [\"openid\", \"accounts\"]",
        )],
        ..Setup::default()
    };
    let served = Served::with(backend, setup).await;
    let gateway = &served.gateway;
    let mut secrets = vec![BANK_SECRET.to_owned()];
    let mut flows = 0;
    // Each place says something in two of the forms; which is found in which is the scrubber's own test.
    for round in 0..2 {
        let mut all = Vec::new();
        // In the authorization response: as an error, and as the issuer of a code and of an error.
        for place in 0..3 {
            let memory = Memory::of(FORMS[place + round * 3]);
            let (visitor, authorization) = begun(gateway, &memory).await;
            let mut response = gateway.bank.code_for(&authorization);
            memory.learn(response.code.clone().expect("a code"));
            let said = memory.text();
            if place != 1 {
                response.code = None;
                response.error = Some((said.clone(), said.clone()));
            }
            if place != 0 {
                response.iss = Some(format!("https://bank.example/{said}"));
            }
            visitor.follow(&response.url()).await;
            all.push(memory);
        }
        for (nth, (what, place)) in PLACES.into_iter().enumerate() {
            // At the token endpoint; what it issued is given back, which it repeats as well.
            let memory = Memory::of(FORMS[(nth + round * 3) % FORMS.len()]);
            gateway.bank.on_revoke(repeats(&memory, PLACES[0].1));
            gateway.bank.on_token(repeats(&memory, place));
            ended(gateway, &memory, what).await;
            // When it is asked who signed in.
            gateway.bank.on_token(remembers(&memory));
            gateway.bank.on_identify(repeats(&memory, place));
            ended(gateway, &memory, what).await;
            // When a grant is given back.
            gateway.bank.on_identify(repeats(&memory, PLACES[0].1));
            gateway.bank.on_revoke(repeats(&memory, place));
            ended(gateway, &memory, what).await;
            flows += 3;
            all.push(memory);
        }
        for memory in all {
            secrets.extend(memory.seen.lock().expect("a lock").iter().cloned());
        }
    }
    secrets.sort();
    secrets.dedup();
    assert!(
        secrets.len() > flows * 4,
        "each flow has secrets of its own"
    );

    eventually(async || served.log().contains("could not be revoked").then_some(())).await;
    let log = served.log();
    let failed = log.lines().filter(|line| line.contains("flow failed"));
    assert!(failed.count() >= flows, "it is the log of these flows");
    assert!(log.contains("[secret]"), "the bank's words are there");
    let stored = everything(gateway).await;
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains("[secret]"), "the bank's words are there");
    for secret in &secrets {
        for form in FORMS {
            let written = form(secret);
            let line = log.lines().find(|line| line.contains(&written));
            assert_eq!(line, None, "{written} is logged");
            assert!(!stored.contains(&written), "{written} is stored");
        }
    }
}

/// A flow that has gone to the bank, which remembers what it was asked.
async fn begun(gateway: &TestGateway, memory: &Memory) -> (Visitor, url::Url) {
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    for name in ["state", "nonce"] {
        memory.learn(parameter(&authorization, name).expect(name));
    }
    memory.learn(BANK_SECRET);
    (visitor, authorization)
}

/// A flow that ends at a page of ours, without a connection.
async fn ended(gateway: &TestGateway, memory: &Memory, what: &str) {
    let (visitor, authorization) = begun(gateway, memory).await;
    let page = visitor
        .follow(&gateway.bank.code_for(&authorization).url())
        .await;
    assert!(
        page.status == 200 && page.name() != Some("connected"),
        "{what}: {}",
        page.body
    );
}
