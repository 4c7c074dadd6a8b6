use secrecy::ExposeSecret;

use super::*;

fn read(response: &str) -> TokenResponse {
    let (members, sound) = Members::read(response.as_bytes());
    assert_eq!(sound, Ok(()), "{response}");
    TokenResponse(members)
}

fn token_set(response: &str) -> Result<TokenSet, UnusableTokenResponse> {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let response = read(response);
    response.check_type()?;
    let token_set = response.into_token_set(Some("accounts".to_owned()), now);
    token_set.ok_or(UnusableTokenResponse::NoToken)
}

fn with(member: &str) -> TokenSet {
    let response = format!(r#"{{"access_token":"a","token_type":"Bearer"{member}}}"#);
    token_set(&response).ok().unwrap()
}

#[test]
fn t8_the_token_type_is_bearer_in_any_case_and_nothing_else() {
    for bearer in [
        r#""token_type":"Bearer""#,
        r#""token_type":"bearer""#,
        r#""token_type":"bEARER ""#,
        r#""token_type":"""#,
        r#""token_type":null"#,
        r#""other":1"#,
    ] {
        let response = format!(r#"{{"access_token":"a",{bearer}}}"#);
        assert!(token_set(&response).is_ok(), "{bearer}");
    }
    for (name, expected) in [
        (r#""mac""#, "mac"),
        (r#""DPoP""#, "DPoP"),
        (r#""N_A""#, "N_A"),
        (r#""Bearer, DPoP""#, "Bearer, DPoP"),
        (r#"["Bearer"]"#, "no text"),
        ("7", "no text"),
    ] {
        let response = format!(r#"{{"access_token":"a","token_type":{name}}}"#);
        let expected = UnusableTokenResponse::TokenType(expected.to_owned());
        assert_eq!(token_set(&response).err(), Some(expected));
    }
}

#[test]
fn t9_any_lifetime_is_survived() {
    for (member, expected) in [
        ("", None),
        (r#","expires_in":3600"#, Some(1_800_003_600)),
        (r#","expires_in":"3600""#, Some(1_800_003_600)),
        (r#","expires_in":3600.9"#, Some(1_800_003_600)),
        (r#","expires_in":0"#, Some(1_800_000_000)),
        (r#","expires_in":-5"#, Some(1_800_000_000)),
        (r#","expires_in":"-5""#, Some(1_800_000_000)),
        (r#","expires_in":9223372036854775807"#, None),
        (r#","expires_in":18446744073709551615"#, None),
        (r#","expires_in":"3600.5""#, Some(1_800_003_600)),
        (r#","expires_in":1e300"#, None),
        (r#","expires_in":1e999"#, None),
        (r#","expires_in":"inf""#, None),
        (r#","expires_in":"99999999999999999999""#, None),
        (r#","expires_in":"an hour""#, None),
        (r#","expires_in":null"#, None),
        (r#","expires_in":[]"#, None),
    ] {
        let expires_at = with(member).expires_at.map(|at| at.as_second());
        assert_eq!(expires_at, expected, "{member}");
    }
}

#[test]
fn t9_an_absent_scope_is_the_requested_one_and_another_is_kept() {
    assert_eq!(with("").scope.as_deref(), Some("accounts"));
    assert_eq!(with(r#","scope":null"#).scope.as_deref(), Some("accounts"));
    assert_eq!(with(r#","scope":"a,b c""#).scope.as_deref(), Some("a,b c"));
    assert_eq!(with(r#","scope":"""#).scope.as_deref(), Some(""));
    let list = with(r#","scope":["a","b c"]"#);
    assert_eq!(list.scope.as_deref(), Some("a b c"));
    assert_eq!(with(r#","scope":[]"#).scope.as_deref(), Some(""));
}

#[test]
fn tokens_are_kept_as_they_came_or_refused() {
    let grant_of_both = with(r#","refresh_token":"r~ !","id_token":"ignored""#);
    assert_eq!(grant_of_both.access_token.expose_secret(), "a");
    let refresh_token = grant_of_both.refresh_token.unwrap();
    assert_eq!(refresh_token.expose_secret(), "r~ !");
    for token in [
        r#""a\nb""#,
        r#""é""#,
        r#""a\u0000""#,
        r#""""#,
        "7",
        "null",
        r#"["a"]"#,
    ] {
        let response = format!(r#"{{"access_token":{token},"token_type":"Bearer"}}"#);
        assert_eq!(
            token_set(&response).err(),
            Some(UnusableTokenResponse::NoToken),
            "{token}"
        );
    }
}

#[test]
fn what_is_optional_and_in_an_odd_form_counts_as_absent() {
    for odd in [
        "7",
        "null",
        "true",
        "[1]",
        r#"{"a":"b"}"#,
        r#""""#,
        r#""a\nb""#,
    ] {
        let token_set = with(&format!(r#","refresh_token":{odd}"#));
        assert!(token_set.refresh_token.is_none(), "{odd}");
    }
    for odd in ["7", "null", "true", "[1]", r#"["a",1]"#, r#"{"a":"b"}"#] {
        let token_set = with(&format!(r#","scope":{odd}"#));
        assert_eq!(token_set.scope.as_deref(), Some("accounts"), "{odd}");
    }
    for odd in ["null", "true", "[1]", r#"{"a":"b"}"#, r#""""#, r#""soon""#] {
        let token_set = with(&format!(r#","expires_in":{odd}"#));
        assert_eq!(token_set.expires_at, None, "{odd}");
    }
}

#[test]
fn every_token_that_a_body_holds_is_found() {
    let (members, _) = Members::read(
        br#"{"access_token":"a","refresh_token":"r","access_token":"b","access_token":7,"x":{"#,
    );
    let issued = Issued::found_in(&members);
    let all: Vec<&str> = issued.all().map(|token| token.expose_secret()).collect();
    assert_eq!(all, ["r", "a", "b"]);
    assert!(!issued.is_empty());
    assert!(Issued::found_in(&Members::default()).is_empty());
}

#[test]
fn a_further_member_may_say_who_signed_in() {
    let response = read(
        r#"{"user":"ada","access_token":"a","id_token":"i","number":7,"token_type":"Bearer","none":null}"#,
    );
    assert_eq!(response.subject("user").as_deref(), Some("ada"));
    assert_eq!(response.subject("number").as_deref(), Some("7"));
    for absent in ["none", "other", "access_token", "token_type", "id_token"] {
        assert_eq!(response.subject(absent), None, "{absent}");
    }
}

#[test]
fn nothing_prints_a_token() {
    let response =
        read(r#"{"access_token":"CANARY1","refresh_token":"CANARY2","id_token":"CANARY3"}"#);
    assert!(!format!("{response:?}").contains("CANARY"));
}
