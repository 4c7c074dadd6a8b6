//! What holds for every page, in every situation and language.

use std::collections::BTreeMap;

use super::assets::integrity;
use super::sample::{self, Known, Sample, Variant};
use super::*;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFRESH};
use axum::response::IntoResponse;

mod hostile;

/// Calls `check` with every page there is to see, and a description of it.
fn each(check: impl Fn(&Sample, &Rendered, &str)) {
    let mirrored = Locale::pseudo_rtl();
    for sample in sample::all() {
        for variant in Variant::ALL {
            for locale in Locale::all().iter().chain([&mirrored]) {
                let rendered = render(&sample.page, &variant.parties(sample.known), locale);
                let what = format!("{} {} {}", sample.label, variant.name(), locale.tag());
                check(&sample, &rendered, &what);
            }
        }
    }
}

/// The contents of every `<name …>…</name>` in a document.
fn elements<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    html.split(open.as_str())
        .skip(1)
        .filter(|rest| rest.starts_with([' ', '>', '\n']))
        .filter_map(|rest| Some(rest.split_once('>')?.1.split_once(close.as_str())?.0))
        .collect()
}

/// What a person can read: no style, no script, no tags.
fn visible(html: &str) -> String {
    let mut text = html.to_owned();
    for name in ["style", "script"] {
        for hidden in elements(html, name) {
            text = text.replace(hidden, "");
        }
    }
    let pieces = text
        .split('<')
        .map(|piece| piece.split_once('>').map_or("", |(_, text)| text));
    pieces.collect::<Vec<_>>().join(" ")
}

fn english(page: &Page, variant: Variant) -> Rendered {
    render(page, &variant.parties(Known::Both), &Locale::all()[0])
}

fn sampled(label: &str) -> Rendered {
    let sample = sample::all()
        .into_iter()
        .find(|sample| sample.label == label)
        .expect(label);
    let known = match sample.known {
        Known::Nobody => Known::Both,
        known => known,
    };
    render(
        &sample.page,
        &Variant::Normal.parties(known),
        &Locale::all()[0],
    )
}

#[test]
fn names_statuses_and_reasons_are_as_documented() {
    let documented = [
        ("interstitial", 200, None),
        ("connected", 200, None),
        ("cancelled", 200, Some("CANCELLED")),
        ("denied", 200, Some("DENIED")),
        ("impeded", 200, Some("IMPEDED")),
        ("provider-error", 200, Some("PROVIDER_ERROR")),
        ("server-error", 500, Some("SERVER_ERROR")),
        ("not-set-up", 200, Some("SERVER_ERROR")),
        ("duplicate", 200, Some("UNKNOWN_ERROR")),
        ("other-login", 200, Some("UNKNOWN_ERROR")),
        ("unconfirmed", 200, Some("SESSION_ERROR")),
        ("misdirected", 200, Some("SESSION_ERROR")),
        ("used", 410, Some("SESSION_ERROR")),
        ("resume", 410, None),
        ("expired", 410, Some("SESSION_ERROR")),
        ("superseded", 410, Some("SESSION_ERROR")),
        ("unknown", 404, Some("SESSION_ERROR")),
        ("not-found", 404, None),
        ("preview", 200, None),
        ("maintenance", 503, None),
        ("busy", 503, None),
        ("connecting", 200, None),
        ("pending-confirmation", 200, None),
        ("no-answer", 200, None),
        ("replaced", 410, None),
        ("bad-return", 400, Some("SESSION_ERROR")),
        ("wrong-browser", 400, Some("SESSION_ERROR")),
    ];
    let documented: BTreeMap<_, _> = documented
        .map(|(name, code, why)| (name, (code, why)))
        .into();
    let mut seen = BTreeMap::new();
    for Sample { page, .. } in sample::all() {
        let rendered = english(&page, Variant::Normal);
        let body = match page.reason() {
            Some(reason) => format!(
                "<body data-page=\"{}\" data-reason=\"{reason}\"",
                page.name()
            ),
            None => format!("<body data-page=\"{}\"", page.name()),
        };
        assert!(rendered.html().contains(&body), "{body}");
        assert_eq!(
            rendered.html().contains("data-reason"),
            page.reason().is_some()
        );
        assert_eq!(rendered.clone().into_response().status(), page.status());
        seen.insert(page.name(), (rendered.status().as_u16(), page.reason()));
    }
    assert_eq!(seen, documented);
}

#[test]
fn headings_are_as_documented() {
    for (label, heading) in [
        ("interstitial", "Connect First Harbour Bank to Budgetly"),
        ("connected", "First Harbour Bank is connected"),
        ("cancelled", "You did not connect First Harbour Bank"),
        ("denied", "First Harbour Bank could not sign you in"),
        ("impeded", "First Harbour Bank needs something from you"),
        ("provider-error", "First Harbour Bank is having trouble"),
        ("server-error", "Something went wrong on our side"),
        (
            "not-set-up",
            "Budgetly cannot connect to First Harbour Bank at the moment",
        ),
        ("duplicate", "First Harbour Bank is already connected"),
        ("other-login", "That was a different sign-in"),
        ("unconfirmed", "First Harbour Bank was not connected"),
        ("misdirected", "This link was made for somebody else"),
        ("pending-confirmation", "Almost there"),
        ("used", "This link has already been used"),
        ("resume", "You already started"),
        ("expired", "This link has expired"),
        ("superseded", "There is a newer link"),
        ("unknown", "This link does not work"),
        ("not-found", "There is nothing here"),
        ("preview", "Connect your bank"),
        ("busy", "One moment"),
        ("connecting", "Connecting First Harbour Bank"),
        (
            "no-answer",
            "First Harbour Bank came back without an answer",
        ),
        ("replaced", "You went on in another tab"),
        (
            "bad-return",
            "We could not read First Harbour Bank’s answer",
        ),
        (
            "wrong-browser",
            "Please go on in the browser where you started",
        ),
    ] {
        let rendered = sampled(label);
        assert_eq!(elements(rendered.html(), "h1"), [heading]);
        let title = match label {
            "preview" => heading.to_owned(),
            _ => format!("{heading} – Budgetly"),
        };
        assert_eq!(elements(rendered.html(), "title"), [title]);
    }
}

/// A person who gets one of these may have connected long ago, or may know nothing at all.
#[test]
fn pages_that_do_not_know_how_it_ended_do_not_say_so() {
    each(|sample, rendered, what| {
        let words = rendered.html().to_lowercase();
        if ["wrong-browser", "bad-return", "busy"].contains(&sample.page.name()) {
            for claim in ["shared", "still works", "finish in"] {
                assert!(!words.contains(claim), "{what}: {claim}");
            }
        }
    });
}

#[test]
fn every_page_is_whole_and_small() {
    each(|_, rendered, what| {
        let html = rendered.html();
        assert!(html.starts_with("<!doctype html>"), "{what}");
        assert!(html.ends_with("</html>"), "{what}");
        assert!(html.len() < 14_000, "{what}: {} bytes", html.len());
        for (element, count) in [("h1", 1), ("main", 1), ("footer", 1), ("title", 1)] {
            assert_eq!(elements(html, element).len(), count, "{what}: {element}");
        }
        assert_eq!(html.matches("role=\"status\"").count(), 1, "{what}");
        assert!(
            html.matches("class=\"button\"").count() <= 1,
            "{what}: primary actions"
        );
        // "Close" takes the place of the way back, where there is a window to close.
        let actions = html.matches(" data-action=").count();
        let closes = html.matches(" data-action=\"close\"").count();
        assert!(actions - closes <= 2 && closes <= 1, "{what}: actions");
        assert!(
            html.contains(" dir=\"ltr\"") != html.contains(" dir=\"rtl\""),
            "{what}"
        );
        assert!(
            !html.contains("style=\"") && !html.contains(" onclick"),
            "{what}"
        );
    });
}

#[test]
fn every_text_is_there_and_plain() {
    each(|_, rendered, what| {
        let text = visible(rendered.html()).to_lowercase();
        for jargon in ["oauth", "token", "callback", "session", "state"] {
            let found = text
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == jargon);
            assert!(!found, "{what}: {jargon}");
        }
        for key in [
            "-heading", "-body", "action-", "share-", "-generic", "{$", "{ $",
        ] {
            assert!(!text.contains(key), "{what}: a text is missing, {key}");
        }
    });
}

#[test]
fn errors_end_with_a_support_code_and_nothing_else_does() {
    each(|sample, rendered, what| {
        let wanted = match sample.page.name() {
            "cancelled" | "denied" | "impeded" | "provider-error" | "server-error"
            | "not-set-up" | "duplicate" | "other-login" | "unconfirmed" | "misdirected"
            | "bad-return" | "wrong-browser" | "no-answer" => 1,
            // A link that nobody followed has no attempt to name.
            "expired" if sample.page.ending().is_some() => 1,
            "used" if sample.label == "used-elsewhere" => 1,
            _ => 0,
        };
        let codes = elements(rendered.html(), "code");
        assert_eq!(codes.len(), wanted, "{what}");
        assert!(
            codes.iter().all(|code| code.len() == SupportCode::LENGTH),
            "{what}"
        );
    });
}

#[test]
fn the_policy_admits_exactly_what_the_page_carries() {
    each(|_, rendered, what| {
        let policy = rendered.content_security_policy();
        let sources = |directive: &str| {
            let found = policy
                .split("; ")
                .find_map(|part| part.strip_prefix(directive));
            found.map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>())
        };
        let hashes = |element| {
            let texts = elements(rendered.html(), element);
            texts.into_iter().map(integrity).collect::<Vec<_>>()
        };
        assert_eq!(sources("style-src ").unwrap(), hashes("style"), "{what}");
        assert_eq!(
            sources("script-src ").unwrap_or_default(),
            hashes("script"),
            "{what}"
        );
        for fixed in [
            "default-src 'none'",
            "img-src 'self'",
            "base-uri 'none'",
            "form-action 'self' https:",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(
                policy.split("; ").any(|part| part == fixed),
                "{what}: {fixed}"
            );
        }
        assert!(!policy.contains("unsafe"), "{what}");
    });
}

#[test]
fn forms_may_end_at_a_loopback_institution_and_an_app() {
    let rendered = sampled("resume");
    let allowed = [
        "http://localhost:8081/authorize?x=1",
        "com.example.app://oauth_complete",
        "https://bank.example/authorize",
        "http://localhost:8081/again",
        "http://a;script-src/",
        "http://a,b/",
    ]
    .into_iter()
    .fold(rendered, |page, url| {
        page.allow_form_action(&url.parse().unwrap())
    });
    let response = allowed.into_response();
    let policy = response.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("; form-action 'self' https: http://localhost:8081 com.example.app:; "),
        "{policy}"
    );
    assert!(!policy.contains(','));
}

#[test]
fn only_a_page_with_something_to_tell_or_on_the_way_to_it_keeps_its_opener() {
    each(|sample, rendered, what| {
        let home = [
            "used-home",
            "expired-home",
            "superseded-home",
            "bad-return-home",
        ];
        let tells = sample.label.ends_with("-popup")
            || sample.label.ends_with("-home") && !home.contains(&sample.label);
        let is_on_the_way = [
            "busy",
            "connecting",
            "pending-confirmation",
            "maintenance",
            "no-answer",
        ]
        .contains(&sample.page.name());
        let response = rendered.clone().into_response();
        let opener = &response.headers()["cross-origin-opener-policy"];
        assert_eq!(
            opener,
            if tells || is_on_the_way {
                "unsafe-none"
            } else {
                "same-origin"
            },
            "{what}"
        );
        assert_eq!(rendered.html().contains("data-message="), tells, "{what}");
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/html; charset=utf-8",
            "{what}"
        );
    });
    assert!(sampled("connected-popup").html().contains(" data-close>"));
    assert!(!sampled("cancelled-popup").html().contains("data-close"));
}

#[test]
fn what_waits_comes_back_to_the_same_address_by_itself() {
    for page in [
        Page::Busy {
            refresh_s: 7,
            again: None,
        },
        Page::Connecting { refresh_s: 7 },
    ] {
        let response = english(&page, Variant::Normal).into_response();
        assert_eq!(response.headers()[REFRESH], "7");
    }
    assert!(
        sampled("busy")
            .html()
            .contains("data-action=\"retry\" href=\"\"")
    );
    assert!(
        !sampled("expired")
            .into_response()
            .headers()
            .contains_key(REFRESH)
    );
}

#[test]
fn each_page_offers_what_it_can_in_order() {
    let offered = |label: &str| {
        let rendered = sampled(label);
        let actions = rendered.html().split("data-action=\"").skip(1);
        let names = actions.map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(offered("interstitial"), ["continue", "cancel"]);
    assert_eq!(offered("no-answer"), ["continue", "cancel"]);
    assert_eq!(offered("no-answer-last"), ["retry", "cancel"]);
    assert_eq!(offered("connecting"), [""; 0]);
    assert_eq!(offered("replaced"), ["retry"]);
    assert_eq!(offered("resume"), ["continue"]);
    assert_eq!(offered("connected"), [""; 0]);
    assert_eq!(offered("connected-popup"), ["close"]);
    assert_eq!(offered("connected-app"), ["return"]);
    assert_eq!(offered("denied"), ["retry"]);
    assert_eq!(offered("denied-popup"), ["retry", "close"]);
    assert_eq!(offered("denied-app"), ["retry", "return"]);
    assert_eq!(offered("denied-last"), [""; 0]);
    assert_eq!(offered("impeded"), ["institution", "retry"]);
    assert_eq!(offered("impeded-popup"), ["institution", "retry"]);
    for ending in [
        "not-set-up",
        "duplicate",
        "other-login",
        "unconfirmed",
        "misdirected",
    ] {
        assert_eq!(offered(ending), [""; 0]);
        assert_eq!(offered(&format!("{ending}-popup")), ["close"]);
        assert_eq!(offered(&format!("{ending}-app")), ["return"]);
    }
    assert_eq!(offered("pending-confirmation"), [""; 0]);
    assert_eq!(offered("pending-confirmation-popup"), ["close"]);
    assert_eq!(offered("pending-confirmation-app"), ["return"]);
    assert_eq!(offered("connected-home"), ["return", "close"]);
    assert_eq!(offered("denied-home"), ["retry", "return", "close"]);
    for over in ["used", "expired", "superseded", "bad-return"] {
        assert_eq!(offered(&format!("{over}-home")), ["return"]);
    }
    assert_eq!(offered("used"), [""; 0]);
    assert_eq!(offered("used-check"), ["retry"]);
    assert_eq!(offered("unknown"), [""; 0]);
}

#[test]
fn only_the_flows_own_way_into_an_app_is_gone_by_itself() {
    each(|sample, rendered, what| {
        let goes = rendered.html().contains(" data-go=\"");
        assert_eq!(goes, sample.label.ends_with("-app"), "{what}");
    });
    let to_the_app = "example.budgetly://oauth_complete?status=success&#38;member_guid=MBR-1";
    let page = sampled("connected-app");
    for place in ["data-go", "href"] {
        let attribute = format!("{place}=\"{to_the_app}\"");
        assert!(page.html().contains(&attribute), "{}", page.html());
    }
    assert!(
        sampled("used-home")
            .html()
            .contains("href=\"https://budgetly.example/\"")
    );
}

#[test]
fn maintenance_says_when_it_is_over_and_leads_back() {
    let page = sampled("maintenance-return");
    let text = visible(page.html());
    for said in [
        "First Harbour Bank is not available right now",
        "Payments and transfers are not affected.",
        "in about 6 hours",
        "Back to Budgetly",
        "Check again",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let unknown = visible(sampled("maintenance").html());
    assert!(!unknown.contains("back in"), "{unknown}");
    for (seconds, ends_in) in [
        (0, EndsIn::Minutes(1)),
        (61, EndsIn::Minutes(2)),
        (90 * 60, EndsIn::Minutes(90)),
        (90 * 60 + 1, EndsIn::Hours(2)),
        (48 * 3600, EndsIn::Hours(48)),
        (48 * 3600 + 1, EndsIn::Days(3)),
    ] {
        assert_eq!(EndsIn::seconds(seconds), ends_in, "{seconds}");
    }
}

#[test]
fn a_page_of_success_claims_no_more_than_was_agreed_to() {
    // The person may have agreed to share nothing, or have no account at all.
    let text = visible(sampled("connected").html()).to_lowercase();
    assert!(!text.contains("account"), "{text}");
}

#[test]
fn a_form_posts_its_proof_and_its_choice_and_only_when_it_has_them() {
    let interstitial = sampled("interstitial");
    let field = "<input type=\"hidden\" name=\"proof\" value=\"Yk3x\">";
    assert!(
        interstitial
            .html()
            .contains("<form method=\"post\" action=\"?\">")
    );
    assert_eq!(interstitial.html().matches(field).count(), 2);
    let choice = "<input type=\"hidden\" name=\"action\" value=\"cancel\">";
    assert!(interstitial.html().contains(choice));
    assert!(sampled("no-answer").html().contains(choice));
    assert!(!sampled("resume").html().contains("type=\"hidden\""));
}

#[test]
fn the_preview_and_the_unknown_page_name_nobody() {
    for label in ["preview", "unknown"] {
        let sample = sample::all()
            .into_iter()
            .find(|sample| sample.label == label)
            .unwrap();
        assert_eq!(sample.known, Known::Nobody);
    }
    let preview = english(&Page::Preview, Variant::Normal);
    assert!(!preview.html().contains("Budgetly") && !preview.html().contains("Harbour"));
    assert!(
        preview
            .html()
            .contains("property=\"og:title\" content=\"Connect your bank\"")
    );
    assert!(preview.html().contains("property=\"og:description\""));
}

#[test]
fn a_page_says_what_did_not_happen_when_that_calms() {
    for label in [
        "cancelled",
        "denied",
        "impeded",
        "provider-error",
        "server-error",
        "not-set-up",
        "no-answer",
    ] {
        let text = visible(sampled(label).html()).to_lowercase();
        assert!(text.contains("nothing was shared with budgetly"), "{label}");
    }
}

#[test]
fn a_login_that_is_there_already_changes_nothing_or_brings_it_up_to_date() {
    for label in ["duplicate", "other-login"] {
        let text = visible(sampled(label).html());
        assert!(text.contains("Nothing was changed."), "{label}");
        assert!(!text.contains("ry again"), "{label}");
    }
    let up_to_date = "that connection is now up to date";
    for (label, expected) in [
        ("connected", false),
        ("connected-app", false),
        ("connected-again", true),
        ("connected-again-app", true),
    ] {
        let rendered = sampled(label);
        assert!(
            rendered.html().contains("data-page=\"connected\""),
            "{label}"
        );
        assert_eq!(
            visible(rendered.html()).contains(up_to_date),
            expected,
            "{label}"
        );
    }
}
