//! Every line of one attempt says whose it is, at every level that is printed, in both formats; so do
//! the lines of deliveries and pushes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::at_the_bank::{is_led_back, is_refused};
use crate::support::behaviour::Behaviour;
use crate::support::fake_bank::CallbackParams;
use crate::support::gateway::{
    BANK, BANK_GUID, Backend, CLIENT, FORM_BANK_GUID, Setup, TestGateway, eventually,
};
use crate::support::receiver::Reply;
use crate::support::served::Served;
use crate::support::visitor::Visitor;

crate::on_both_stores!(
    every_line_of_an_attempt_says_whose_it_is,
    what_fails_says_whose_it_is_at_every_level,
    the_first_and_the_last_line_say_what_runs_and_what_is_waited_for,
    a_refused_response_is_one_line_with_the_banks_words_and_its_attempt_however_it_came,
);

async fn logging(backend: Backend, format: &str, filter: &str) -> Served {
    let setup = Setup {
        tables: format!("[log]\nformat = \"{format}\"\nfilter = \"{filter}\"\n"),
        ..Setup::default()
    };
    Served::with(backend, setup).await
}

/// The lines so far; each is flat.
fn lines(served: &Served) -> Vec<Value> {
    let log = served.log();
    // The last one may be half written.
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line: &str| -> Value {
        let line = match line.starts_with('{') {
            true => serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")),
            false => of_text(line),
        };
        let fields = line.as_object().expect("an object");
        assert!(
            fields.values().all(|it| !it.is_object() && !it.is_array()),
            "{line}"
        );
        line
    };
    whole.lines().map(read).collect()
}

/// A line in the format for people, as the other one has it: `time LEVEL target: message name=value …`.
fn of_text(line: &str) -> Value {
    let (time, rest) = line.split_once(' ').expect(line);
    let (level, rest) = rest.trim_start().split_once(' ').expect(line);
    let (target, rest) = rest.split_once(": ").expect(line);
    let is_name =
        |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    // A message has no word that reads like a field.
    let mut message = Vec::new();
    let mut rest = Some(rest);
    while let Some(text) = rest {
        let word = text.split(' ').next().expect(line);
        if word.split_once('=').is_some_and(|(name, _)| is_name(name)) {
            break;
        }
        message.push(word);
        rest = text.split_once(' ').map(|(_, more)| more);
    }
    let mut fields = json!({
        "timestamp": time, "level": level, "target": target, "message": message.join(" "),
    });
    while let Some(text) = rest {
        let (name, text) = text.split_once('=').expect(line);
        assert!(is_name(name), "{name} in {line}");
        let end = match text.strip_prefix('"') {
            Some(quoted) => {
                let mut is_escaped = false;
                let end = quoted.find(|it| {
                    let ends = it == '"' && !is_escaped;
                    is_escaped = it == '\\' && !is_escaped;
                    ends
                });
                end.expect(line) + 2
            }
            None => text.find(' ').unwrap_or(text.len()),
        };
        assert!(fields.get(name).is_none(), "{name} is there twice: {line}");
        fields[name] = text[..end].trim_matches('"').into();
        rest = text[end..].strip_prefix(' ');
        assert!(rest.is_some() || text.len() == end, "{line}");
    }
    fields
}

/// The lines with one of these messages, once each is there.
async fn with(served: &Served, messages: &[&str]) -> Vec<Value> {
    eventually(async || {
        let found: Vec<Value> = lines(served)
            .into_iter()
            .filter(|line| messages.contains(&line["message"].as_str().unwrap_or_default()))
            .collect();
        let seen: BTreeSet<_> = found
            .iter()
            .map(|line| line["message"].to_string())
            .collect();
        (seen.len() == messages.len()).then_some(found)
    })
    .await
}

/// Holds the lines to those fields and values; a value of `None`: it is there.
fn all_have(lines: &[Value], fields: &[(&str, Option<&str>)]) {
    for line in lines {
        for (field, value) in fields {
            match value {
                Some(value) => assert_eq!(line[field], *value, "{field} of {line}"),
                None => assert!(!line[field].is_null(), "{field} of {line}"),
            }
        }
    }
}

/// A declined flow; the member, its state, and the support code that the person was shown.
async fn declined(gateway: &TestGateway) -> (String, String, String) {
    let (member, link) = gateway.member().await;
    let state = gateway.state(member).await["guid"]
        .as_str()
        .expect("a guid")
        .to_owned();
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let refusal = gateway
        .bank
        .refusal_for(&authorization, "access_denied", "not now");
    let page = visitor.follow(&refusal.url()).await;
    assert_eq!(page.name(), Some("cancelled"), "{}", page.body);
    let is_code = |word: &&str| {
        word.len() == 8
            && word
                .bytes()
                .all(|it| b"34679ACDEFGHJKMNPQRTVWXY".contains(&it))
    };
    let mut words = page.body.split(|c: char| !c.is_ascii_alphanumeric());
    let shown = words.find(is_code).expect("a support code on the page");
    (member.to_string(), state, shown.to_owned())
}

async fn every_line_of_an_attempt_says_whose_it_is(backend: Backend) {
    for format in ["json", "text"] {
        each_line_of_an_attempt_says_whose_it_is(backend, format).await;
    }
}

async fn each_line_of_an_attempt_says_whose_it_is(backend: Backend, format: &str) {
    let served = logging(backend, format, "guichet=trace,info").await;
    let (member, state, shown) = declined(&served.gateway).await;
    let about = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", Some(member.as_str())),
        ("oauth_state", Some(state.as_str())),
    ];
    let minted = with(&served, &["member created"]).await;
    all_have(&minted, &about);
    let of_attempt = with(&served, &["link opened", "flow failed", "outcome shown"]).await;
    all_have(&of_attempt, &about);
    all_have(
        &of_attempt,
        &[("support_code", Some(&shown)), ("attempt", None)],
    );
    // Whatever else was written while the attempt was known.
    let attempt = of_attempt[0]["attempt"].clone();
    let of_it = |line: &Value| line["attempt"] == attempt;
    let all: Vec<Value> = lines(&served).into_iter().filter(of_it).collect();
    assert!(all.len() >= of_attempt.len());
    all_have(&all, &about);
    all_have(&all, &[("support_code", Some(&shown))]);

    let told = with(&served, &["webhook delivered"]).await;
    let host = served.gateway.hooks.url();
    let host = format!(
        "{}:{}",
        host.host_str().expect("a host"),
        host.port().expect("a port")
    );
    let of_delivery = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", Some(member.as_str())),
        ("event", None),
        ("kind", None),
        ("tries", Some("1")),
        ("endpoint_host", Some(host.as_str())),
    ];
    all_have(&told, &of_delivery);
}

async fn what_fails_says_whose_it_is_at_every_level(backend: Backend) {
    for format in ["json", "text"] {
        each_failure_says_whose_it_is(backend, format).await;
    }
}

async fn each_failure_says_whose_it_is(backend: Backend, format: &str) {
    let served = logging(backend, format, "warn").await;
    let gateway = &served.gateway;
    gateway.hooks.answer_with(Reply::Status(503));
    gateway.aggregator.answer_with(Reply::Status(503));
    let (member, state, shown) = declined(gateway).await;
    let failed = with(&served, &["flow failed"]).await;
    let about = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", Some(member.as_str())),
        ("oauth_state", Some(state.as_str())),
        ("support_code", Some(shown.as_str())),
        ("detail", None),
    ];
    all_have(&failed, &about);

    let (_, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let failed = with(
        &served,
        &[
            "webhook delivery failed; tried again later",
            "job push failed",
        ],
    )
    .await;
    let owed = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", None),
        ("tries", Some("1")),
        ("endpoint_host", None),
    ];
    all_have(&failed, &owed);

    let (_, link) = gateway.member().await;
    gateway
        .bank
        .next_token(Behaviour::With("access_token", Value::Null));
    gateway.connect(&gateway.visitor(), &link).await;
    let failed = with(&served, &["flow failed"]).await;
    all_have(
        &failed,
        &[
            ("client", Some(CLIENT)),
            ("oauth_state", None),
            ("support_code", None),
        ],
    );
    assert!(
        lines(&served).iter().all(|line| line["level"] != "INFO"),
        "the filter is on"
    );
}

async fn the_first_and_the_last_line_say_what_runs_and_what_is_waited_for(backend: Backend) {
    let served = logging(backend, "json", "info").await;
    let serving = with(&served, &["serving"]).await.remove(0);
    assert_eq!(serving["version"], env!("CARGO_PKG_VERSION"));
    let store = serving["store"].as_str().expect("a store");
    match backend {
        Backend::Sqlite => assert!(store.starts_with("sqlite:"), "{store}"),
        Backend::Redis => assert!(store.starts_with("redis://127.0.0.1:"), "{store}"),
    }
    let (clients, institutions) = (&serving["clients"], &serving["institutions"]);
    assert!(clients.to_string().contains(CLIENT), "{clients}");
    assert!(institutions.to_string().contains(BANK), "{institutions}");
    for address in ["address", "operator", "public_url"] {
        assert!(serving[address].is_string(), "{serving}");
    }
    served.terminate();
    let stopping = with(&served, &["stopping, waiting for exchanges and deliveries"]).await;
    all_have(&stopping, &[("tasks", None), ("longest_s", None)]);
    with(&served, &["stopped"]).await;
}

async fn a_refused_response_is_one_line_with_the_banks_words_and_its_attempt_however_it_came(
    backend: Backend,
) {
    let setup = Setup {
        tables: "[log]\nformat = \"json\"\n".to_owned(),
        swaps: vec![("[store]", "trusted_proxies = [\"127.0.0.0/8\"]\n[store]")],
        ..Setup::default()
    };
    let served = Served::with(backend, setup).await;
    let gateway = &served.gateway;
    let refused = async |count: usize| {
        eventually(async || {
            let is_refusal = |line: &Value| line["message"] == "authorization response refused";
            let found: Vec<Value> = lines(&served).into_iter().filter(is_refusal).collect();
            (found.len() >= count).then_some(found)
        })
        .await
    };
    let says_no = |response: &CallbackParams| CallbackParams {
        code: None,
        error: Some(("access_denied".to_owned(), "account closed".to_owned())),
        ..response.clone()
    };
    let mut count = 0;
    for institution in [BANK_GUID, FORM_BANK_GUID] {
        let is_form = institution == FORM_BANK_GUID;
        let body = json!({"member": {"institution_guid": institution, "is_oauth": true}});
        let (member, link) = gateway.member_with(body).await;
        let state = gateway.state(member).await["guid"].clone();
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        let honest = gateway.bank.code_for(&request);
        let no_state = CallbackParams {
            state: None,
            ..says_no(&honest)
        };
        let foreign = CallbackParams {
            iss: Some("https://other.example".to_owned()),
            ..says_no(&honest)
        };
        for (response, why) in [
            (no_state, "no state of ours"),
            (foreign, "https://other.example"),
        ] {
            let bring = async |visitor: &Visitor| match is_form {
                false => visitor.follow(&response.url()).await,
                true => {
                    let pairs = response.pairs();
                    let fields: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
                    let posted = visitor.post(&response.redirect_uri, &fields).await;
                    assert!(
                        !posted
                            .location()
                            .expect("a way on")
                            .as_str()
                            .contains("closed")
                    );
                    visitor.follow_from(posted).await
                }
            };
            is_led_back(&bring(&visitor).await, why);
            is_refused(&bring(&gateway.visitor()).await, why);
            count += 2;
            let lines = refused(count).await;
            assert_eq!(lines.len(), count, "one line each: {lines:?}");
            let (own, strangers) = (&lines[count - 2], &lines[count - 1]);
            for line in [own, strangers] {
                assert_eq!(line["client"], CLIENT, "{line}");
                assert!(!line["institution"].is_null(), "{line}");
                assert_eq!(line["words"], "access_denied: account closed", "{line}");
                assert!(
                    line["reason"].as_str().expect("a reason").contains(why),
                    "{line}"
                );
                assert!(!line["support_code"].is_null(), "{line}");
            }
            assert_eq!(own["oauth_state"], state, "{own}");
            assert_eq!(own["member"], member.to_string(), "{own}");
            assert!(!own["attempt"].is_null(), "{own}");
            assert!(strangers["oauth_state"].is_null(), "{strangers}");
        }
    }
    // What nobody of ours sealed is no refusal, and none of another registration.
    let path = gateway.at("/oauth/redirect_from/acme/fake_bank?refused=AQEEdGVzdA");
    is_refused(&gateway.visitor().get(&path).await, "not ours");
    let too_large = [("error", "x".repeat(70_000))];
    let too_large: Vec<_> = too_large.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let path = gateway.at("/oauth/redirect_from/acme/fake_bank");
    let headers = [("sec-fetch-dest", "document")];
    let page = gateway
        .visitor()
        .post_with(&path, &too_large, &headers)
        .await;
    assert_eq!(
        (page.status, page.name()),
        (413, Some("bad-return")),
        "{}",
        page.body
    );
    let last = refused(count + 2).await.pop().expect("a line");
    assert_eq!(
        (&last["client"], &last["institution"]),
        (&json!(CLIENT), &json!(BANK)),
        "{last}"
    );
    assert!(
        last["reason"].as_str().expect("a reason").contains("413"),
        "{last}"
    );

    // Somebody who floods that line hides nobody else's support code.
    let from = async |source: &str| {
        let visitor = gateway.visitor();
        visitor
            .get_with(&path, &[("x-forwarded-for", source)])
            .await
    };
    for _ in 0..30 {
        from("203.0.113.9").await;
    }
    let page = from("198.51.100.7").await;
    let code = page
        .between("<code translate=\"no\">", "</code>")
        .map(str::to_owned);
    let code = code.unwrap_or_else(|| panic!("a support code: {}", page.body));
    let lines = eventually(async || {
        let lines = refused(1).await;
        lines
            .iter()
            .any(|line| line["support_code"] == code)
            .then_some(lines)
    })
    .await;
    let flooded = lines
        .iter()
        .filter(|line| line["source"] == "203.0.113.9")
        .count();
    assert!(flooded < 30, "{flooded}");
}
