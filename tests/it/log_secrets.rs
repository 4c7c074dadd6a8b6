//! No secret is logged, counted or told by any route: every operation of the API's description is
//! called, with right and with wrong credentials, at the lowest level of the log.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::aggregation::nth_job;
use crate::support::gateway::{
    AGGREGATOR_KEY, BANK, BANK_GUID, BANK_SECRET, Backend, CLIENT, FORM_BANK_GUID, LOGIN,
    PAPER_BANK_GUID, PASSWORD, SIGNING_SECRET, SSO_KEY, Setup, TestGateway, parameter,
};
use crate::support::random_token;
use crate::support::served::Served;
use crate::support::visitor::{Page, Visitor, http};

crate::on_both_stores!(l1_no_route_logs_counts_or_tells_a_secret);

/// Every secret so far, by what it is.
#[derive(Default)]
struct Secrets(BTreeSet<(String, &'static str)>);

impl Secrets {
    fn add(&mut self, what: &'static str, secret: &str) {
        assert!(
            secret.len() >= 8,
            "{what} {secret:?} is too short to look for"
        );
        self.0.insert((secret.to_owned(), what));
    }

    /// Collects the secrets that a response shows for the first time: links, sessions and SSO tokens.
    fn learn(&mut self, answer: &str) {
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        for (what, start) in [
            ("link", "/ow_"),
            ("session", "\"token\":\""),
            ("SSO token", "\"api_token\":\""),
        ] {
            for found in answer.split(start).skip(1) {
                let token = found.split(|c| !is_token(c)).next().unwrap_or_default();
                self.add(what, token);
            }
        }
    }

    fn assert_absent(&self, text: &str, place: &str) {
        for (secret, what) in &self.0 {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "the {what} {secret} is {place}");
        }
    }
}

/// What a route's parameters are called, and what they name here.
struct Names {
    user: String,
    member: String,
    paper_member: String,
    oauth_state: String,
    job: String,
    attempt: String,
    link_token: String,
}

impl Names {
    fn fill(&self, path: &str) -> String {
        let guid = match path {
            _ if path.starts_with("/oauth_states") => &self.oauth_state,
            _ => &self.job,
        };
        // What is asked and answered belongs to the member without OAuth.
        let asks = ["challenges", "credentials", "resume", "update_mfa"];
        let member = match asks.iter().any(|end| path.ends_with(end)) {
            true => &self.paper_member,
            false => &self.member,
        };
        let at = match path.starts_with("/oauth/") {
            true => BANK,
            false => BANK_GUID,
        };
        let values = [
            ("{user_identifier}", &self.user),
            ("{user_id}", &self.user),
            ("{member_identifier}", member),
            ("{member_guid}", member),
            ("{member}", &self.member),
            ("{job_guid}", &self.job),
            ("{guid}", guid),
            ("{attempt}", &self.attempt),
            ("{token}", &self.link_token),
            ("{client_id}", &CLIENT.to_owned()),
            ("{client}", &CLIENT.to_owned()),
            ("{institution_identifier}", &at.to_owned()),
            ("{institution}", &at.to_owned()),
        ]
        .into_iter()
        .fold(path.to_owned(), |path, (name, value)| {
            path.replace(name, value)
        });
        assert!(!values.contains('{'), "what is meant in {values}?");
        values
    }
}

/// Sends one request with these headers; its response, headers included.
async fn told(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let mut request = http().request(method.parse().expect("a method"), gateway.at(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !matches!(method, "GET" | "DELETE") {
        request = request.json(body);
    }
    let answer = request.send().await.expect("a response");
    let (status, head) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
    (
        status,
        format!("{head}{}", answer.text().await.expect("a body")),
    )
}

/// A whole flow in a browser, and what it had in hand.
async fn flow(gateway: &TestGateway, institution: &str, secrets: &mut Secrets) -> (String, Page) {
    let body = json!({"member": {"institution_guid": institution, "is_oauth": true}});
    let (_, link) = gateway.member_with(body).await;
    secrets.learn(link.as_str());
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let again = visitor.get(&link).await;
    assert_eq!(again.name(), Some("resume"), "{}", again.body);
    secrets.add("state", &parameter(&request, "state").expect("a state"));
    remember_cookies(&visitor, secrets);
    let answer = gateway.bank.code_for(&request);
    secrets.add("code", answer.code.as_deref().expect("a code"));
    let attempt = {
        let page = match institution {
            FORM_BANK_GUID => {
                let pairs = answer.pairs();
                let fields: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
                let held = gateway.visitor().post(&answer.redirect_uri, &fields).await;
                let next = held.location().expect("a location");
                secrets.add("handle", &parameter(&next, "answer").expect("a handle"));
                visitor.follow(&next).await
            }
            _ => visitor.follow(&answer.url()).await,
        };
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        page
    };
    remember_cookies(&visitor, secrets);
    let last = attempt.url.path().rsplit('/').next();
    (last.expect("an attempt").to_owned(), attempt)
}

fn remember_cookies(visitor: &Visitor, secrets: &mut Secrets) {
    let header = visitor.cookie_header().unwrap_or_default();
    for (_, value) in header.split("; ").filter_map(|pair| pair.split_once('=')) {
        secrets.add("binding cookie", value);
    }
}

async fn l1_no_route_logs_counts_or_tells_a_secret(backend: Backend) {
    let setup = Setup {
        tables: "[log]\nfilter = \"guichet=trace,info\"\n".to_owned(),
        ..Setup::default()
    };
    let served = Served::with(backend, setup).await;
    let gateway = &served.gateway;
    let canary = |what: &str| format!("canary-{what}-{}", random_token());
    let (password, mail, metadata) = (canary("password"), canary("mail"), canary("metadata"));
    let mut secrets = Secrets::default();
    for (what, secret) in [
        ("API key", gateway.api_key.as_str()),
        ("session", &gateway.session),
        ("SSO key", SSO_KEY),
        ("aggregator key", AGGREGATOR_KEY),
        ("client secret", BANK_SECRET),
        ("signing secret", SIGNING_SECRET),
        ("password", &password),
    ] {
        secrets.add(what, secret);
    }

    let (attempt, _) = flow(gateway, BANK_GUID, &mut secrets).await;
    flow(gateway, FORM_BANK_GUID, &mut secrets).await;
    let paper = json!({"member": {"institution_guid": PAPER_BANK_GUID, "credentials": [
        {"guid": LOGIN, "value": canary("login")}, {"guid": PASSWORD, "value": password},
    ]}});
    let (status, created) = gateway.nexus("POST", "/members", Some(paper)).await;
    assert_eq!(status, 200, "{created}");
    let paper_member = created["member"]["guid"]
        .as_str()
        .expect("a guid")
        .to_owned();
    let (member, link) = gateway.member().await;
    secrets.learn(link.as_str());
    let token = link.path_segments().and_then(|mut parts| parts.next_back());
    let names = Names {
        user: gateway.user.to_string(),
        member: member.to_string(),
        paper_member,
        oauth_state: gateway.state(member).await["guid"]
            .as_str()
            .expect("a guid")
            .to_owned(),
        job: nth_job(gateway, 1).await,
        attempt,
        link_token: token.expect("a token").to_owned(),
    };

    // What a POST or PUT may hold, whichever it is: with credentials, and without.
    let given = json!([{"guid": LOGIN, "value": password}, {"guid": PASSWORD, "value": password}]);
    let without = json!({
        "member": {"institution_guid": BANK_GUID, "is_oauth": true, "metadata": metadata},
        "user": {"email": mail, "metadata": metadata},
        "status": "started",
    });
    let with = json!({
        "member": {"institution_guid": BANK_GUID, "credentials": given, "challenges": given},
        "credentials": given,
        "challenges": given,
        "client_secret": password,
    });
    // What is not for the log, and may be told to whom it belongs.
    let private = [mail.as_str(), metadata.as_str()];
    let basic = |key: &str| format!("Basic {}", base64_of(&format!("{CLIENT}:{key}")));
    let right = basic(&gateway.api_key);
    let bearer = format!("Bearer {AGGREGATOR_KEY}");
    let wrong = canary("wrong");
    secrets.add("wrong credential", &wrong);
    let (wrong_basic, wrong_bearer) = (basic(&wrong), format!("Bearer {wrong}"));
    let rights: [&[(&str, &str)]; 4] = [
        &[("authorization", &right)],
        &[("md-session-token", &gateway.session)],
        &[("authorization", &bearer)],
        &[("md-api-key", SSO_KEY)],
    ];
    let wrongs: [&[(&str, &str)]; 3] = [
        &[("authorization", &wrong_basic)],
        &[("authorization", &wrong_bearer)],
        &[
            ("md-session-token", &wrong),
            ("md-api-key", &wrong),
            ("md-api-token", &wrong),
        ],
    ];
    let (_, description) = gateway
        .call("GET", "/openapi.json", None, |request| request)
        .await;
    let paths = description["paths"].as_object().expect("paths");
    let mut minted = BTreeSet::new();
    // Wrong credentials come after the right ones, which are known by then, and what takes away last.
    for (deletes, ways) in [
        (false, &rights[..]),
        (false, &wrongs[..]),
        (true, &wrongs[..]),
        (true, &rights[..]),
    ] {
        for (path, operations) in paths {
            for method in operations.as_object().expect("operations").keys() {
                if (method == "delete") != deletes || path == "/openapi.json" || path == "/docs" {
                    continue;
                }
                let (method, at) = (method.to_uppercase(), names.fill(path));
                let requests = ways.iter().flat_map(|way| [(way, &without), (way, &with)]);
                for (headers, body) in requests {
                    let (_, answer) = told(gateway, &method, &at, body, headers).await;
                    // A link's own page leads to it; what a lease lends is asked for.
                    let is_own = path.contains("{token}") || path.ends_with("/lease");
                    if !is_own {
                        secrets.assert_absent(&answer, &format!("told by {method} {at}"));
                    }
                    let before = secrets.0.len();
                    secrets.learn(&answer);
                    if secrets.0.len() > before {
                        minted.insert(format!("{method} {path}"));
                    }
                }
            }
        }
    }
    let expected = [
        "GET /members/{member_guid}/oauth_window_uri",
        "GET /users/{user_identifier}/members/{member_identifier}/oauth_window_uri",
        "GET /{client_id}/users/{user_id}/api_token.json",
        "POST /members",
        "POST /users/{user_identifier}/members",
        "POST /users/{user_identifier}/members/{member_identifier}/oauth_authorization_url",
    ];
    for route in expected {
        assert!(minted.contains(route), "{route} made no secret: {minted:?}");
    }

    let metrics = gateway.operator.join("metrics").expect("a path");
    let metrics = gateway.visitor().get(&metrics).await.body;
    assert!(metrics.contains("guichet_links_minted_total{"), "{metrics}");
    secrets.assert_absent(&metrics, "counted");
    let log = served.log_at_the_end().await;
    for line in [
        "member connected",
        "link minted",
        "member created",
        "link opened",
    ] {
        assert!(log.contains(line), "{line} is not in the log: {log}");
    }
    secrets.assert_absent(&log, "logged");
    for private in private {
        assert!(!log.contains(private), "{private} is logged");
        assert!(!metrics.contains(private), "{private} is counted");
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
