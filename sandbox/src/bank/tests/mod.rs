//! The bank over HTTP, as a browser and a client see it: `pages` the way to a code, `tokens` what a
//! code becomes, `incidents` how connections are lost, `sign_in` the way without pages. Here are the
//! steps they share.

mod incidents;
mod pages;
mod sign_in;
mod tokens;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::tests::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World};

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const PAGES: &str = "mx_bank_oauth";
const AUTO: &str = "mx_bank_oauth_auto";
const FORM: &str = "mxcu_oauth_form";

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A good authorization request, with `changes` in it; an empty value leaves a parameter out.
async fn authorize(world: &World, institution: &str, changes: Fields<'_>) -> Response {
    let mut params = HashMap::from([
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT_URI),
        ("state", "the state"),
        ("scope", "read"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    params.extend(changes.iter().copied());
    params.retain(|_, value| !value.is_empty());
    let address = format!("{}/{institution}/authorize", world.bank);
    let url = Url::parse_with_params(&address, params).expect("an address");
    world.http.get(url).send().await.expect("a response")
}

async fn post(world: &World, path: &str, fields: Fields<'_>) -> Response {
    let url = format!("{}{path}", world.bank);
    let request = world.http.post(url).form(fields);
    request.send().await.expect("a response")
}

/// Follows a 303 within the bank.
async fn follow(world: &World, response: &Response) -> Response {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let path = response.headers()["location"].to_str().expect("text");
    assert!(path.starts_with('/'), "{path} stays at the bank");
    let url = format!("{}{path}", world.bank);
    world.http.get(url).send().await.expect("a response")
}

/// The values of all inputs of this name on a page.
fn inputs(html: &str, name: &str) -> Vec<String> {
    let start = format!("name=\"{name}\" value=\"");
    html.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Logs in on the pages with this password; returns the handle and the response.
async fn log_in(world: &World, institution: &str, password: &str) -> (String, Response) {
    let page = authorize(world, institution, &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let handle = inputs(&page.text().await.expect("text"), "login").remove(0);
    let path = format!("/{institution}/login");
    let fields = [
        ("login", handle.as_str()),
        ("username", "ada"),
        ("password", password),
        ("action", "login"),
    ];
    let response = post(world, &path, &fields).await;
    (handle, response)
}

/// Logs in and ticks the first `ticked` accounts; returns the response to "Allow".
async fn consent(world: &World, institution: &str, password: &str, ticked: usize) -> Response {
    let (handle, response) = log_in(world, institution, password).await;
    let page = follow(world, &response).await.text().await.expect("text");
    let accounts = inputs(&page, "account");
    let mut fields = vec![("login", handle.as_str()), ("action", "allow")];
    let ticks = accounts.iter().take(ticked);
    fields.extend(ticks.map(|account| ("account", account.as_str())));
    post(world, &format!("/{institution}/consent"), &fields).await
}

/// The parameters of an authorization response by redirect, with `kept` of the registered address.
fn answer(response: &Response) -> HashMap<String, String> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()["location"].to_str().expect("text");
    assert!(location.starts_with(REDIRECT_URI), "{location}");
    let url = Url::parse(location).expect("an address");
    url.query_pairs().into_owned().collect()
}

async fn code_for(world: &World, password: &str) -> String {
    let response = consent(world, PAGES, password, 3).await;
    answer(&response)["code"].clone()
}

/// A good token request for the code, with `changes` in it, by a client with a Basic header.
async fn exchange(world: &World, institution: &str, code: &str, changes: Fields<'_>) -> Response {
    let mut fields = HashMap::from([
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ]);
    fields.extend(changes.iter().copied());
    let url = format!("{}/{institution}/token", world.bank);
    let request = world.http.post(url).header("authorization", basic());
    request.form(&fields).send().await.expect("a response")
}

/// What a person who types this password connects.
pub(crate) async fn tokens_for(world: &World, password: &str) -> Value {
    let code = code_for(world, password).await;
    let response = exchange(world, PAGES, &code, &[]).await;
    assert_eq!(response.status(), StatusCode::OK, "{password}");
    json(response).await
}

/// A token request with the refresh token of `tokens`.
pub(crate) async fn refresh(world: &World, tokens: &Value) -> Response {
    let token = text(tokens, "refresh_token");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    exchange(world, PAGES, "", &fields).await
}

/// The client's Basic header, form-encoded as RFC 6749 wants it.
fn basic() -> String {
    let encode =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encode(CLIENT_ID), encode(CLIENT_SECRET));
    format!("Basic {}", STANDARD.encode(pair))
}

async fn json(response: Response) -> Value {
    response.json().await.expect("JSON")
}

async fn read(world: &World, institution: &str, what: &str, token: &str) -> Response {
    let url = format!("{}/{institution}/{what}", world.bank);
    let request = world.http.get(url).bearer_auth(token);
    request.send().await.expect("a response")
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().expect("a text")
}
