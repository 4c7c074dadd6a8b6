//! What the store must not give away: no secret of a flow is found in it, in no encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::aggregation::{challenged, count, failed, lease, nth_job, nth_push, report};
use crate::support::behaviour::Behaviour;
use crate::support::dump::everything;
use crate::support::gateway::{
    BANK_GUID, BANK_SECRET, BRANCH, Backend, FORM_BANK_GUID, LOGIN, PAPER_BANK_GUID, PASSWORD,
    Setup, TestGateway, parameter,
};
use crate::support::loopback::Recorded;
use crate::support::random_token;
use crate::support::served::Served;
use crate::support::visitor::Visitor;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

crate::on_both_stores!(
    m2_the_store_keeps_no_secret_of_a_flow,
    m2_a_held_response_is_sealed,
    m2_credentials_and_answers_are_kept_nowhere_and_told_to_nobody,
);

/// The forms a value may be kept in: as it is, what it encodes, and both in base64 and hex.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut plain = vec![secret.as_bytes().to_vec()];
    // Without the letters and the partition that lead it.
    let random = &secret[secret.len().saturating_sub(43)..];
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(random) {
        plain.push(random.as_bytes().to_vec());
        plain.push(bytes);
    }
    let mut forms = Vec::new();
    for bytes in plain {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.push(hex.to_uppercase().into_bytes());
        forms.push(hex.into_bytes());
        forms.push(STANDARD_NO_PAD.encode(&bytes).into_bytes());
        forms.push(URL_SAFE_NO_PAD.encode(&bytes).into_bytes());
        forms.push(bytes);
    }
    forms
}

fn holds(dump: &[u8], wanted: &[u8]) -> bool {
    dump.windows(wanted.len()).any(|part| part == wanted)
}

fn assert_holds_none(dump: &[u8], secrets: &[(&str, String)]) {
    for (name, secret) in secrets {
        assert!(secret.len() >= 10, "{name} is too short to look for");
        for form in forms(secret) {
            assert!(!holds(dump, &form), "the store holds the {name}");
        }
    }
}

/// The values of the cookies a browser holds.
fn cookie_values(visitor: &Visitor) -> Vec<(&'static str, String)> {
    let header = visitor.cookie_header().unwrap_or_default();
    let values = header.split("; ").filter_map(|pair| pair.split_once('='));
    values
        .map(|(_, value)| ("binding secret", value.to_owned()))
        .collect()
}

async fn m2_the_store_keeps_no_secret_of_a_flow(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let refresh_token = format!("canary-refresh-{}", random_token());
    let honest_with_canary = Behaviour::With("refresh_token", json!(refresh_token));
    gateway.bank.next_token(honest_with_canary);
    let name = format!("control-{}", random_token());
    let body =
        json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true, "external_guid": name}});
    let (_, link) = gateway.member_with(body).await;
    let token = link.path_segments().and_then(|mut parts| parts.next_back());
    let mut secrets = vec![
        ("link token", token.expect("a token").to_owned()),
        ("API key", gateway.api_key.clone()),
        ("session", gateway.session.clone()),
        ("client secret", BANK_SECRET.to_owned()),
    ];
    assert!(
        holds(&everything(&gateway).await, name.as_bytes()),
        "the dump shows what is kept in clear"
    );

    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&authorization);
    secrets.push((
        "state",
        parameter(&authorization, "state").expect("a state"),
    ));
    secrets.push(("code", response.code.clone().expect("a code")));
    let bindings = cookie_values(&visitor);
    assert_eq!(bindings.len(), 1);
    secrets.extend(bindings);
    let while_away = everything(&gateway).await;
    assert_holds_none(&while_away, &secrets);

    let page = visitor.follow(&response.url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let verifier = gateway.bank.token_requests()[0].field("code_verifier");
    let verifier = ("verifier", verifier.expect("a verifier"));
    assert_holds_none(&while_away, std::slice::from_ref(&verifier));
    secrets.push(verifier);
    secrets.push(("refresh token", refresh_token));
    let limit = std::time::Duration::from_secs(10);
    let pushes = gateway
        .aggregator
        .wait_for(|pushes| !pushes.is_empty(), limit)
        .await;
    let job = pushes[0].json()["job_guid"].as_str().map(str::to_owned);
    let path = format!("/aggregation/jobs/{}/lease", job.expect("a job"));
    let (status, lease) = gateway.aggregation(&path, None).await;
    assert_eq!(status, 200, "{lease}");
    let access_token = lease["access_token"].as_str().expect("a token").to_owned();
    secrets.push(("access token", access_token));
    assert_holds_none(&everything(&gateway).await, &secrets);
}

async fn m2_a_held_response_is_sealed(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
    let (_, link) = gateway.member_with(body).await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&authorization);
    let pairs = response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let held = gateway
        .visitor()
        .post(&response.redirect_uri, &fields)
        .await;
    let next = held.location().expect("a location");
    let handle = parameter(&next, "answer").expect("a handle");
    let secrets = [
        ("code", response.code.clone().expect("a code")),
        ("state", response.state.clone().expect("a state")),
        ("handle", handle),
    ];
    assert_holds_none(&everything(&gateway).await, &secrets);
    let page = visitor.follow(&next).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn m2_credentials_and_answers_are_kept_nowhere_and_told_to_nobody(backend: Backend) {
    let setup = Setup {
        tables: "[log]\nfilter = \"trace\"\n".to_owned(),
        ..Setup::default()
    };
    let served = Served::with(backend, setup).await;
    let gateway = &served.gateway;
    let canary = |name: &str| format!("canary-{name}-{}", random_token());
    let (login, password, newer, response) = (
        canary("login"),
        canary("password"),
        canary("newer"),
        canary("answer"),
    );
    let control = canary("control");
    let mut said = Vec::new();
    let pair = |password: &str| json!([{"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": password}]);
    let body = json!({"member": {
        "institution_guid": PAPER_BANK_GUID, "credentials": pair(&password), "metadata": control,
    }});
    // A response that is stored for its key is sealed as well.
    let key = format!("key-{}", random_token());
    let (session, keyed) = (gateway.session.clone(), key.clone());
    let (status, created) = gateway
        .call("POST", "/members", Some(body), |request| {
            request
                .header("MD-SESSION-TOKEN", session)
                .header("Idempotency-Key", keyed)
        })
        .await;
    assert_eq!(status, 200, "{created}");
    let member = created["member"]["guid"].as_str().expect("a guid");
    let member = format!("/members/{member}");
    said.push(created.to_string());

    let job = nth_job(gateway, 1).await;
    let question = json!([{"type": "TEXT", "field_name": "pet", "label": "Your first pet?"}]);
    report(gateway, &job, challenged(&question)).await;
    let (_, asked) = gateway
        .nexus("GET", &format!("{member}/challenges"), None)
        .await;
    let guid = asked["challenges"][0]["guid"].clone();
    for (value, expected) in [
        (format!("{response}{}", "x".repeat(4096)), 400),
        (response.clone(), 200),
    ] {
        let body = json!({"challenges": [{"guid": guid, "value": value}]});
        let (status, resumed) = gateway
            .nexus("PUT", &format!("{member}/resume"), Some(body))
            .await;
        assert_eq!(status, expected, "{resumed}");
        said.push(resumed.to_string());
    }
    nth_push(gateway, 2).await;
    let (_, lent) = lease(gateway, &job).await;
    assert!(lent.to_string().contains(&password), "the lease has it");
    assert!(lent.to_string().contains(&response), "the lease has it");
    let while_answered = everything(gateway).await;

    report(gateway, &job, failed("denied")).await;
    // Refused ones are not repeated either.
    for (credentials, expected) in [
        (
            json!([{"guid": LOGIN, "value": login}, {"guid": LOGIN, "value": newer}]),
            400,
        ),
        (json!([{"guid": BRANCH, "value": newer}]), 400),
        (pair(&newer), 200),
    ] {
        let body = json!({"member": {"credentials": credentials}});
        let (status, updated) = gateway.nexus("PUT", &member, Some(body)).await;
        assert_eq!(status, expected, "{updated}");
        said.push(updated.to_string());
    }
    let second = nth_job(gateway, 3).await;
    report(gateway, &second, json!({"status": "succeeded"})).await;
    said.push(gateway.nexus("GET", &member, None).await.1.to_string());
    let told = gateway
        .hooks
        .wait_for(|told| count(told, "member_data_updated") > 0, LIMIT)
        .await;

    let secrets = [
        ("login", login),
        ("password", password),
        ("new password", newer),
        ("answer", response),
        ("idempotency key", key),
    ];
    let at_the_end = everything(gateway).await;
    assert!(holds(&at_the_end, control.as_bytes()), "it is a dump");
    for dump in [&while_answered, &at_the_end] {
        assert_holds_none(dump, &secrets);
    }
    let log = served.log_at_the_end().await;
    assert!(log.contains("challenges answered"), "it is the log: {log}");
    let pushes = gateway.aggregator.received();
    let sent: Vec<String> = told.iter().chain(&pushes).map(Recorded::text).collect();
    for (name, secret) in &secrets {
        assert!(!log.contains(secret), "the log has the {name}");
        for text in said.iter().chain(&sent) {
            assert!(!text.contains(secret), "the {name} is told: {text}");
        }
    }
}

#[test]
fn m2_the_search_finds_every_form() {
    let secret = format!("ow_07{}", random_token());
    for form in forms(&secret) {
        let dump = [b"before".as_slice(), &form, b"after"].concat();
        assert!(holds(&dump, &form));
    }
    let kept = STANDARD.encode(&secret);
    assert!(
        forms(&secret)
            .iter()
            .any(|form| holds(kept.as_bytes(), form))
    );
}
