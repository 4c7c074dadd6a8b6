//! Every page with sample data: what the gallery shows and the tests examine.

use serde_json::json;

use super::{
    Accent, AppBrand, Back, Ending, EndsIn, Form, InstitutionBrand, Notify, Page, Parties, Share,
    SupportCode, SupportLink,
};

/// One page in one situation.
pub struct Sample {
    /// The page's name, and what is special about the situation.
    pub label: &'static str,
    /// The page.
    pub page: Page,
    /// Who is known on it.
    pub known: Known,
}

/// Which parties a page can be certain of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Both.
    Both,
    /// Both, and the app has a website to go back to.
    Home,
    /// Neither.
    Nobody,
}

/// The parties in a shape that tries the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Ordinary names, logos, an accent colour.
    Normal,
    /// Names of 60 characters.
    Long,
    /// No logos, no accent colour, no support address.
    Bare,
    /// Names in a right-to-left script.
    Rtl,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Variant; 4] = [Variant::Normal, Variant::Long, Variant::Bare, Variant::Rtl];

    /// Its name, for files.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Normal => "normal",
            Variant::Long => "long",
            Variant::Bare => "bare",
            Variant::Rtl => "rtl",
        }
    }

    /// The parties in this shape. The logos are [`LOGOS`], beside the page.
    pub fn parties(self, known: Known) -> Parties {
        if known == Known::Nobody {
            return Parties::default();
        }
        let (app, institution) = match self {
            Variant::Normal | Variant::Bare => ("Budgetly", "First Harbour Bank"),
            Variant::Long => (
                "Münchner Haushaltsplanungsgesellschaft für Familien und Paare",
                "Landwirtschaftlichekreditgenossenschaftsbank Niederösterreich",
            ),
            Variant::Rtl => ("الميزانية اليومية", "בנק הנמל הראשון"),
        };
        let dressed = self != Variant::Bare;
        Parties {
            app: Some(AppBrand {
                name: app.to_owned(),
                logo: dressed.then(|| LOGOS[0].0.to_owned()),
                accent: Accent::parse("#0f5c4c").ok().filter(|_| dressed),
                support: SupportLink::parse("mailto:help@budgetly.example")
                    .ok()
                    .filter(|_| dressed),
                home: (known == Known::Home).then(|| "https://budgetly.example/".to_owned()),
            }),
            institution: Some(InstitutionBrand {
                name: institution.to_owned(),
                logo: dressed.then(|| LOGOS[1].0.to_owned()),
                url: Some("https://firstharbour.example/".to_owned()),
            }),
        }
    }
}

/// The sample logos: file name and content.
pub const LOGOS: [(&str, &str); 2] = [
    ("app.svg", include_str!("../../../templates/sample/app.svg")),
    (
        "institution.svg",
        include_str!("../../../templates/sample/institution.svg"),
    ),
];

/// Every page, in every situation that changes what it says or offers.
pub fn all() -> Vec<Sample> {
    let mut samples = vec![
        both(
            "interstitial",
            Page::Interstitial {
                form: Form::to("?").proven_by("Yk3x"),
                decline: Form::to("?").proven_by("Yk3x").choosing("cancel"),
                shares: Vec::new(),
            },
        ),
        both(
            "interstitial-shares",
            Page::Interstitial {
                form: Form::to("?").proven_by("Yk3x"),
                decline: Form::to("?").proven_by("Yk3x").choosing("cancel"),
                shares: vec![
                    Share::Accounts,
                    Share::Balances,
                    Share::Transactions,
                    Share::Identity,
                ],
            },
        ),
        both(
            "connected",
            Page::Connected {
                again: false,
                back: None,
                notify: None,
            },
        ),
        both(
            "connected-popup",
            Page::Connected {
                again: false,
                back: None,
                notify: notify("success"),
            },
        ),
        both(
            "connected-app",
            Page::Connected {
                again: false,
                back: link(),
                notify: None,
            },
        ),
        both(
            "connected-again",
            Page::Connected {
                again: true,
                back: None,
                notify: None,
            },
        ),
        both(
            "connected-again-app",
            Page::Connected {
                again: true,
                back: link(),
                notify: None,
            },
        ),
        home(
            "connected-home",
            Page::Connected {
                again: false,
                back: None,
                notify: notify("success"),
            },
        ),
        both("used", used(None, None)),
        home("used-home", used(None, None)),
        both("used-check", used(Some("?"), None)),
        both(
            "used-elsewhere",
            used(None, Some(SupportCode::from_bytes(b"unbound!"))),
        ),
        both(
            "resume",
            Page::Resume {
                form: Form::to("?"),
            },
        ),
        both("expired", Page::Expired(None)),
        home("expired-home", Page::Expired(None)),
        both(
            "expired-retry",
            Page::Expired(Some(Ending {
                retry: Some(Form::to("?")),
                back: None,
                notify: None,
                support_code: SupportCode::from_bytes(b"expired!"),
            })),
        ),
        both("superseded", Page::Superseded),
        home("superseded-home", Page::Superseded),
        nobody("unknown", Page::Unknown),
        nobody("not-found", Page::NotFound),
        nobody("preview", Page::Preview),
        both("busy", busy(None)),
        both("busy-posted", busy(Some(Form::to("?").choosing("x")))),
        nobody("busy-unknown", busy(None)),
        both("maintenance", maintenance(None, None, None)),
        both(
            "maintenance-minutes",
            maintenance(Some(EndsIn::Minutes(20)), None, None),
        ),
        both(
            "maintenance-return",
            maintenance(
                Some(EndsIn::Hours(6)),
                Some("Payments and transfers are not affected."),
                link().map(|back| Back {
                    by_itself: false,
                    ..back
                }),
            ),
        ),
        home(
            "maintenance-website",
            maintenance(Some(EndsIn::Days(2)), None, None),
        ),
        both("connecting", Page::Connecting { refresh_s: 2 }),
        both("pending-confirmation", pending(None, None)),
        both(
            "pending-confirmation-popup",
            pending(None, notify("pending")),
        ),
        both("pending-confirmation-app", pending(link(), None)),
        both(
            "no-answer",
            Page::NoAnswer {
                go_on: Some(Form::to("?").choosing("continue")),
                cancel: Form::to("?").choosing("cancel"),
                support_code: code(),
            },
        ),
        both(
            "no-answer-last",
            Page::NoAnswer {
                go_on: None,
                cancel: Form::to("?").choosing("cancel"),
                support_code: code(),
            },
        ),
        both("replaced", Page::Replaced),
        both(
            "bad-return",
            Page::BadReturn {
                support_code: code(),
            },
        ),
        home(
            "bad-return-home",
            Page::BadReturn {
                support_code: code(),
            },
        ),
        nobody(
            "bad-return-unknown",
            Page::BadReturn {
                support_code: code(),
            },
        ),
        both(
            "wrong-browser",
            Page::WrongBrowser {
                support_code: code(),
            },
        ),
        nobody(
            "wrong-browser-unknown",
            Page::WrongBrowser {
                support_code: code(),
            },
        ),
    ];
    for (labels, page) in ENDINGS {
        let [plain, popup, app, last, at_home] = labels;
        let ending = |retry, back, notify| {
            page(Ending {
                retry,
                back,
                notify,
                support_code: code(),
            })
        };
        samples.extend([
            both(plain, ending(Some(Form::to("?")), None, None)),
            both(popup, ending(Some(Form::to("?")), None, notify("error"))),
            both(app, ending(Some(Form::to("?")), link(), None)),
            both(last, ending(None, None, None)),
            home(at_home, ending(Some(Form::to("?")), None, notify("error"))),
        ]);
    }
    for (labels, page) in FINAL {
        let [plain, popup, app] = labels;
        let ending = |back, notify| {
            page(Ending {
                retry: None,
                back,
                notify,
                support_code: code(),
            })
        };
        samples.extend([
            both(plain, ending(None, None)),
            both(popup, ending(None, notify("error"))),
            both(app, ending(link(), None)),
        ]);
    }
    samples
}

/// Labels of an ending that no other try follows: a plain one, one in a popup, one with a way back.
type FinalSample = ([&'static str; 3], fn(Ending) -> Page);

const FINAL: [FinalSample; 5] = [
    (
        ["not-set-up", "not-set-up-popup", "not-set-up-app"],
        Page::NotSetUp,
    ),
    (
        ["duplicate", "duplicate-popup", "duplicate-app"],
        Page::Duplicate,
    ),
    (
        ["other-login", "other-login-popup", "other-login-app"],
        Page::OtherLogin,
    ),
    (
        ["unconfirmed", "unconfirmed-popup", "unconfirmed-app"],
        Page::Unconfirmed,
    ),
    (
        ["misdirected", "misdirected-popup", "misdirected-app"],
        Page::Misdirected,
    ),
];

/// Labels of a plain ending, one in a popup, one with a way back, one without another try, and one of
/// an app that has a website.
type EndingSample = ([&'static str; 5], fn(Ending) -> Page);

const ENDINGS: [EndingSample; 5] = [
    (
        [
            "cancelled",
            "cancelled-popup",
            "cancelled-app",
            "cancelled-last",
            "cancelled-home",
        ],
        Page::Cancelled,
    ),
    (
        [
            "denied",
            "denied-popup",
            "denied-app",
            "denied-last",
            "denied-home",
        ],
        Page::Denied,
    ),
    (
        [
            "impeded",
            "impeded-popup",
            "impeded-app",
            "impeded-last",
            "impeded-home",
        ],
        Page::Impeded,
    ),
    (
        [
            "provider-error",
            "provider-error-popup",
            "provider-error-app",
            "provider-error-last",
            "provider-error-home",
        ],
        Page::ProviderError,
    ),
    (
        [
            "server-error",
            "server-error-popup",
            "server-error-app",
            "server-error-last",
            "server-error-home",
        ],
        Page::ServerError,
    ),
];

fn both(label: &'static str, page: Page) -> Sample {
    Sample {
        label,
        page,
        known: Known::Both,
    }
}

fn busy(again: Option<Form>) -> Page {
    Page::Busy {
        refresh_s: 5,
        again,
    }
}

fn maintenance(ends_in: Option<EndsIn>, text: Option<&str>, back: Option<Back>) -> Page {
    Page::Maintenance {
        ends_in,
        text: text.map(str::to_owned),
        back,
    }
}

fn pending(back: Option<Back>, notify: Option<Notify>) -> Page {
    Page::PendingConfirmation {
        refresh_s: 2,
        back,
        notify,
    }
}

fn used(check_again: Option<&str>, support_code: Option<SupportCode>) -> Page {
    Page::Used {
        check_again: check_again.map(str::to_owned),
        support_code,
    }
}

fn home(label: &'static str, page: Page) -> Sample {
    Sample {
        label,
        page,
        known: Known::Home,
    }
}

fn nobody(label: &'static str, page: Page) -> Sample {
    Sample {
        label,
        page,
        known: Known::Nobody,
    }
}

fn link() -> Option<Back> {
    Some(Back {
        link: "example.budgetly://oauth_complete?status=success&member_guid=MBR-1".to_owned(),
        by_itself: true,
    })
}

fn notify(outcome: &str) -> Option<Notify> {
    Some(Notify {
        message: json!({
            "mx": true,
            "type": format!("oauthComplete/{outcome}"),
            "metadata": { "member_guid": "MBR-1" },
        }),
        origins: vec!["https://budgetly.example".to_owned()],
    })
}

fn code() -> SupportCode {
    SupportCode::from_bytes(b"sample")
}
