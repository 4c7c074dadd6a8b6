//! Authorization responses that are signed (`security` C14, C16, C17): as one JWT, or by an ID token beside the code.

use guichet::domain::id::MemberGuid;
use serde_json::json;
use url::Url;

use crate::support::at_the_bank::{is_led_back, is_refused};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::random_token;
use crate::support::strict_bank::knobs::{Authorize, Claim, IdToken, Jarm, Knob, Spoilt};
use crate::support::strict_bank::{
    Brought, ClientKeys, Encryption, Place, Rules, STRICT_GUID, Strict, StrictBank,
};
use crate::support::visitor::Visitor;

crate::on_both_stores!(
    c16_a_signed_response_connects_and_each_wrong_one_changes_nothing,
    c16_a_stranger_causes_no_call_to_the_bank,
    c17_an_id_token_vouches_for_the_code_before_it_is_used,
);

/// A gateway whose client is registered at a strict bank.
pub struct Signed {
    pub bank: StrictBank,
    pub gateway: TestGateway,
}

impl Signed {
    /// At a bank with these rules; `more` is added to the institution's `[oauth]`, `keys` is a file of what it encrypts to.
    pub async fn start(backend: Backend, rules: Rules, more: &str, keys: Option<&str>) -> Self {
        let bank = StrictBank::start(rules).await;
        let mut strict = Strict::by_secret(&bank);
        strict.oauth = bank.oauth_table("client_secret_basic", more);
        if let Some(file) = keys {
            let pem = std::fs::read(file).expect("a key");
            let alg = guichet::domain::algorithm::KeyManagement::RsaOaep256;
            let key = guichet::jose::DecryptionKey::from_pem(&pem, alg).expect("a key");
            strict.keys = ClientKeys::Inline(json!({"keys": [key.public_jwk()]}));
            strict.registration += &format!("encryption_key_files = [{file:?}]\n");
        }
        let setup = Setup {
            strict: Some(strict),
            ..Setup::default()
        };
        let gateway = TestGateway::with(backend, setup).await;
        Self { bank, gateway }
    }

    /// With responses that are JWTs, in that mode.
    pub async fn jarm(backend: Backend, mode: &str) -> Self {
        let more =
            format!("response_mode = \"{mode}\"\nauthorization_signed_response_alg = \"ES256\"\n");
        Self::start(backend, Rules::default(), &more, None).await
    }

    pub async fn member(&self) -> (MemberGuid, Url) {
        let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
        self.gateway.member_with(body).await
    }

    /// A browser that comes back, and what it brings.
    async fn coming_back(&self) -> (MemberGuid, Visitor, Brought) {
        let (member, link) = self.member().await;
        let visitor = self.gateway.visitor();
        let request = visitor.get(&link).await.location().expect("to the bank");
        (member, visitor, self.bank.response(&request).await)
    }

    fn token_requests(&self) -> usize {
        self.bank.requests(Place::Token).len()
    }

    /// A response that is spoilt so leads back and changes nothing, and the honest one still connects.
    async fn refuses(&self, knob: impl Into<Knob>, what: &str) {
        self.bank.be_honest();
        self.bank.turn(knob);
        let before = self.token_requests();
        let (member, visitor, spoilt) = self.coming_back().await;
        is_led_back(&spoilt.deliver(&visitor).await, what);
        is_refused(&spoilt.deliver(&self.gateway.visitor()).await, what);
        assert_eq!(self.token_requests(), before, "{what}");
        assert_eq!(self.gateway.state(member).await["auth_status"], 1, "{what}");
        assert_eq!(
            self.gateway.read(member).await["connection_status"],
            "PENDING"
        );
    }
}

async fn c16_a_signed_response_connects_and_each_wrong_one_changes_nothing(backend: Backend) {
    for mode in ["query.jwt", "form_post.jwt"] {
        let at = Signed::jarm(backend, mode).await;
        let (member, visitor, brought) = at.coming_back().await;
        assert_eq!(brought.is_posted, mode == "form_post.jwt");
        let names: Vec<&str> = brought
            .pairs
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["response"]);
        let page = brought.deliver(&visitor).await;
        assert_eq!(page.name(), Some("connected"), "{mode}: {}", page.body);
        assert_eq!(
            at.gateway.read(member).await["connection_status"],
            "CONNECTED"
        );
        let again = brought.deliver(&visitor).await;
        assert_eq!(
            again.name(),
            Some("connected"),
            "the same page: {}",
            again.body
        );
        assert_eq!(at.token_requests(), 1);
        for knob in [
            Jarm::IssMissing,
            Jarm::IssWrong,
            Jarm::AudMissing,
            Jarm::AudWrong,
            Jarm::ExpMissing,
            Jarm::ExpPassed,
            Jarm::BadSignature,
            Jarm::AlgNone,
            Jarm::OtherAlg,
            Jarm::PlainParametersBeside,
        ] {
            at.refuses(knob, &format!("{mode} {knob:?}")).await;
        }
    }
}

async fn c16_a_stranger_causes_no_call_to_the_bank(backend: Backend) {
    let at = Signed::jarm(backend, "query.jwt").await;
    at.bank.turn(Authorize::StateAltered);
    let (_, visitor, brought) = at.coming_back().await;
    is_led_back(&brought.deliver(&visitor).await, "an unknown state");
    is_refused(
        &brought.deliver(&at.gateway.visitor()).await,
        "an unknown state",
    );
    let mut invented = brought.clone();
    invented.pairs = vec![("response".to_owned(), random_token())];
    is_refused(&invented.deliver(&at.gateway.visitor()).await, "no JWT");
    assert_eq!(
        at.bank.requests(Place::Jwks).len(),
        0,
        "keys are not asked for"
    );
    assert_eq!(at.token_requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_a_jwt_counts_only_in_the_mode_that_was_asked_for() {
    for (mode, is_posted) in [("query.jwt", true), ("form_post.jwt", false)] {
        let at = Signed::jarm(Backend::Sqlite, mode).await;
        let (_, visitor, mut brought) = at.coming_back().await;
        brought.is_posted = is_posted;
        is_led_back(&brought.deliver(&visitor).await, mode);
        assert_eq!(at.token_requests(), 0);
        brought.is_posted = !is_posted;
        let page = brought.deliver(&visitor).await;
        assert_eq!(page.name(), Some("connected"), "{mode}: {}", page.body);
    }
    // Plain ones do not count where a JWT was asked for, nor a JWT where plain ones were.
    let at = Signed::jarm(Backend::Sqlite, "query.jwt").await;
    let (_, visitor, brought) = at.coming_back().await;
    let mut plain = brought.clone();
    plain.pairs = vec![
        ("code".to_owned(), random_token()),
        ("state".to_owned(), random_token()),
    ];
    is_led_back(&plain.deliver(&visitor).await, "plain");
    let at = Signed::start(Backend::Sqlite, Rules::default(), "", None).await;
    let (_, visitor, honest) = at.coming_back().await;
    let mut jwt = honest.clone();
    jwt.pairs = vec![(
        "response".to_owned(),
        brought.value("response").expect("a JWT").to_owned(),
    )];
    is_led_back(&jwt.deliver(&visitor).await, "a JWT");
    assert_eq!(at.token_requests(), 0);
    let page = honest.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c16_an_encrypted_response_connects_and_one_that_is_only_signed_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.pem");
    let algorithm = guichet::domain::algorithm::SigningAlgorithm::PS256;
    let made = guichet::jose::new_key(algorithm).expect("a key");
    std::fs::write(&file, made.as_bytes()).expect("written");
    let rules = Rules {
        response_encryption: Some(Encryption {
            alg: "RSA-OAEP-256",
            enc: "A256GCM",
        }),
        ..Rules::default()
    };
    let more = "response_mode = \"form_post.jwt\"\nauthorization_signed_response_alg = \"ES256\"\n\
                authorization_encrypted_response_alg = \"RSA-OAEP-256\"\n\
                authorization_encrypted_response_enc = \"A256GCM\"\n";
    let file = file.display().to_string();
    let at = Signed::start(Backend::Sqlite, rules, more, Some(&file)).await;
    let (_, visitor, brought) = at.coming_back().await;
    let jwt = brought.value("response").expect("a JWT");
    assert_eq!(jwt.split('.').count(), 5, "encrypted");
    let page = brought.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    at.refuses(Jarm::EncryptedWithRsa15, "RSA1_5").await;
    at.bank.be_honest();
    at.bank.change(|rules| rules.response_encryption = None);
    let before = at.token_requests();
    let (_, visitor, plain) = at.coming_back().await;
    is_led_back(&plain.deliver(&visitor).await, "only signed");
    assert_eq!(at.token_requests(), before);
}

async fn c17_an_id_token_vouches_for_the_code_before_it_is_used(backend: Backend) {
    let rules = Rules {
        response_type: "code id_token",
        ..Rules::default()
    };
    let more = "response_type = \"code id_token\"\nresponse_mode = \"form_post\"\n";
    let at = Signed::start(backend, rules, more, None).await;
    let (member, visitor, brought) = at.coming_back().await;
    assert!(brought.value("id_token").is_some() && brought.is_posted);
    let page = brought.deliver(&visitor).await;
    assert_eq!(
        page.name(),
        Some("connected"),
        "{:?} {}",
        at.bank.refusals(),
        page.body
    );
    assert_eq!(
        at.gateway.read(member).await["connection_status"],
        "CONNECTED"
    );
    assert_eq!(at.token_requests(), 1);
    for knob in [
        Knob::from((Spoilt::Missing, Claim::CHash)),
        (Spoilt::Wrong, Claim::CHash).into(),
        (Spoilt::Missing, Claim::SHash).into(),
        (Spoilt::Wrong, Claim::SHash).into(),
        (Spoilt::Missing, Claim::Nonce).into(),
        (Spoilt::Wrong, Claim::Nonce).into(),
        (Spoilt::Wrong, Claim::Iss).into(),
        (Spoilt::Wrong, Claim::Aud).into(),
        (Spoilt::Missing, Claim::Exp).into(),
        (Spoilt::Missing, Claim::Iat).into(),
        IdToken::AlgNone.into(),
        IdToken::BadSignature.into(),
        IdToken::OtherAlg.into(),
    ] {
        let what = format!("{knob:?}");
        at.bank.be_honest();
        at.bank.turn(knob);
        let (member, visitor, spoilt) = at.coming_back().await;
        let page = spoilt.deliver(&visitor).await;
        assert_eq!(
            page.reason(),
            Some("PROVIDER_ERROR"),
            "{what}: {}",
            page.body
        );
        assert_eq!(at.token_requests(), 1, "{what}: the code is not used");
        assert_eq!(
            at.gateway.read(member).await["connection_status"],
            "PENDING"
        );
    }
    // Without one, or with that of another response.
    at.bank.be_honest();
    let (_, _, other) = at.coming_back().await;
    for id_token in [None, other.value("id_token").map(str::to_owned)] {
        let (_, visitor, mut spoilt) = at.coming_back().await;
        spoilt.pairs.retain(|(name, _)| name != "id_token");
        spoilt
            .pairs
            .extend(id_token.map(|token| ("id_token".to_owned(), token)));
        let page = spoilt.deliver(&visitor).await;
        assert_eq!(page.reason(), Some("PROVIDER_ERROR"), "{}", page.body);
        assert_eq!(at.token_requests(), 1);
    }
    // Another person than the one who signed in.
    let (_, visitor, brought) = at.coming_back().await;
    at.bank.turn((Spoilt::Wrong, Claim::Sub));
    let page = brought.deliver(&visitor).await;
    assert_eq!(page.reason(), Some("PROVIDER_ERROR"), "{}", page.body);
    assert_eq!(at.token_requests(), 2);
    // What it gave is given back.
    let revoked = async || (!at.bank.requests(Place::Revoke).is_empty()).then_some(());
    eventually(revoked).await;
}
