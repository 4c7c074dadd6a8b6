//! Opening (`security` sections 0 and 1.2): who gets through, who does not, and what they see.

use guichet::domain::id::AttemptId;
use guichet::domain::secret::AuthorizationState;
use url::Url;

use crate::support::gateway::{Backend, CLIENT, FORM_BANK, Setup, TestGateway, parameter};
use crate::support::random_token;
use crate::support::visitor::Page;

crate::on_both_stores!(
    o1_a_navigation_goes_to_the_bank_with_everything_fresh,
    o2_other_methods_have_no_effect,
    o3_looking_ahead_has_no_effect,
    o4_machines_get_a_harmless_page,
    o4_a_link_pressed_in_a_messengers_own_window_is_a_persons,
    o8_unknown_links_are_all_alike_and_known_ones_tell,
    o1_an_attempt_whose_registration_is_gone_ends_before_anybody_leaves,
);

fn assert_harmless(page: &Page, why: &str) {
    assert!(page.location().is_none(), "{why}: goes somewhere");
    assert!(page.cookies().is_empty(), "{why}: sets a cookie");
}

async fn o1_a_navigation_goes_to_the_bank_with_everything_fresh(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut seen = Vec::new();
    for headers in [
        &[][..],
        &[
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        let (_, link) = gateway.member().await;
        let opened = gateway.visitor().get_with(&link, headers).await;
        assert_eq!(opened.status, 302, "{}", opened.body);
        assert!(
            opened.header("cross-origin-opener-policy").is_none(),
            "a popup keeps its opener"
        );
        assert_eq!(opened.header("referrer-policy"), Some("no-referrer"), "o12");
        let to = opened.location().expect("a location");
        assert_eq!(
            to[..url::Position::AfterPath],
            *gateway.bank.authorize_url().as_str()
        );
        assert!(
            !to.as_str().contains(
                link.path_segments()
                    .and_then(|mut p| p.next_back())
                    .expect("a token")
            )
        );
        let cookies = opened.cookies();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        let value = cookies[0]
            .split(['=', ';'])
            .nth(1)
            .expect("a value")
            .to_owned();
        seen.extend([
            parameter(&to, "state").expect("a state"),
            parameter(&to, "code_challenge").expect("a challenge"),
            value,
        ]);
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "nothing is used twice");
}

async fn o1_an_attempt_whose_registration_is_gone_ends_before_anybody_leaves(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    let links = [gateway.member().await, gateway.member().await];
    let browsers = [gateway.visitor(), gateway.visitor()];
    // One follows the link while all is well, and presses "Continue" later.
    let continued = &browsers[1];
    gateway.open(continued, &links[1].1).await;
    let resumed = continued.get(&links[1].1).await;

    let text = std::fs::read_to_string(gateway.file()).expect("a file");
    let start = text.find("[[clients.registrations]]").expect("one");
    let length = text[start + 1..].find("[[").expect("another") + 1;
    let without = [&text[..start], &text[start + length..]].concat();
    std::fs::write(gateway.file(), without).expect("a file");
    gateway.restart().await;

    let opened = browsers[0].get(&links[0].1).await;
    let left = continued.press(&resumed, "continue").await;
    for ((member, _), browser, response) in [
        (&links[0], &browsers[0], opened),
        (&links[1], continued, left),
    ] {
        assert_eq!(response.status, 303, "{}", response.body);
        let outcome = response.location().expect("a location");
        assert_eq!(outcome.origin(), gateway.url.origin());
        let page = browser.get(&outcome).await;
        assert_eq!(
            (page.status, page.name(), page.reason()),
            (200, Some("not-set-up"), Some("SERVER_ERROR")),
            "{}",
            page.body
        );
        let state = gateway.state(*member).await;
        assert_eq!(
            (&state["auth_status"], &state["error_reason"]),
            (&serde_json::json!(3), &serde_json::json!(5))
        );
    }
}

async fn o2_other_methods_have_no_effect(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    for (method, status) in [
        ("HEAD", 200),
        ("OPTIONS", 405),
        ("PUT", 405),
        ("PATCH", 405),
        ("DELETE", 405),
        ("TRACE", 405),
    ] {
        let page = visitor.send(method, &link, &[], None).await;
        assert_eq!(page.status, status, "{method}");
        assert_harmless(&page, method);
        if status == 405 {
            let allow = page.header("allow").expect("what is allowed");
            assert!(allow.contains("GET") && allow.contains("HEAD"), "{allow}");
        }
    }
    assert_eq!(visitor.get(&link).await.status, 302, "it still works");
}

async fn o3_looking_ahead_has_no_effect(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    for header in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("x-purpose", "preview"),
    ] {
        let headers = [
            header,
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let page = gateway.visitor().get_with(&link, &headers).await;
        assert_eq!(page.status, 503, "{header:?}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let vary = page.header("vary").unwrap_or_default().to_ascii_lowercase();
        assert!(vary.contains("sec-purpose"), "{vary}");
        assert_harmless(&page, header.0);
    }
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn o4_machines_get_a_harmless_page(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let image = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    let fetch = [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
    // o11: a framed open is one of these.
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let object = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "embed")];
    let agents = [
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "TelegramBot (like TwitterBot)",
        "WhatsApp/2.23.20.0",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Twitterbot/1.0",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
        "Iframely/1.3.1 (+https://iframely.com/docs/about)",
        "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
        "bitlybot/3.0 (+http://bit.ly/)",
        "Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots",
        "facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984",
        "Barracuda Sentinel (EE)",
        "Signal/7.1 link preview",
        "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
        "Outlook-iOS/722.2967418",
    ]
    .map(|agent| [("user-agent", agent), ("accept", "*/*")]);
    for headers in [image, fetch, frame, object].iter().chain(&agents) {
        let page = gateway.visitor().get_with(&link, headers).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("preview")),
            "{headers:?}"
        );
        assert_harmless(&page, headers[0].1);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("frame-ancestors 'none'"), "o11: {policy}");
        for name in ["Fake Bank", "Acme Budget"] {
            assert!(!page.body.contains(name), "a preview names nobody");
        }
    }
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn o4_a_link_pressed_in_a_messengers_own_window_is_a_persons(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for agent in [
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 WhatsApp/2.2412 Safari/537.36",
        "Mozilla/5.0 (X11) AppleWebKit/537.36 Mattermost/5.8.1 Chrome/124.0 Electron/30.0 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Viber/22.6 QtWebEngine/6.5 Chrome/108.0",
    ] {
        let (member, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let unpressed = [
            ("user-agent", agent),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let pressed = [&unpressed[..], &[("sec-fetch-user", "?1")]].concat();
        let in_a_frame = [
            ("user-agent", agent),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
            ("sec-fetch-user", "?1"),
        ];
        for machine in [&unpressed[..], &unpressed[..1], &in_a_frame] {
            let page = visitor.get_with(&link, machine).await;
            assert_eq!(
                (page.status, page.name()),
                (200, Some("preview")),
                "{machine:?}"
            );
        }
        let opened = visitor.get_with(&link, &pressed).await;
        assert_eq!(opened.status, 302, "{agent}");
        let request = opened.location().expect("a location");
        let response = gateway.bank.code_for(&request).url();
        let looked = visitor.get_with(&response, &unpressed).await;
        assert_eq!(looked.name(), Some("preview"), "{agent}");
        let answered = visitor.get_with(&response, &pressed).await;
        assert_eq!(answered.status, 303, "{agent}");
        let page = visitor.follow_from(answered).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o7_unknown_links_are_limited_by_source_and_known_ones_never_count() {
    let swaps = vec![
        (
            "unknown_links_per_minute = 1000",
            "unknown_links_per_minute = 5",
        ),
        ("[store]", "trusted_proxies = [\"127.0.0.0/8\"]\n[store]"),
    ];
    let setup = Setup {
        swaps,
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (member, link) = gateway.member().await;
    let guess = || {
        gateway.at(&format!(
            "/oauth/predirect_to/{member}/ow_00{}",
            random_token()
        ))
    };
    let from = async |url: &Url, source: &str| {
        let page = gateway
            .visitor()
            .get_with(url, &[("x-forwarded-for", source)])
            .await;
        (page.status, page.header("retry-after").is_some())
    };
    // A link that exists does not count, however often it is followed.
    for _ in 0..20 {
        assert_ne!(from(&link, "198.51.100.7").await.0, 429);
    }
    // Each is one source, however it is written.
    for same in [
        [
            "198.51.100.7",
            "198.51.100.7:50000",
            "\"[::ffff:198.51.100.7]:443\"",
        ],
        [
            "2001:db8::1",
            "[2001:db8::2]:443",
            "2001:db8:0:0:ffff::3%eth0",
        ],
        ["unknown", "203.0.113.9:x", "_hidden"],
    ] {
        for source in same.iter().cycle().take(5) {
            assert_eq!(from(&guess(), source).await, (404, false), "{source}");
        }
        for source in same {
            assert_eq!(from(&guess(), source).await, (429, true), "{source}");
        }
        // Nothing is looked up for a limited source: what exists has to wait there as well.
        assert_eq!(from(&link, same[0]).await, (429, true));
    }
    for others in ["198.51.100.8:50000", "[2001:db8:0:1::1]:443"] {
        assert_eq!(from(&guess(), others).await, (404, false), "{others}");
    }
    assert_eq!(
        from(&link, "198.51.100.9").await.0,
        410,
        "of another browser by now"
    );
}

/// What comes back from an institution, and outcomes: whatever belongs to no attempt of the browser's is
/// looked for a few times only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o7_unknown_attempts_are_limited_by_source_and_known_ones_never_count() {
    let swaps = vec![
        (
            "unknown_links_per_minute = 1000",
            "unknown_links_per_minute = 1000\nunknown_attempts_per_minute = 6",
        ),
        ("[store]", "trusted_proxies = [\"127.0.0.0/8\"]\n[store]"),
    ];
    let setup = Setup {
        swaps,
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    let mut nothing = response.redirect_uri.clone();
    nothing.set_query(Some("error=access_denied"));
    let from = [("x-forwarded-for", "198.51.100.7")];
    // The browser that left leads back, and counts for nothing; nor does an outcome that is another's.
    for _ in 0..10 {
        let back = visitor.get_with(&nothing, &from).await;
        assert_eq!(back.status, 303, "{}", back.body);
        let outcome = back.location().expect("a location");
        let own = visitor.get_with(&outcome, &from).await;
        assert_eq!(own.name(), Some("no-answer"), "{}", own.body);
        let others = gateway.visitor().get_with(&outcome, &from).await;
        assert_eq!(others.name(), Some("wrong-browser"), "{}", others.body);
    }

    let state = format!("00{}", random_token());
    let id = AttemptId::of(&AuthorizationState::parse(&state).expect("a state"));
    let outcome = gateway.at(&format!("/oauth/result/{id}"));
    let mut unknown = response.redirect_uri.clone();
    unknown.set_query(Some(&format!("code=x&state={state}")));
    let form = gateway.at(&format!("/oauth/redirect_from/{CLIENT}/{FORM_BANK}"));
    let fields = [("code", "x"), ("state", state.as_str())];
    let choice = [("action", "cancel")];
    // Each kind once.
    let ask = async || {
        let stranger = gateway.visitor();
        [
            stranger.get_with(&nothing, &from).await,
            stranger.get_with(&unknown, &from).await,
            stranger.get_with(&outcome, &from).await,
            stranger.post_with(&outcome, &choice, &from).await,
            stranger.post_with(&form, &fields, &from).await,
            stranger.post_with(&form, &fields[..1], &from).await,
        ]
    };
    let statuses = ask().await.map(|page| page.status);
    assert_eq!(statuses, [400, 400, 404, 404, 303, 303]);
    let asked = async || {
        let mut sum = 0;
        for step in [
            "claim_callback",
            "attempt",
            "hold_response",
            "held_response",
        ] {
            sum += gateway.store_steps(step).await;
        }
        sum
    };
    let before = asked().await;
    for page in ask().await {
        assert_eq!((page.status, page.name()), (429, Some("busy")));
        assert!(page.header("refresh").is_some() && page.header("retry-after").is_some());
    }
    // Nothing is looked up for that source: what exists has to wait there as well.
    let page = visitor.get_with(&response.url(), &from).await;
    assert_eq!((page.status, page.name()), (429, Some("busy")));
    assert_eq!(asked().await, before);
    // For others it is, and nothing was lost; nor is it another limit's.
    let others = [("x-forwarded-for", "198.51.100.8")];
    assert_eq!(visitor.get_with(&nothing, &others).await.status, 303);
    assert_eq!(visitor.get_with(&link, &from).await.name(), Some("resume"));
    assert_eq!(gateway.state(member).await["auth_status"], 1);
}

async fn o8_unknown_links_are_all_alike_and_known_ones_tell(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let (other, _) = gateway.member().await;
    let token = link
        .path_segments()
        .and_then(|mut parts| parts.next_back())
        .expect("a token");
    let paths = [
        format!("{member}/ow_00{}", random_token()),
        format!("{member}/ow_0f{}", random_token()),
        format!("{member}/ow_77{}", random_token()),
        format!("{member}/{}", random_token()),
        format!("{member}/x"),
        format!("{member}/{}", "x".repeat(4_000)),
        format!("{member}/%00%ff%0d%0a"),
        format!("{member}/{token}x"),
        format!("{member}/{}", &token[..47]),
        format!("{member}/{}", token.to_uppercase()),
        // A token that exists, under a name that is not its member's.
        format!("{other}/{token}"),
        format!("MBR-0123dd14-b4f1-49a4-8093-b0ae9aa8d023/{token}"),
        format!("nobody/{token}"),
    ];
    let mut expected = None;
    for path in paths {
        let page = gateway
            .visitor()
            .get(&gateway.at(&format!("/oauth/predirect_to/{path}")))
            .await;
        assert_harmless(&page, &path);
        let mut headers = page.headers.clone();
        headers.remove("date");
        let response = (page.status, page.body, headers);
        assert_eq!(response.0, 404, "{path}");
        assert_eq!(
            &response,
            expected.get_or_insert_with(|| response.clone()),
            "{path}"
        );
    }
    assert_eq!(
        gateway.visitor().get(&link).await.status,
        302,
        "the real one was not touched"
    );
}
