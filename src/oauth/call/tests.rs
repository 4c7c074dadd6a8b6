use secrecy::SecretString;

use super::super::client_keys::ClientKeys;
use super::super::test_support::{Os, at, oauth, registration};
use super::*;
use crate::domain::call::{CallName, Method};
use crate::domain::client_authentication::ClientAuthentication;
use crate::domain::institution::OAuth;
use crate::domain::template::{JsonTemplate, UrlTemplate};

const PARAMETERS: [(&str, &str); 3] = [
    ("grant_type", "authorization_code"),
    ("code", "a b&c"),
    ("redirect_uri", "https://gateway.example/back"),
];

fn bank() -> OAuth {
    oauth(&"https://bank.example".parse().unwrap())
}

fn templates(pairs: &[(&str, &str)]) -> Vec<(String, Template)> {
    let read = |(name, text): &(&str, &str)| (name.to_string(), Template::parse(text).unwrap());
    pairs.iter().map(read).collect()
}

/// What is written of a token call with these parameters, by a client that sends its secret among them.
fn written_of(call: &Call) -> Result<(Url, HeaderMap, Option<String>), TransportError> {
    let (bank, mut registration) = (bank(), registration());
    let secret = SecretString::from("CANARY-client-secret");
    registration.client_authentication = ClientAuthentication::ClientSecretPost(secret);
    let values = ConnectionValues::of([
        ("region".to_owned(), "eu".to_owned()),
        ("branch".to_owned(), "00/42".to_owned()),
        ("evil".to_owned(), "a\r\nX-More: b".to_owned()),
    ]);
    let filling = Filling {
        at: at(&bank, &registration),
        own: &[("code", "a b&c"), ("access_token", "CANARY-access")],
        values: &values,
    };
    let means = Means {
        keys: &ClientKeys::default(),
        random: &Os,
        now: Timestamp::UNIX_EPOCH,
    };
    let endpoint = Some(&bank.token_endpoint);
    let request = request(call, endpoint, &PARAMETERS, &filling, means)?;
    let body = request.body.map(|body| String::from_utf8(body).unwrap());
    Ok((request.url, request.headers, body))
}

fn token() -> Call {
    Call::standard(CallName::Token)
}

#[test]
fn t1_the_standard_call_is_a_form() {
    let (url, headers, body) = written_of(&token()).unwrap();
    assert_eq!(url.as_str(), "https://bank.example/token");
    assert_eq!(headers[ACCEPT], "application/json");
    assert_eq!(headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
    assert_eq!(
        body.unwrap(),
        "grant_type=authorization_code&code=a+b%26c&redirect_uri=https%3A%2F%2Fgateway.example%2Fback\
         &client_id=guichet-1&client_secret=CANARY-client-secret"
    );
}

#[test]
fn parameters_are_left_out_renamed_and_added() {
    let call = Call {
        omit: vec!["redirect_uri".to_owned(), "client_secret".to_owned()],
        rename: [("client_id".to_owned(), "client_key".to_owned())].into(),
        add: templates(&[("at", "{region}-{branch}"), ("none", "{nothing}")]),
        headers: templates(&[
            ("x-secret", "{client_secret}"),
            ("content-type", "application/vnd.form"),
            ("x-none", "{nothing}"),
        ]),
        encoding: Encoding::Percent,
        ..token()
    };
    let (_, headers, body) = written_of(&call).unwrap();
    assert_eq!(
        body.unwrap(),
        "grant_type=authorization_code&code=a%20b%26c&client_key=guichet-1&at=eu-00%2F42"
    );
    assert_eq!(headers["x-secret"], "CANARY-client-secret");
    assert!(headers["x-secret"].is_sensitive());
    assert_eq!(headers[CONTENT_TYPE], "application/vnd.form");
    assert!(!headers.contains_key("x-none"));
}

#[test]
fn parameters_stand_in_the_query_or_in_json() {
    let read = |text: &str| Url::parse(text).map_err(|error| error.to_string());
    let listed = |name: &str| (name == "region").then(|| vec!["eu".to_owned()]);
    let by_get = Call {
        method: Method::Get,
        url: UrlTemplate::parse("https://{region}.bank.example/{branch}?v=1", listed, read).ok(),
        parameters_in: Placement::Query,
        encoding: Encoding::Plain,
        authentication: CallAuthentication::None,
        ..token()
    };
    let (url, headers, body) = written_of(&by_get).unwrap();
    assert_eq!(
        url.as_str(),
        "https://eu.bank.example/00%2F42?v=1&grant_type=authorization_code&code=a%20b%26c\
         &redirect_uri=https://gateway.example/back"
    );
    assert_eq!((body, headers.contains_key(CONTENT_TYPE)), (None, false));

    let object =
        serde_json::json!({"Data": {"branch": "{branch}", "none": "{nothing}"}, "Risk": {}});
    let by_json = Call {
        parameters_in: Placement::Json,
        json: JsonTemplate::parse(object).ok(),
        authentication: CallAuthentication::AccessToken,
        omit: vec!["grant_type".to_owned(), "redirect_uri".to_owned()],
        ..token()
    };
    let (_, headers, body) = written_of(&by_json).unwrap();
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(headers[AUTHORIZATION], "Bearer CANARY-access");
    let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
    let expected = serde_json::json!({"Data": {"branch": "00/42"}, "Risk": {}, "code": "a b&c"});
    assert_eq!(body, expected);
}

#[test]
fn a10_a_value_adds_no_header_line_and_what_lacks_one_is_not_sent() {
    let with_header = Call {
        headers: templates(&[("x-at", "{evil}")]),
        ..token()
    };
    let by_client = Call {
        authentication: CallAuthentication::ClientToken,
        ..token()
    };
    let listed = |_: &str| None;
    let read = |text: &str| Url::parse(text).map_err(|error| error.to_string());
    let elsewhere = Call {
        url: UrlTemplate::parse("https://bank.example/{nothing}", listed, read).ok(),
        ..token()
    };
    for (call, what) in [
        (with_header, "a header"),
        (by_client, "its token"),
        (elsewhere, "its address"),
    ] {
        let error = written_of(&call).unwrap_err();
        assert_eq!(error, TransportError::Unwritable(what));
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
}
