//! Who signed in, by OpenID Connect: each rule for ID tokens and UserInfo is kept at the strict bank, which breaks them
//! one by one, and nobody connects without a valid ID token.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};

use crate::support::aggregation::{job, lease, nth_push, report};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::strict_bank::jws::Algorithm;
use crate::support::strict_bank::knobs::{Claim, IdToken, Jwks, Knob, Spoilt, UserInfo};
use crate::support::strict_bank::{Place, Rules, STRICT_GUID, Strict, StrictBank};
use crate::support::visitor::Page;

crate::on_both_stores!(
    i5_a_code_of_another_browser_cannot_be_injected_where_pkce_is_ignored,
    i10_tokens_without_a_valid_id_token_connect_nobody_and_are_given_back,
    i9_a_member_is_not_taken_over_by_another_subject,
    k4_a_refreshed_id_token_of_somebody_else_costs_the_connection_and_not_the_tokens,
    k4_a_refreshed_id_token_that_cannot_be_verified_costs_nothing,
);

/// A little more than the access tokens are valid.
const TOKEN: Duration = Duration::from_secs(3601);

/// The strict bank, and a gateway that has it, with `more` in its `[oauth]`.
async fn began(backend: Backend, rules: Rules, more: &str) -> (StrictBank, TestGateway) {
    let bank = StrictBank::start(rules).await;
    let setup = Setup {
        client: "duplicates = \"refuse\"".to_owned(),
        strict: Some(Strict {
            oauth: bank.oauth_table("client_secret_basic", more),
            ..Strict::by_secret(&bank)
        }),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    (bank, gateway)
}

/// A new member goes through OAuth at the strict bank.
async fn tried(bank: &StrictBank, gateway: &TestGateway) -> (MemberGuid, Page) {
    let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
    let (member, link) = gateway.member_with(body).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    (member, page)
}

/// Somebody connects.
async fn connects(bank: &StrictBank, gateway: &TestGateway, what: &str) -> MemberGuid {
    bank.signs_in(&crate::support::random_token());
    let (member, page) = tried(bank, gateway).await;
    let detail = detail(gateway, member).await;
    assert_eq!(page.name(), Some("connected"), "{what}: {detail:?}");
    member
}

/// What the operator is told of how a member's link ended.
async fn detail(gateway: &TestGateway, member: MemberGuid) -> Option<String> {
    let state = gateway.state(member).await;
    let guid = state["guid"].as_str().and_then(|it| it.parse().ok());
    let (store, now) = (&gateway.inside.store, gateway.inside.clock.now());
    let window = store.window(gateway.user, guid.expect("a guid"), now).await;
    window.expect("a step").expect("a window").detail
}

/// Nobody connects, the operator is told the rule by these words, and the tokens are given back.
async fn refused(bank: &StrictBank, gateway: &TestGateway, what: &str, words: &str) {
    let before = bank.requests(Place::Revoke).len();
    let (member, page) = tried(bank, gateway).await;
    assert_eq!(page.name(), Some("provider-error"), "{what}");
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "PENDING", "{what}");
    let detail = detail(gateway, member).await.unwrap_or_default();
    assert!(detail.contains(words), "{what}: {detail}");
    eventually(async || (bank.requests(Place::Revoke).len() > before).then_some(())).await;
}

/// The same for each of these knobs, alone.
async fn each_is_refused(rules: Rules, more: &str, knobs: &[(Knob, &str)]) {
    let (bank, gateway) = began(Backend::Sqlite, rules, more).await;
    for (knob, words) in knobs {
        bank.turn(*knob);
        refused(&bank, &gateway, &format!("{knob:?}"), words).await;
        bank.be_honest();
        connects(&bank, &gateway, "honest again").await;
    }
}

fn spoilt(how: Spoilt, claim: Claim, words: &str) -> (Knob, &str) {
    (Knob::from((how, claim)), words)
}

/// Each way in which that claim can be spoilt.
fn in_every_way(claim: Claim, words: &str) -> Vec<(Knob, &str)> {
    let ways = Spoilt::ALL.iter();
    ways.map(|&how| spoilt(how, claim, words)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_i2_an_id_token_is_of_the_issuer_and_for_the_client() {
    let mut knobs = in_every_way(Claim::Iss, "iss is not the institution's issuer");
    knobs.extend(in_every_way(Claim::Aud, "aud does not name the client"));
    knobs.extend([
        spoilt(Spoilt::Wrong, Claim::Azp, "azp is not the client"),
        spoilt(Spoilt::WrongType, Claim::Azp, "azp is not the client"),
    ]);
    each_is_refused(Rules::default(), "", &knobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_an_id_token_is_signed_by_the_registered_algorithm_and_a_published_key() {
    let other = "another alg than the registered one";
    let knobs = [
        (IdToken::AlgNone.into(), other),
        (IdToken::AlgHsWithPublicKey.into(), other),
        (IdToken::OtherAlg.into(), other),
        (IdToken::BadSignature.into(), "its signature is wrong"),
    ];
    each_is_refused(Rules::default(), "", &knobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_every_algorithm_can_be_the_registered_one() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
        Algorithm::HS256,
    ] {
        let rules = Rules {
            id_token: algorithm,
            ..Rules::default()
        };
        let (bank, gateway) = began(Backend::Sqlite, rules, "").await;
        connects(&bank, &gateway, &format!("{algorithm:?}")).await;
        let asks_for_keys = usize::from(algorithm != Algorithm::HS256);
        assert_eq!(bank.requests(Place::Jwks).len(), asks_for_keys);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_an_id_token_has_its_times() {
    let no_time = "is missing, or is no time";
    let knobs = [
        spoilt(Spoilt::Missing, Claim::Exp, no_time),
        spoilt(Spoilt::WrongType, Claim::Exp, no_time),
        spoilt(Spoilt::Wrong, Claim::Exp, "exp has passed"),
        spoilt(Spoilt::Missing, Claim::Iat, no_time),
        spoilt(Spoilt::WrongType, Claim::Iat, no_time),
        spoilt(Spoilt::Wrong, Claim::Iat, "iat has not come yet"),
        spoilt(Spoilt::WrongType, Claim::Nbf, no_time),
        spoilt(Spoilt::Wrong, Claim::Nbf, "nbf has not come yet"),
        (
            IdToken::IssuedAWeekAgo.into(),
            "iat is more than ten minutes ago",
        ),
    ];
    each_is_refused(Rules::default(), "", &knobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_id_token_has_the_nonce_and_a_subject() {
    let mut knobs = in_every_way(
        Claim::Nonce,
        "nonce is not that of the authorization request",
    );
    knobs.extend(in_every_way(Claim::Sub, "sub is missing, empty or longer"));
    each_is_refused(Rules::default(), "", &knobs).await;
}

/// Where PKCE is ignored only the nonce binds a code to the browser that asked for it.
async fn i5_a_code_of_another_browser_cannot_be_injected_where_pkce_is_ignored(backend: Backend) {
    for (scopes, outcome) in [
        // Without a nonce nothing notices it.
        ("[\"accounts\"]", "connected"),
        ("[\"openid\", \"accounts\"]", "provider-error"),
    ] {
        let setup = Setup {
            registration: format!("scopes = {scopes}"),
            openid: true,
            oauth: "pkce = \"off\"\npkce_reason = \"it is ignored there\"".to_owned(),
            ..Setup::default()
        };
        let gateway = TestGateway::with(backend, setup).await;
        gateway.bank.make_pkce_optional();
        let (_, link) = gateway.member().await;
        let attackers = gateway.open(&gateway.visitor(), &link).await;
        let stolen = gateway.bank.code_for(&attackers).code;
        let (member, link) = gateway.member().await;
        let victim = gateway.visitor();
        let request = gateway.open(&victim, &link).await;
        let mut response = gateway.bank.code_for(&request);
        response.code = stolen;
        let page = victim.follow(&response.url()).await;
        assert_eq!(page.name(), Some(outcome), "{scopes}");
        if outcome != "connected" {
            let read = gateway.read(member).await;
            assert_eq!(read["connection_status"], "PENDING");
            let detail = detail(&gateway, member).await.unwrap_or_default();
            assert!(detail.contains("nonce is not that"), "{detail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_only_published_keys_count_and_what_is_not_understood_is_refused() {
    let knobs = [
        (IdToken::KidUnknown.into(), "no key of the set"),
        (IdToken::HeaderJku.into(), "no key of the set"),
        (IdToken::HeaderJwk.into(), "no key of the set"),
        (IdToken::HeaderX5u.into(), "no key of the set"),
        (IdToken::HeaderCrit.into(), "crit, which is not understood"),
    ];
    each_is_refused(Rules::default(), "", &knobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_a_key_is_found_without_a_name_and_among_decoys() {
    for knob in [
        Knob::from(IdToken::KidMissing),
        Jwks::Decoys.into(),
        Jwks::RotatesBeforeSigning.into(),
    ] {
        let (bank, gateway) = began(Backend::Sqlite, Rules::default(), "").await;
        bank.turn(knob);
        connects(&bank, &gateway, &format!("{knob:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x1_without_keys_to_be_relied_on_nobody_connects() {
    for (knob, algorithm, words) in [
        (Jwks::Status500, Algorithm::ES256, "keys could not be read"),
        (Jwks::TenThousandKeys, Algorithm::ES256, "longer than"),
        (
            Jwks::RotatesWithoutPublishing,
            Algorithm::ES256,
            "no key of the set",
        ),
        (Jwks::WeakRsa, Algorithm::RS256, "no key of the set"),
    ] {
        let rules = Rules {
            id_token: algorithm,
            ..Rules::default()
        };
        let (bank, gateway) = began(Backend::Sqlite, rules, "").await;
        bank.turn(knob);
        refused(&bank, &gateway, &format!("{knob:?}"), words).await;
        assert_eq!(bank.requests(Place::Jwks).len(), 1, "{knob:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_where_encryption_is_registered_a_plain_id_token_is_refused() {
    let more = "id_token_encrypted_response_alg = \"RSA-OAEP-256\"\n\
                id_token_encrypted_response_enc = \"A256GCM\"";
    let (bank, gateway) = began(Backend::Sqlite, Rules::default(), more).await;
    refused(
        &bank,
        &gateway,
        "plain",
        "it is not encrypted, though that is registered",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_a_hash_of_the_access_token_is_compared_if_it_is_there() {
    let wrong = "at_hash is not that of the access token";
    let knobs = [
        spoilt(Spoilt::Wrong, Claim::AtHash, wrong),
        spoilt(Spoilt::WrongType, Claim::AtHash, wrong),
    ];
    each_is_refused(Rules::default(), "", &knobs).await;
    let (bank, gateway) = began(Backend::Sqlite, Rules::default(), "").await;
    bank.turn((Spoilt::Missing, Claim::AtHash));
    connects(&bank, &gateway, "it is optional").await;
}

/// `[oauth.subject]` that asks at UserInfo, which is at `bank`.
async fn with_userinfo(rules: Rules, signed: &str) -> (StrictBank, TestGateway) {
    let bank = StrictBank::start(rules).await;
    let more = format!(
        "{signed}\n[oauth.subject]\nfrom = \"identify\"\nendpoint = \"{}\"\n",
        bank.url(Place::UserInfo)
    );
    let setup = Setup {
        client: "duplicates = \"refuse\"".to_owned(),
        strict: Some(Strict {
            oauth: bank.oauth_table("client_secret_basic", &more),
            ..Strict::by_secret(&bank)
        }),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    (bank, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_userinfo_is_about_the_person_of_the_id_token() {
    let (bank, gateway) = with_userinfo(Rules::default(), "").await;
    connects(&bank, &gateway, "plain").await;
    bank.turn(UserInfo::OtherSub);
    refused(
        &bank,
        &gateway,
        "another sub",
        "is not that of the ID token",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_signed_userinfo_is_verified_where_that_is_registered() {
    let signed = "userinfo_signed_response_alg = \"ES256\"";
    let rules = Rules {
        userinfo: Some(Algorithm::ES256),
        ..Rules::default()
    };
    let (bank, gateway) = with_userinfo(rules.clone(), signed).await;
    connects(&bank, &gateway, "signed").await;
    for (knob, words) in [
        (UserInfo::OtherSub, "is not that of the ID token"),
        (UserInfo::BadSignature, "its signature is wrong"),
    ] {
        bank.turn(knob);
        refused(&bank, &gateway, &format!("{knob:?}"), words).await;
        bank.be_honest();
    }
    // Nobody takes the signature away unnoticed.
    bank.change(|rules| rules.userinfo = None);
    refused(
        &bank,
        &gateway,
        "plain",
        "is not signed, though that is registered",
    )
    .await;
    // What is signed and not registered to be is not what was agreed on.
    let (bank, gateway) = with_userinfo(rules, "").await;
    refused(&bank, &gateway, "signed", "a signed token instead of JSON").await;
}

async fn i10_tokens_without_a_valid_id_token_connect_nobody_and_are_given_back(backend: Backend) {
    let (bank, gateway) = began(backend, Rules::default(), "").await;
    bank.turn(IdToken::BadSignature);
    refused(&bank, &gateway, "bad signature", "the ID token is refused").await;
    let revoked = bank.requests(Place::Revoke);
    for request in &revoked {
        let token = request.field("token").expect("a token");
        assert_eq!(bank.introspection(&token)["active"], json!(false));
    }
    assert_eq!(counted(&gateway).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i10_an_intent_that_was_sent_must_come_back() {
    let more = "[oauth.id_token_claims]\nopenbanking_intent_id = \"intent-7\"\n";
    let (bank, gateway) = began(Backend::Sqlite, Rules::default(), more).await;
    let words = "openbanking_intent_id does not have the value that was bound";
    refused(&bank, &gateway, "no intent", words).await;
}

/// The newest link of a member.
async fn minted(gateway: &TestGateway, member: MemberGuid) -> url::Url {
    let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
    let (_, minted) = gateway.platform("GET", &path, None).await;
    let link = minted["member"]["oauth_window_uri"].as_str();
    link.and_then(|it| it.parse().ok()).expect("a link")
}

async fn i9_a_member_is_not_taken_over_by_another_subject(backend: Backend) {
    let more = "[oauth.subject]\nfrom = \"id_token\"\n";
    let (bank, gateway) = began(backend, Rules::default(), more).await;
    bank.signs_in("ada");
    let (member, page) = tried(&bank, &gateway).await;
    assert_eq!(page.name(), Some("connected"));
    let before = bank.requests(Place::Revoke).len();
    // Somebody else, of the same e-mail address, comes back with the member.
    bank.signs_in("eve");
    let page = bank
        .connect(&gateway.visitor(), &minted(&gateway, member).await)
        .await;
    assert_eq!(page.name(), Some("other-login"), "{}", page.body);
    eventually(async || (bank.requests(Place::Revoke).len() > before).then_some(())).await;
    let read = gateway.read(member).await;
    assert_eq!(
        read["connection_status"], "CONNECTED",
        "the old tokens are kept"
    );
    // The same one may, and is no second member.
    bank.signs_in("ada");
    let page = bank
        .connect(&gateway.visitor(), &minted(&gateway, member).await)
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let (_, page) = tried(&bank, &gateway).await;
    assert_eq!(page.name(), Some("duplicate"), "{}", page.body);
    assert!(bank.requests(Place::UserInfo).is_empty(), "nobody is asked");
}

/// The member over an API whose keys do not end.
async fn read(gateway: &TestGateway, member: MemberGuid) -> Value {
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    response["member"].clone()
}

/// So many members that were pulled once, and whose access tokens have ended since.
async fn pulled(bank: &StrictBank, gateway: &TestGateway, count: usize) -> Vec<MemberGuid> {
    let mut members = Vec::new();
    for nth in 1..=count {
        members.push(connects(bank, gateway, "honest").await);
        let first = job(&nth_push(gateway, nth).await);
        let (status, lent) = lease(gateway, &first).await;
        assert_eq!(status, 200, "{lent}");
        let done = report(gateway, &first, json!({"status": "succeeded"})).await;
        assert_eq!(done, (200, "SUCCEEDED".to_owned()));
    }
    gateway.pass(TOKEN);
    members
}

/// The job that is to pull a member again.
async fn ordered(gateway: &TestGateway, member: MemberGuid) -> String {
    let before = gateway.aggregator.received().len();
    let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
    let (status, response) = gateway.platform("POST", &path, None).await;
    assert_eq!(status, 202, "{response}");
    job(&nth_push(gateway, before + 1).await)
}

/// How many ID tokens of the strict bank broke a rule, as it is counted.
async fn counted(gateway: &TestGateway) -> String {
    let metrics = gateway.metrics().await;
    let start = "guichet_id_tokens_refused_total{client=\"acme\",institution=\"strict_bank\"} ";
    let mut counts = metrics.lines().filter_map(|line| line.strip_prefix(start));
    counts.next().unwrap_or_default().to_owned()
}

async fn k4_a_refreshed_id_token_of_somebody_else_costs_the_connection_and_not_the_tokens(
    backend: Backend,
) {
    let (bank, gateway) = began(backend, Rules::default(), "").await;
    let members = pulled(&bank, &gateway, 4).await;
    let claims = [Claim::Iss, Claim::Sub, Claim::Aud, Claim::Azp];
    for (&member, claim) in members.iter().zip(claims) {
        let job = ordered(&gateway, member).await;
        let before = bank.requests(Place::Token).len();
        bank.turn((Spoilt::Wrong, claim));
        let (status, _) = lease(&gateway, &job).await;
        assert_ne!(status, 200, "{claim:?}");
        bank.be_honest();
        let of = read(&gateway, member).await;
        assert_eq!(of["connection_status"], "IMPAIRED", "{claim:?}");
        assert_eq!(of["connection_status_reason"], "OTHER_LOGIN");
        // Nothing is tried with them again, and they are not given back either.
        let (status, _) = lease(&gateway, &job).await;
        assert_ne!(status, 200);
        assert_eq!(bank.requests(Place::Token).len(), before + 1);
        assert!(bank.requests(Place::Revoke).is_empty());
    }
    assert_eq!(counted(&gateway).await, "4");
    // The person comes back, and what is replaced is given back.
    let link = minted(&gateway, members[0]).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let of = read(&gateway, members[0]).await;
    assert_eq!(of["connection_status"], "CONNECTED");
    assert!(of["connection_status_reason"].is_null());
    eventually(async || (!bank.requests(Place::Revoke).is_empty()).then_some(())).await;
}

async fn k4_a_refreshed_id_token_that_cannot_be_verified_costs_nothing(backend: Backend) {
    let (bank, gateway) = began(backend, Rules::default(), "").await;
    let members = pulled(&bank, &gateway, 4).await;
    let knobs = [
        Knob::from(IdToken::BadSignature),
        IdToken::KidUnknown.into(),
        IdToken::AlgNone.into(),
        (Spoilt::Wrong, Claim::Exp).into(),
    ];
    for (&member, knob) in members.iter().zip(knobs) {
        let job = ordered(&gateway, member).await;
        bank.turn(knob);
        let (status, lent) = lease(&gateway, &job).await;
        assert_eq!(status, 200, "{knob:?}: {lent}");
        bank.be_honest();
        let token = lent["access_token"].as_str().expect("a token");
        assert_eq!(bank.introspection(token)["active"], json!(true));
        let of = read(&gateway, member).await;
        assert_eq!(of["connection_status"], "CONNECTED");
        let done = report(&gateway, &job, json!({"status": "succeeded"})).await;
        assert_eq!(done, (200, "SUCCEEDED".to_owned()));
    }
    assert_eq!(counted(&gateway).await, "4");
}
