//! What the store must not give away: no secret of a flow is found in it, in no encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::behaviour::Behaviour;
use crate::support::dump::everything;
use crate::support::gateway::{
    BANK_GUID, BANK_SECRET, Backend, FORM_BANK_GUID, TestGateway, parameter,
};
use crate::support::random_token;
use crate::support::visitor::Visitor;

crate::on_both_stores!(
    m2_the_store_keeps_no_secret_of_a_flow,
    m2_a_held_answer_is_sealed
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
    let answer = gateway.bank.code_for(&authorization);
    secrets.push((
        "state",
        parameter(&authorization, "state").expect("a state"),
    ));
    secrets.push(("code", answer.code.clone().expect("a code")));
    let bindings = cookie_values(&visitor);
    assert_eq!(bindings.len(), 1);
    secrets.extend(bindings);
    let while_away = everything(&gateway).await;
    assert_holds_none(&while_away, &secrets);

    let page = visitor.follow(&answer.url()).await;
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

async fn m2_a_held_answer_is_sealed(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
    let (_, link) = gateway.member_with(body).await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let answer = gateway.bank.code_for(&authorization);
    let pairs = answer.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let held = gateway.visitor().post(&answer.redirect_uri, &fields).await;
    let next = held.location().expect("a location");
    let handle = parameter(&next, "answer").expect("a handle");
    let secrets = [
        ("code", answer.code.clone().expect("a code")),
        ("state", answer.state.clone().expect("a state")),
        ("handle", handle),
    ];
    assert_holds_none(&everything(&gateway).await, &secrets);
    let page = visitor.follow(&next).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
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
