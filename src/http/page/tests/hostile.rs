//! Values that try to become something else on the page.

use serde_json::json;

use super::*;

#[test]
fn only_exact_origins_are_told() {
    let origins = |list: &[&str]| {
        let origins = list.iter().map(|origin| (*origin).to_owned()).collect();
        let notify = Some(Notify {
            message: json!({"type": "x"}),
            origins,
        });
        let page = Page::Connected {
            again: false,
            back: None,
            notify,
        };
        english(&page, Variant::Normal)
    };
    let wrong = [
        "*",
        "",
        "null",
        "https://a.example/",
        "https://a.example https://b.example",
        "HTTPS://a.example",
        "https://a.example:443",
        "javascript:alert(1)",
        "/",
        "file://",
    ];
    let nobody = origins(&wrong);
    assert!(!nobody.html().contains("data-origins"));
    assert_eq!(elements(nobody.html(), "script").len(), 0);
    assert_eq!(nobody.opener_policy(), "same-origin");

    let right = ["https://a.example", "*", "http://localhost:8082"];
    assert!(
        origins(&right)
            .html()
            .contains("data-origins=\"https://a.example http://localhost:8082\"")
    );
}

#[test]
fn links_that_make_the_browser_act_are_left_out() {
    for link in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " data:text/html,x",
        "java\tscript:x",
        "mailto:x@a.example",
        "ms-msdt:/x",
        "intent://x",
        "x",
    ] {
        let page = Page::Connected {
            again: false,
            back: Some(Back {
                link: link.to_owned(),
                by_itself: true,
            }),
            notify: None,
        };
        let rendered = english(&page, Variant::Normal);
        for hook in ["data-action", "data-go", "<script"] {
            assert!(!rendered.html().contains(hook), "{link:?}: {hook}");
        }
        let mut parties = Variant::Normal.parties(Known::Home);
        if let Some(app) = &mut parties.app {
            app.home = Some(link.to_owned());
        }
        let rendered = render(&Page::Superseded, &parties, &Locale::all()[0]);
        assert!(!rendered.html().contains("data-action"), "{link:?}");
    }
    let mut parties = Variant::Normal.parties(Known::Both);
    if let Some(bank) = &mut parties.institution {
        bank.url = Some("javascript:alert(1)".to_owned());
    }
    let impeded = sample::all()
        .into_iter()
        .find(|sample| sample.label == "impeded")
        .unwrap();
    assert!(
        !render(&impeded.page, &parties, &Locale::all()[0])
            .html()
            .contains("javascript:")
    );
}

#[test]
fn names_and_messages_cannot_become_markup() {
    let corpus = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title></style><svg/onload=alert(1)>",
        "{{7*7}}{$app}{ $institution }",
        "&lt;b&gt;&#x3c;i&#x3e;",
        "]]><!--",
        "\u{202e}txet\u{0}\u{7}",
    ];
    let clean = sample::all();
    for evil in corpus {
        let parties = Parties {
            app: Some(AppBrand {
                name: evil.to_owned(),
                logo: Some(evil.to_owned()),
                accent: None,
                support: None,
                home: Some(format!("https://app.example/?{evil}")),
            }),
            institution: Some(InstitutionBrand {
                name: evil.to_owned(),
                logo: Some(evil.to_owned()),
                url: Some(format!("https://bank.example/{evil}")),
            }),
        };
        let notify = Some(Notify {
            message: json!({ "metadata": evil }),
            origins: vec!["https://a.example".to_owned()],
        });
        let retry = Some(Form::to(evil).proven_by(evil));
        let back = Some(Back {
            link: format!("app://done?{evil}"),
            by_itself: true,
        });
        let support_code = SupportCode::from_bytes(b"");
        let ending = Ending {
            retry,
            back: back.clone(),
            notify: notify.clone(),
            support_code,
        };
        let pages = [
            Page::Impeded(ending.clone()),
            Page::Duplicate(ending.clone()),
            Page::OtherLogin(ending.clone()),
            Page::Unconfirmed(ending.clone()),
            Page::Misdirected(ending.clone()),
            Page::PendingConfirmation {
                refresh_s: 2,
                back: back.clone(),
                notify: notify.clone(),
            },
            Page::Denied(ending),
            Page::Connected {
                again: true,
                back,
                notify,
            },
            Page::Used {
                check_again: Some(evil.to_owned()),
                support_code: None,
            },
        ];
        for page in clean.iter().map(|sample| &sample.page).chain(&pages) {
            let rendered = render(page, &parties, &Locale::all()[0]);
            let html = rendered.html();
            // The same page with harmless names has exactly the same tags.
            let harmless = tags(render(page, &harmless(&parties), &Locale::all()[0]).html());
            assert_eq!(tags(html), harmless, "{evil} on {}", page.name());
            assert!(
                !visible(html).contains(['\u{202e}', '\u{0}', '\u{7}']),
                "{evil:?} on {}",
                page.name()
            );
        }
    }
}

/// The names of a document's tags and of their attributes, in order.
fn tags(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for piece in html.split('<').skip(1) {
        let mut tag = String::new();
        let mut quoted = false;
        for c in piece.chars() {
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => break,
                c if !quoted => tag.push(c),
                _ => {}
            }
        }
        tags.push(tag);
    }
    tags
}

fn harmless(parties: &Parties) -> Parties {
    let mut parties = parties.clone();
    if let Some(app) = &mut parties.app {
        app.name = "App".to_owned();
        app.logo = Some("/app.svg".to_owned());
    }
    if let Some(bank) = &mut parties.institution {
        bank.name = "Bank".to_owned();
        bank.logo = Some("/bank.svg".to_owned());
        bank.url = Some("https://bank.example/".to_owned());
    }
    parties
}
