//! Each knob bites: in the metadata, at the pushed request, in the authorization response.

use serde_json::json;

use super::client::{CLIENT_ID, STATE, Said, Tried, with};
use super::encrypted::{Own, header};
use crate::support::strict_bank::jws::Jws;
use crate::support::strict_bank::knobs::{Authorize, Jarm, Metadata, Par};
use crate::support::strict_bank::{Brought, ClientKeys, Place, Rules, SenderConstraint};
use crate::support::visitor::{Visitor, http};

const ELSEWHERE: &str = "https://elsewhere.example/";

#[tokio::test]
async fn the_metadata_are_spoilt_as_told() {
    for &knob in Metadata::ALL {
        let tried = Tried::at(Rules::default()).await;
        let read = async || Said::of(http().get(tried.bank.url(Place::Metadata))).await;
        let honest = read().await.json;
        tried.bank.turn(knob);
        if knob == Metadata::Slow {
            let request = http().get(tried.bank.url(Place::Metadata));
            let limit = std::time::Duration::from_millis(200);
            let response = request.timeout(limit).send().await.expect("the head comes");
            assert!(response.text().await.unwrap_err().is_timeout());
            continue;
        }
        let said = read().await;
        let fields = &said.json;
        let methods = &fields["code_challenge_methods_supported"];
        let is_so = match knob {
            Metadata::WrongIssuer => fields["issuer"] == json!(format!("{}/", tried.bank.issuer())),
            Metadata::EndpointMissing => fields.get("token_endpoint").is_none(),
            Metadata::EndpointForeign => said.text("token_endpoint").starts_with(ELSEWHERE),
            Metadata::EndpointOverHttp => {
                said.text("token_endpoint") == "http://bank.example/token"
            }
            Metadata::EndpointOfOddScheme => said
                .text("authorization_endpoint")
                .starts_with("javascript:"),
            Metadata::NoPkceList => methods.is_null(),
            Metadata::PkcePlainOnly => *methods == json!(["plain"]),
            Metadata::IssAdvertisedAndOmitted => {
                let brought = tried.agreed(&tried.parameters()).await;
                fields["authorization_response_iss_parameter_supported"] == json!(true)
                    && brought.value("iss").is_none()
            }
            Metadata::EndpointsMove => {
                said.text("jwks_uri").starts_with(ELSEWHERE)
                    && honest["jwks_uri"] != fields["jwks_uri"]
            }
            Metadata::Huge => said.body.len() > 256 * 1024,
            Metadata::Redirects => said.status == 302 && said.header("location") == ELSEWHERE,
            Metadata::Slow => unreachable!("tried above"),
        };
        assert!(is_so, "{knob:?}: {}", said.body);
        tried.bank.be_honest();
        assert_eq!(read().await.json, honest, "{knob:?}");
    }
}

#[tokio::test]
async fn a_pushed_request_is_answered_as_told() {
    for &knob in Par::ALL {
        let tried = Tried {
            is_dpop: true,
            ..Tried::at(Rules::default()).await
        };
        tried.bank.turn(knob);
        let said = tried.push(&tried.parameters()).await;
        let name = said.json["request_uri"].as_str().unwrap_or_default();
        let shown = with(
            with(Vec::new(), "client_id", CLIENT_ID),
            "request_uri",
            name,
        );
        let is_so = match knob {
            Par::Status200 => said.status == 200 && tried.visit(&shown).await.0 == 303,
            Par::Redirects => said.status == 302 && said.header("location") == ELSEWHERE,
            Par::RequestUriInjects => name.contains("&redirect_uri=") && name.contains('#'),
            Par::RequestUriIsAnAddress => name == ELSEWHERE,
            Par::RequestUriIsANumber => said.json["request_uri"].is_number(),
            Par::RequestUriMissing => said.json.get("request_uri").is_none(),
            Par::RequestUriHuge => name.len() > 1 << 20,
            Par::ExpiresInZero => said.json["expires_in"] == json!(0),
            Par::ExpiresInOne => {
                tried
                    .bank
                    .clock()
                    .advance(std::time::Duration::from_secs(1));
                said.json["expires_in"] == json!(1)
                    && tried.visit(&shown).await.1.contains("expired")
            }
            Par::ExpiresInMissing => said.json.get("expires_in").is_none(),
            Par::NonceDemanded => {
                let refused = tried.bank.refusals();
                said.status == 201 && refused.len() == 1 && refused[0].contains("use_dpop_nonce")
            }
            Par::RequestUriRefused => tried.visit(&shown).await.1.contains("used before"),
        };
        assert!(is_so, "{knob:?}: {}", said.body);
    }
}

#[tokio::test]
async fn the_authorization_response_is_spoilt_as_told() {
    for &knob in Authorize::ALL {
        let tried = Tried::at(Rules::default()).await;
        let honest = tried.agreed(&tried.parameters()).await;
        tried.bank.turn(knob);
        let page = Visitor::new()
            .get(&tried.request(&tried.parameters()))
            .await;
        let brought = Brought::of(&page).expect("a response");
        let count = |name: &str| brought.pairs.iter().filter(|(key, _)| key == name).count();
        let state = brought.value("state");
        let fragment = page
            .location()
            .and_then(|to| Some(to.fragment()?.to_owned()));
        let fragment = fragment.unwrap_or_default();
        let advertised = async || {
            let said = Said::of(http().get(tried.bank.url(Place::Metadata))).await;
            said.json["authorization_response_iss_parameter_supported"] == json!(true)
        };
        let is_so = match knob {
            Authorize::IssDropped => brought.value("iss").is_none() && advertised().await,
            Authorize::IssAltered => {
                brought.value("iss") == Some(&format!("{}/", tried.bank.issuer()))
            }
            Authorize::IssNotAdvertised => brought.value("iss").is_some() && !advertised().await,
            Authorize::StateDropped => state.is_none(),
            Authorize::StateAltered => state.is_some_and(|it| it != STATE && it[..2] == STATE[..2]),
            Authorize::StateTwice => count("state") == 2,
            Authorize::InTheFragment => count("code") == 0 && fragment.contains("code="),
            Authorize::PostedUnasked => brought.is_posted && !honest.is_posted,
            Authorize::HostileError => {
                let text = brought.value("error_description").unwrap_or_default();
                text.len() > 2048 && text.contains("<script>") && count("code") == 0
            }
            Authorize::CodeAndError => count("code") == 1 && count("error") == 1,
            Authorize::CodeTwice => count("code") == 2,
            Authorize::BouncesElsewhere => {
                brought.to.as_str() == ELSEWHERE && brought.value("client_id") == Some(CLIENT_ID)
            }
            Authorize::OversizedCode => brought.value("code").is_some_and(|it| it.len() > 4096),
            Authorize::TokensInTheQuery => count("access_token") == 1 && count("code") == 0,
            Authorize::TokensInTheFragment => fragment.contains("access_token="),
        };
        assert!(is_so, "{knob:?}: {:?} {}", page.headers, page.body);
        tried.bank.be_honest();
        let names = |brought: &Brought| -> Vec<String> {
            brought.pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(
            names(&tried.agreed(&tried.parameters()).await),
            names(&honest),
            "{knob:?}"
        );
    }
}

#[tokio::test]
async fn the_signed_response_is_spoilt_as_told() {
    let own = Own::new();
    for &knob in Jarm::ALL {
        let tried = Tried {
            response_mode: "query.jwt",
            ..Tried::at(Rules::default()).await
        };
        tried.register(ClientKeys::Inline(json!({"keys": own.jwks})));
        tried.bank.turn(knob);
        let brought = tried.agreed(&tried.parameters()).await;
        let text = brought.value("response").expect("one");
        if knob == Jarm::EncryptedWithRsa15 {
            assert_eq!(header(text)["alg"], "RSA1_5");
            continue;
        }
        let jws = Jws::parse(text).expect("a JWS");
        let is_signed = match tried.published(&jws.header["kid"]).await {
            Some(key) => jws.is_of(&key),
            None => false,
        };
        let flawed = [Jarm::BadSignature, Jarm::AlgNone];
        assert_eq!(is_signed, !flawed.contains(&knob), "{knob:?}");
        let is_so = match knob {
            Jarm::IssMissing => jws.text("iss").is_none(),
            Jarm::IssWrong => jws.text("iss") == Some("https://elsewhere.example"),
            Jarm::AudMissing => jws.text("aud").is_none(),
            Jarm::AudWrong => jws.text("aud") == Some("another"),
            Jarm::ExpMissing => jws.time("exp").is_none(),
            Jarm::ExpPassed => jws.time("exp").is_some_and(|it| it < tried.now()),
            Jarm::BadSignature => jws.header["alg"] == "ES256",
            Jarm::AlgNone => jws.header["alg"] == "none" && text.ends_with('.'),
            Jarm::OtherAlg => jws.header["alg"] != "ES256",
            Jarm::PlainParametersBeside => brought.value("code") == jws.text("code"),
            Jarm::EncryptedWithRsa15 => unreachable!("tried above"),
        };
        assert!(is_so, "{knob:?}: {}", jws.claims);
    }
}

#[tokio::test]
async fn a_bounce_leads_where_it_was_told_to() {
    let tried = Tried::at(Rules::default()).await;
    let other = Tried::at(Rules {
        sender_constraint: SenderConstraint::Mtls,
        ..Rules::default()
    });
    let other = other.await;
    tried.bank.leads_to(other.bank.url(Place::Authorize));
    tried.bank.turn(Authorize::BouncesElsewhere);
    let page = Visitor::new()
        .get(&tried.request(&tried.parameters()))
        .await;
    let there = Visitor::new()
        .get(&page.location().expect("a location"))
        .await;
    let brought = Brought::of(&there).expect("a response");
    assert_eq!(brought.value("iss"), Some(other.bank.issuer().as_str()));
    assert_eq!(brought.value("state"), Some(STATE));
}
