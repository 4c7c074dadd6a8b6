//! An exchange that takes long: the person is on a page of ours, which asks again by itself.

use std::time::Duration;

use guichet::domain::client::{Completion, UnboundCallback};
use guichet::domain::id::AttemptId;
use guichet::domain::secret::{AuthorizationState, BindingSecret};
use guichet::domain::window::Binding;
use guichet::store::{Claim, Claimed};
use tokio::time::Instant;

use crate::support::at_the_bank::AtTheBank;
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::Backend;

/// How long a person may be kept on the institution's page after having agreed there.
const AT_MOST: Duration = Duration::from_secs(2);

crate::on_both_stores!(
    a_slow_exchange_is_waited_for_on_a_page_of_ours,
    an_exchange_of_another_gateway_is_looked_at_once,
);

async fn a_slow_exchange_is_waited_for_on_a_page_of_ours(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let gate = Gate::closed();
    at.gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let left = Instant::now();
    let answered = at.visitor.get(&at.response.url()).await;
    assert_eq!(answered.status, 303, "{}", answered.body);
    let result = answered.location().expect("a location");
    let page = at.visitor.get(&result).await;
    assert!(left.elapsed() < AT_MOST, "{:?}", left.elapsed());
    for _ in 0..2 {
        let page = at.visitor.get(&result).await;
        assert_eq!((page.status, page.name()), (200, Some("connecting")));
    }
    assert_eq!((page.status, page.name()), (200, Some("connecting")));
    // The whole address: with its bare '#' alone a browser would load nothing.
    let again = format!("2; url={}", result.path());
    assert_eq!(page.header("refresh"), Some(again.as_str()));
    assert!(page.body.contains("Fake Bank"), "{}", page.body);
    assert!(page.form().is_none() && !page.body.contains("data-action"));
    // The same response once more, in another tab, waits there too.
    let again = at.visitor.get(&at.response.url()).await;
    assert_eq!(again.location(), Some(result.clone()));
    let stranger = at.gateway.visitor().get(&result).await;
    assert_eq!(stranger.name(), Some("wrong-browser"));
    assert!(
        !stranger.body.contains("shared"),
        "not known yet: {}",
        stranger.body
    );

    gate.open();
    let page = at.visitor.follow(&result).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(at.gateway.bank.hits().token, 1);
}

async fn an_exchange_of_another_gateway_is_looked_at_once(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let state = at.response.state.as_deref().expect("a state");
    let attempt = AttemptId::of(&AuthorizationState::parse(state).expect("a state"));
    let cookie = at.visitor.cookie_header().expect("a cookie");
    let (_, secret) = cookie.rsplit_once('.').expect("a secret");
    let secret = BindingSecret::parse(secret).expect("a secret");
    let claim = Claim {
        attempt: attempt.clone(),
        client: "acme".parse().expect("a client"),
        institution: "fake_bank".parse().expect("a code"),
        browser: vec![Binding {
            attempt: attempt.clone(),
            digest: secret.digest(),
        }],
        completion: Completion::Immediate,
        unbound: UnboundCallback::Ignore,
        rebinding: secret.digest(),
        code: None,
        burnt: Vec::new(),
    };
    // What another gateway does with the response, as far as the store knows.
    let inside = &at.gateway.inside;
    let claimed = inside
        .store
        .claim_callback(&claim, at.gateway.clock.now())
        .await;
    assert!(matches!(claimed, Ok(Claimed::Accepted { .. })));
    let result = at.gateway.at(&format!("/oauth/result/{attempt}"));
    let asked = Instant::now();
    for _ in 0..3 {
        let page = at.visitor.get(&result).await;
        assert_eq!((page.status, page.name()), (200, Some("connecting")));
        let again = format!("2; url={}", result.path());
        assert_eq!(page.header("refresh"), Some(again.as_str()));
    }
    assert!(asked.elapsed() < AT_MOST, "nothing to wait for here");
    assert_eq!(at.gateway.bank.hits().token, 0);
}
