//! The values of a flow and the authorization request (`security` M1 and section 1.3).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use guichet::domain::id::MemberGuid;
use guichet::domain::secret::LinkToken;
use guichet::flow::mint::MintOptions;
use guichet::flow::open::{Arrival, Way};
use guichet::flow::{mint, open};
use guichet::store::VisitKind;
use tokio::task::JoinSet;
use url::Url;

use crate::support::gateway::{
    BANK, BANK_GUID, Backend, CLIENT, RIVAL, Setup, TestGateway, bank_client_id, parameter,
};
use serde_json::json;

crate::on_both_stores!(
    m1_every_secret_is_256_fresh_random_bits,
    a1_tokens_in_the_front_channel_are_not_taken,
    a4_the_redirect_uri_is_the_same_all_along,
);

/// The bank's registration asks for OpenID, so that a nonce is sent.
fn with_openid() -> Setup {
    Setup {
        registration: "scopes = [\"openid\", \"accounts\"]".to_owned(),
        openid: true,
        ..Setup::default()
    }
}

const TASKS: usize = 20;
const EACH: usize = 100;

/// The values of one flow: link token, state, nonce, challenge and binding secret.
type Drawn = [String; 5];

async fn draw(
    gateway: std::sync::Arc<guichet::flow::Gateway>,
    user: guichet::domain::id::UserGuid,
    member: MemberGuid,
) -> Vec<Drawn> {
    let client = gateway
        .clients
        .get(&CLIENT.parse().expect("an id"))
        .expect("the client")
        .clone();
    let mut drawn = Vec::new();
    for _ in 0..EACH {
        let minted = mint::mint(&gateway, &client, user, member, MintOptions::default()).await;
        let link = minted.expect("a link").oauth_window_uri;
        let text = link
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .expect("a token");
        let token = LinkToken::parse(text).expect("a token");
        let arrival = open::open(&gateway, member, &token, VisitKind::Navigate, Vec::new()).await;
        let Ok(Arrival::Depart(departure)) = arrival else {
            panic!("not let through");
        };
        let value = |name| {
            let Way::Institution(to) = &departure.to else {
                panic!("a request can be made");
            };
            parameter(to, name).expect("a value")
        };
        drawn.push([
            text[5..].to_owned(),
            value("state")[2..].to_owned(),
            value("nonce"),
            value("code_challenge"),
            departure.cookie.secret.expose().to_owned(),
        ]);
    }
    drawn
}

async fn m1_every_secret_is_256_fresh_random_bits(backend: Backend) {
    let gateway = TestGateway::with(backend, with_openid()).await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (member, _) = gateway.member().await;
        tasks.spawn(draw(gateway.inside.clone(), gateway.user, member));
    }
    let drawn: Vec<Drawn> = tasks.join_all().await.into_iter().flatten().collect();
    let count = TASKS * EACH;
    assert_eq!(drawn.len(), count);
    let mut all = HashSet::new();
    for kind in 0..5 {
        let mut ones = [0_usize; 256];
        for values in &drawn {
            let bytes = URL_SAFE_NO_PAD.decode(&values[kind]).expect("base64url");
            assert_eq!(bytes.len(), 32);
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += usize::from(bytes[bit / 8] >> (bit % 8) & 1);
            }
            assert!(all.insert(values[kind].clone()), "a value was used twice");
        }
        // Seven standard deviations of a fair coin: a fixed or biased bit is far outside.
        let spread = 7 * (count as f64 / 4.0).sqrt() as usize;
        let fair = count / 2 - spread..=count / 2 + spread;
        for (bit, ones) in ones.iter().enumerate() {
            assert!(
                fair.contains(ones),
                "bit {bit} of kind {kind}: {ones} of {count}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a3_each_attempt_has_its_own_verifier_state_and_nonce() {
    let gateway = TestGateway::with(Backend::Sqlite, with_openid()).await;
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (member, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        assert_eq!(
            parameter(&request, "response_type").as_deref(),
            Some("code"),
            "a1"
        );
        assert_eq!(
            parameter(&request, "code_challenge_method").as_deref(),
            Some("S256")
        );
        let state = parameter(&request, "state").expect("a state");
        let nonce = parameter(&request, "nonce").expect("a nonce");
        assert_eq!(
            state.len(),
            45,
            "the partition's two characters and 43 random ones"
        );
        assert!(nonce.len() <= 64 && nonce.len() >= 43);
        // Nothing decodable: neither guid, in any of its written forms, is part of it.
        let guids = [member.compact(), gateway.user.compact(), member.to_string()];
        for guid in guids {
            assert!(!state.contains(&guid) && !nonce.contains(&guid));
        }
        assert!(!link.as_str().contains(&state[2..]), "not the link's token");

        // The honest bank compares verifier and challenge (RFC 7636 section 4.6).
        visitor.follow(&gateway.bank.code_for(&request).url()).await;
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
        let verifier = gateway
            .bank
            .token_requests()
            .last()
            .expect("a request")
            .field("code_verifier");
        let verifier = verifier.expect("a verifier");
        assert!((43..=128).contains(&verifier.len()));
        assert!(
            verifier
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        );
        for value in [state, nonce, verifier] {
            assert!(seen.insert(value), "a value was used twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_without_pkce_at_the_bank_a_forged_response_is_still_refused() {
    let setup = Setup {
        oauth: "pkce = \"auto\"".to_owned(),
        ..with_openid()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    gateway.bank.make_pkce_optional();
    let (victim, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    assert!(
        parameter(&request, "code_challenge").is_some(),
        "sent all the same"
    );
    // The attacker's own code, without a challenge, in the victim's browser.
    let mut own = request.clone();
    let kept: Vec<_> = request
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| !name.starts_with("code_challenge"))
        .collect();
    own.query_pairs_mut().clear().extend_pairs(kept);
    let mut response = gateway.bank.code_for(&own);
    response.state = Some(format!("00{}", crate::support::random_token()));
    let page = visitor.follow(&response.url()).await;
    assert_eq!((page.status, page.name()), (200, Some("no-answer")));
    assert_eq!(gateway.bank.hits().token, 0);
    assert_eq!(gateway.read(victim).await["connection_status"], "PENDING");
}

async fn a1_tokens_in_the_front_channel_are_not_taken(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let mut response = gateway.bank.code_for(&request);
    response.code = None;
    let mut url = response.url();
    url.query_pairs_mut()
        .append_pair("access_token", "canary-access")
        .append_pair("token_type", "bearer");
    let page = visitor.follow(&url).await;
    assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
    assert!(!page.body.contains("canary-access"));
    assert_eq!(gateway.bank.hits().token, 0);
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    assert_eq!(gateway.state(member).await["auth_status"], 3);
}

async fn a4_the_redirect_uri_is_the_same_all_along(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let sent = parameter(&request, "redirect_uri").expect("a redirect_uri");
    assert_eq!(
        sent,
        gateway
            .at(&format!("/oauth/redirect_from/{CLIENT}/{BANK}"))
            .as_str()
    );
    assert_eq!(
        parameter(&request, "client_id"),
        Some(bank_client_id(CLIENT, BANK))
    );
    visitor.follow(&gateway.bank.code_for(&request).url()).await;
    let exchanged = gateway.bank.token_requests()[0].field("redirect_uri");
    assert_eq!(exchanged.as_deref(), Some(sent.as_str()));

    // The rival's registration at the same bank has another one.
    let rival = RIVAL.parse().expect("a client id");
    let user = guichet::flow::access::create_user(&gateway.inside, &rival, Default::default())
        .await
        .expect("a user");
    let token = guichet::flow::access::api_token(&gateway.inside, &user)
        .await
        .expect("a token");
    let session = guichet::flow::access::begin_session(&gateway.inside, &token)
        .await
        .expect("a step")
        .expect("a session");
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let (status, response) = gateway
        .call("POST", "/members", Some(body), |request| {
            request.header("MD-SESSION-TOKEN", session.expose())
        })
        .await;
    assert_eq!(status, 200, "{response}");
    let link: Url = response["member"]["oauth_window_uri"]
        .as_str()
        .and_then(|l| l.parse().ok())
        .expect("a link");
    let theirs = gateway.open(&gateway.visitor(), &link).await;
    let theirs = parameter(&theirs, "redirect_uri").expect("a redirect_uri");
    assert_eq!(
        theirs,
        gateway
            .at(&format!("/oauth/redirect_from/{RIVAL}/{BANK}"))
            .as_str()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_the_endpoints_own_query_is_kept_and_cannot_be_broken_out_of() {
    let setup = Setup {
        swaps: vec![("/authorize\"", "/authorize?tenant=a%26b&x=%23\"")],
        registration: "scopes = [\"a&redirect_uri=https://evil.example\", \"b#\"]".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (_, link) = gateway.member().await;
    let opened = gateway.visitor().get(&link).await;
    let raw = opened.header("location").expect("a location").to_owned();
    let request = opened.location().expect("a URL");
    assert_eq!(request.origin(), gateway.bank.authorize_url().origin());
    assert!(request.fragment().is_none() && !raw.contains('#'), "{raw}");
    assert_eq!(parameter(&request, "tenant").as_deref(), Some("a&b"));
    let ours = gateway.at(&format!("/oauth/redirect_from/{CLIENT}/{BANK}"));
    assert_eq!(
        parameter(&request, "redirect_uri").as_deref(),
        Some(ours.as_str()),
        "{raw}"
    );
}
