use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::test_support::{at, client, oauth, registration};
use super::*;
use crate::domain::institution::OAuth;

fn state() -> String {
    format!("07{}", "s".repeat(43))
}

/// Reads a response as it came.
fn read(raw: &[u8]) -> Result<AuthorizationResponse, InvalidAuthorizationResponse> {
    static CLIENT: LazyLock<OAuthClient> = LazyLock::new(client);
    CLIENT.read_response(at(&bank(), &registration()), raw)
}

/// Reads `rest` together with a sound state.
fn parse(rest: &str) -> Result<AuthorizationResponse, InvalidAuthorizationResponse> {
    read(format!("state={}&{rest}", state()).as_bytes())
}

fn code(callback: &AuthorizationResponse) -> Option<&str> {
    match &callback.result {
        AuthorizationResult::Code(code) => Some(code.expose()),
        _ => None,
    }
}

fn bank() -> OAuth {
    oauth(&"https://bank.example".parse().unwrap())
}

#[test]
fn c11_a_code_is_read_and_unknown_parameters_are_ignored() {
    let callback = parse("code=a%2Fb%3D&iss=https%3A%2F%2Fbank.example&foo=1&foo=2&x").unwrap();
    assert_eq!(code(&callback), Some("a/b="));
    assert_eq!(callback.state.expose(), state());
    assert_eq!(callback.iss.as_deref(), Some("https://bank.example"));
}

#[test]
fn c11_duplicates_and_conflicts_are_refused() {
    for (rest, expected) in [
        (
            "code=a&code=a",
            InvalidAuthorizationResponse::Duplicate("code"),
        ),
        (
            "code=a&c%6fde=b",
            InvalidAuthorizationResponse::Duplicate("code"),
        ),
        (
            "code=&code=a",
            InvalidAuthorizationResponse::Duplicate("code"),
        ),
        (
            "code=a&state=x",
            InvalidAuthorizationResponse::Duplicate("state"),
        ),
        (
            "code=a&iss=a&iss=b",
            InvalidAuthorizationResponse::Duplicate("iss"),
        ),
        (
            "error=a&error=b",
            InvalidAuthorizationResponse::Duplicate("error"),
        ),
        (
            "code=a&error=access_denied",
            InvalidAuthorizationResponse::CodeAndError,
        ),
    ] {
        assert_eq!(parse(rest).err(), Some(expected), "{rest}");
    }
}

#[test]
fn c11_an_empty_parameter_counts_as_absent() {
    let callback = parse("code=&error=access_denied").unwrap();
    assert!(
        matches!(callback.result, AuthorizationResult::Error { ref error, .. } if error == "access_denied")
    );
    let callback = parse("code=a&error=").unwrap();
    assert_eq!(code(&callback), Some("a"));
    assert_eq!(parse("iss=&code=a").unwrap().iss.as_deref(), Some(""));
}

#[test]
fn c1_only_a_state_of_our_form_passes() {
    let sound = state();
    for wrong in [
        String::new(),
        "code=a".to_owned(),
        "state=&code=a".to_owned(),
        format!("state={sound}x&code=a"),
        format!("state={}&code=a", &sound[1..]),
        format!("state={sound}%00&code=a"),
        format!("state=%20{sound}&code=a"),
        format!("State={sound}&code=a"),
        format!("state=ff{}&code=a", &sound[2..]),
    ] {
        let error = read(wrong.as_bytes()).err();
        assert_eq!(error, Some(InvalidAuthorizationResponse::State), "{wrong}");
    }
}

#[test]
fn c12_a_code_is_visible_ascii_of_at_most_four_kilobytes() {
    let longest = "c".repeat(4 * 1024);
    assert_eq!(
        code(&parse(&format!("code={longest}")).unwrap()),
        Some(&*longest)
    );
    for wrong in [
        format!("{longest}c"),
        "a+b".to_owned(),
        "a%0Ab".to_owned(),
        "a%00".to_owned(),
        "%C3%A9".to_owned(),
        "%FF".to_owned(),
    ] {
        let error = parse(&format!("code={wrong}")).err();
        assert_eq!(error, Some(InvalidAuthorizationResponse::Code), "{wrong}");
    }
}

#[test]
fn c12_the_whole_has_a_limit() {
    let padding = |length: usize| {
        let mut raw = format!("state={}&code=a&pad=", state());
        raw.push_str(&"x".repeat(length - raw.len()));
        raw
    };
    assert!(read(padding(8 * 1024).as_bytes()).is_ok());
    assert_eq!(
        read(padding(8 * 1024 + 1).as_bytes()).err(),
        Some(InvalidAuthorizationResponse::TooLong)
    );
}

#[test]
fn a1_tokens_in_the_front_channel_are_no_code() {
    let callback = parse("access_token=CANARY&token_type=Bearer").unwrap();
    assert!(matches!(callback.result, AuthorizationResult::Nothing));
    let (meaning, detail) = callback
        .refusal(at(&bank(), &registration()), None)
        .unwrap();
    assert_eq!(meaning, Meaning::Reason(ErrorReason::ProviderError));
    assert!(!detail.contains("CANARY"));
}

#[test]
fn c10_an_errors_words_are_bounded_and_cannot_leave_their_line() {
    let long = "x".repeat(2000);
    let rest = format!("error=access_denied&error_description=no%0D%0A%1B[2J<b>%FF{long}");
    let callback = parse(&rest).unwrap();
    let (meaning, detail) = callback
        .refusal(at(&bank(), &registration()), None)
        .unwrap();
    assert_eq!(meaning, Meaning::Reason(ErrorReason::Cancelled));
    assert!(detail.starts_with(r"access_denied: no\u{d}\u{a}\u{1b}[2J<b>"));
    assert!(detail.chars().count() <= 300);
    assert!(!detail.chars().any(char::is_control));
    assert!(
        parse("code=a")
            .unwrap()
            .refusal(at(&bank(), &registration()), None)
            .is_none()
    );
}

fn issuer(oauth: &OAuth, iss: Option<&str>) -> Result<(), IssuerMismatch> {
    let mut callback = parse("code=a").unwrap();
    callback.iss = iss.map(str::to_owned);
    callback.check_issuer(at(oauth, &registration()))
}

#[test]
fn c7_the_issuer_is_compared_character_by_character() {
    let mut oauth = bank();
    assert_eq!(issuer(&oauth, Some("https://bank.example")), Ok(()));
    assert_eq!(issuer(&oauth, None), Ok(()));
    for wrong in [
        "",
        "https://bank.example/",
        "https://Bank.example",
        "HTTPS://bank.example",
        "https://bank.example:443",
        "https://bank%2Eexample",
        "https://evil.example",
    ] {
        let expected = Err(IssuerMismatch::Other(wrong.to_owned()));
        assert_eq!(issuer(&oauth, Some(wrong)), expected);
    }
    oauth.issuer = None;
    assert_eq!(issuer(&oauth, Some("https://bank.example")), Ok(()));
}

#[test]
fn c6_an_issuer_that_always_comes_may_not_be_missing() {
    let mut oauth = bank();
    oauth.iss = IssuerRule::Required;
    assert_eq!(issuer(&oauth, None), Err(IssuerMismatch::Missing));
    assert_eq!(issuer(&oauth, Some("https://bank.example")), Ok(()));
}

#[test]
fn c6_an_error_may_come_without_issuer_where_only_a_code_needs_it() {
    let mut oauth = bank();
    oauth.iss = IssuerRule::RequiredWithCode;
    let refused = |oauth: &OAuth, iss: Option<&str>| {
        let mut callback = parse("error=access_denied").unwrap();
        callback.iss = iss.map(str::to_owned);
        callback.check_issuer(at(oauth, &registration()))
    };
    let (missing, right) = (Err(IssuerMismatch::Missing), Some("https://bank.example"));
    assert_eq!(issuer(&oauth, None), missing);
    assert_eq!(refused(&oauth, None), Ok(()));
    assert_eq!(issuer(&oauth, right), Ok(()));
    let wrong = refused(&oauth, Some("https://evil.example"));
    assert!(wrong.is_err(), "one that is there is compared");
    oauth.iss = IssuerRule::Required;
    assert_eq!(refused(&oauth, None), missing);
}

#[test]
fn l1_words_of_a_response_hold_none_of_its_secrets() {
    let state = format!("00{}", "s".repeat(43));
    let said = |raw: &str| {
        words(
            raw.as_bytes(),
            &Scrubber::of_response(None, raw.as_bytes()).expect("short"),
        )
    };
    let raw = format!(
        "error=access_denied&code=CODE-1234&error_description=no+code+CODE-1234+for+{state}%0Aat+once"
    );
    let expected = r"access_denied: no code [secret] for [long value]\u{a}at once";
    assert_eq!(said(&raw).unwrap(), expected);
    assert_eq!(said("error=access_denied").unwrap(), "access_denied");
    assert_eq!(said("error=&error_description=gone").unwrap(), "gone");
    assert_eq!(said("state=x&code=y&foo=z"), None);
    let (bank, registration) = (bank(), registration());
    let raw = b"error=no&error_description=CANARY-client-secret";
    let scrubber = Scrubber::of_response(Some(at(&bank, &registration)), raw).expect("short");
    assert_eq!(words(raw, &scrubber).unwrap(), "no: [secret]");
    let trace = "trace 0f8fad5b-d9cb-469f-a165-70867728950e, code a";
    let scrubber = Scrubber::of_response(None, b"code=a").expect("short");
    assert_eq!(scrubber.cleaned(trace), trace, "what may help is left");
}

#[test]
fn what_a_response_repeats_of_the_request_is_not_kept() {
    let (verifier, nonce) = ("v".repeat(43), "n".repeat(43));
    let all = format!("{}%20{nonce}%20{verifier}%20CANARY-client-secret", state());
    let callback = parse(&format!("error={all}&error_description={all}")).unwrap();
    for secrets in [None, Some(&super::super::test_support::secrets())] {
        let (_, detail) = callback
            .refusal(at(&bank(), &registration()), secrets)
            .unwrap();
        for secret in [&state(), &nonce, &verifier] {
            assert!(!detail.contains(secret.as_str()), "{detail}");
        }
        assert!(!detail.contains("CANARY"), "{detail}");
    }
    let iss = format!("https://evil.example/{}/{nonce}?code=CODE-1234", state());
    let mut callback = parse("code=CODE-1234").unwrap();
    callback.iss = Some(iss);
    let told = callback
        .check_issuer(at(&bank(), &registration()))
        .unwrap_err()
        .to_string();
    let expected = "the authorization response names the issuer https://evil.example/[secret]/[long value]?code=[secret]";
    assert_eq!(told, expected);
}

#[test]
fn c15_a_held_response_is_the_one_that_came() {
    let longest = "%21".repeat(1000);
    for rest in [
        "code=a%2Fb&iss=https%3A%2F%2Fbank.example".to_owned(),
        format!("code={longest}"),
        format!("error=x_%0Aodd&error_description={longest}&iss="),
        "error=access_denied".to_owned(),
        "foo=1".to_owned(),
    ] {
        let callback = parse(&rest).unwrap();
        let held = AuthorizationResponse::of_form(&callback.to_bytes()).unwrap();
        assert_eq!(held.state.expose(), callback.state.expose());
        assert_eq!(held.iss, callback.iss);
        assert_eq!(code(&held), code(&callback));
        assert_eq!(
            held.refusal(at(&bank(), &registration()), None),
            callback.refusal(at(&bank(), &registration()), None)
        );
    }
    assert!(AuthorizationResponse::of_form(b"").is_err());
}

proptest! {
    #[test]
    fn c12_no_bytes_are_a_surprise(raw in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&raw);
    }

    #[test]
    fn c12_no_response_is_a_surprise(
        parts in proptest::collection::vec(
            ("(state|code|error|error_description|iss|foo|)", "[ -~\\n\\u{0}é]{0,60}"), 0..7),
        sound in any::<bool>(),
    ) {
        let mut form = Serializer::new(String::new());
        if sound {
            form.append_pair("state", &state());
        }
        form.extend_pairs(&parts);
        if let Ok(callback) = read(form.finish().as_bytes()) {
            let held = AuthorizationResponse::of_form(&callback.to_bytes()).unwrap();
            prop_assert_eq!(held.refusal(at(&bank(), &registration()), None), callback.refusal(at(&bank(), &registration()), None));
            prop_assert_eq!(code(&held), code(&callback));
        }
    }
}
