//! From a page to its HTML: what each one says and offers, and the templates it fills.

use askama::Template;
use url::Url;

use super::assets::{SCRIPT, STYLE};
use super::brand::{Accent, Parties};
use super::locale::Locale;
use super::rendered::Rendered;
use super::words::{Words, initial, tidy};
use super::{Ending, EndsIn, Form, Notify, Page, Share, SupportCode};
use crate::domain::return_address::ReturnAddress;

/// The name of the form field that carries a [`Form`]'s proof.
pub const PROOF_FIELD: &str = "proof";

/// The name of the form field that says what is chosen: `continue`, `cancel` or `retry`.
pub const ACTION_FIELD: &str = "action";

/// Everything the layout shows; the variations add to it.
struct Frame<'a> {
    lang: &'a str,
    dir: &'static str,
    title: String,
    name: &'static str,
    reason: Option<&'static str>,
    style: &'static str,
    accent: Option<&'a Accent>,
    /// The script, if it has something to do.
    script: Option<&'static str>,
    tell: Option<Tell>,
    /// The address that the page goes to by itself.
    go: Option<&'a str>,
    /// After how many seconds it posts its form by itself.
    post_s: Option<u8>,
    icon: Option<&'a str>,
    app: Option<Tile<'a>>,
    institution: Option<Tile<'a>>,
    tone: Tone,
    heading: String,
    sentences: Vec<String>,
    actions: Vec<Action<'a>>,
    close: Option<String>,
    support_code: Option<(String, SupportCode)>,
    purpose: String,
    help: Option<(&'a str, String)>,
}

/// A message for the opener, in the form the script reads it.
struct Tell {
    message: String,
    origins: String,
    /// Whether the window may close after the message was sent.
    close: bool,
}

/// A party's logo, or the first letter of its name.
struct Tile<'a> {
    logo: Option<&'a str>,
    initial: String,
}

/// The sign between the two parties.
#[derive(Clone, Copy)]
enum Tone {
    Go,
    Done,
    Stopped,
    Attention,
    Trouble,
    Late,
    Lost,
    Wait,
}

impl Tone {
    /// Its class in the style sheet; the quiet ones share the plain look.
    fn class(&self) -> &'static str {
        match self {
            Tone::Done => "done",
            Tone::Attention => "attention",
            Tone::Trouble => "trouble",
            Tone::Go | Tone::Stopped | Tone::Late | Tone::Lost | Tone::Wait => "calm",
        }
    }
}

/// Something to press; the first one on a page is the primary one.
struct Action<'a> {
    name: &'static str,
    label: String,
    target: Target<'a>,
}

enum Target<'a> {
    Post(&'a Form),
    Link(&'a str),
    NewTab(&'a str),
}

impl Action<'_> {
    fn class(&self, first: &bool) -> &'static str {
        if *first { "button" } else { "button quiet" }
    }
}

#[derive(Template)]
#[template(path = "page.html", whitespace = "minimize")]
struct Message<'a> {
    frame: Frame<'a>,
}

#[derive(Template)]
#[template(path = "interstitial.html", whitespace = "minimize")]
struct Interstitial<'a> {
    frame: Frame<'a>,
    shares_heading: String,
    shares: Vec<String>,
}

#[derive(Template)]
#[template(path = "preview.html", whitespace = "minimize")]
struct Preview<'a> {
    frame: Frame<'a>,
    description: String,
}

/// Renders a page, complete with the headers that depend on it.
pub fn render(page: &Page, parties: &Parties, locale: &Locale) -> Rendered {
    let nobody = Parties::default();
    let parties = if matches!(page, Page::Preview) {
        &nobody
    } else {
        parties
    };
    let words = Words::new(locale, parties);
    let frame = Frame::new(page, parties, locale, &words);
    let tells_opener = frame.tell.is_some();
    let mut rendered = Rendered::new(page, frame.accent, frame.script.is_some(), tells_opener);
    let html = match page {
        Page::Interstitial { shares, .. } => Interstitial {
            frame,
            shares_heading: words.text("interstitial-shares"),
            shares: share_lines(shares, &words),
        }
        .render(),
        Page::Preview => Preview {
            frame,
            description: words.plain("preview-body"),
        }
        .render(),
        _ => Message { frame }.render(),
    };
    rendered.html = html.expect("a page is written into memory, from values that always print");
    rendered
}

impl<'a> Frame<'a> {
    fn new(page: &'a Page, parties: &'a Parties, locale: &'a Locale, words: &Words<'a>) -> Self {
        let (app, institution) = (parties.app.as_ref(), parties.institution.as_ref());
        let website = institution.and_then(|bank| web_address(bank.url.as_deref()?));
        let back = back(page, parties);
        let go = page.back().filter(|own| own.by_itself).and(back);
        let post_s = page.post_s();
        let actions = actions(page, website, back, words);
        let tell = tell(page);
        // If there is a second action already, one more would be too many. The way back does not count:
        // the script shows one of the two.
        let others = actions.iter().filter(|action| action.name != "return");
        let close = (tell.is_some() && others.count() < 2).then(|| words.text("action-close"));
        let heading = match page {
            Page::NoAnswer { go_on: None, .. } => "no-answer-last-heading".to_owned(),
            _ => format!("{}-heading", page.name()),
        };
        Frame {
            lang: locale.tag(),
            dir: locale.dir(),
            title: words.title(&heading, app.is_some()),
            name: page.name(),
            reason: page.reason(),
            style: &STYLE.text,
            accent: app.and_then(|app| app.accent.as_ref()),
            script: (tell.is_some() || go.is_some() || post_s.is_some())
                .then_some(SCRIPT.text.as_str()),
            tell,
            go,
            post_s,
            icon: app.and_then(|app| app.logo.as_deref()),
            app: app.map(|app| Tile::new(&app.name, app.logo.as_deref())),
            institution: institution.map(|bank| Tile::new(&bank.name, bank.logo.as_deref())),
            tone: tone(page),
            heading: words.text(&heading),
            sentences: match page {
                Page::Maintenance { ends_in, text, .. } => {
                    maintenance_sentences(*ends_in, text.as_deref(), words)
                }
                _ => sentences(page, back.is_some())
                    .iter()
                    .map(|key| words.text(key))
                    .collect(),
            },
            actions,
            close,
            support_code: page
                .support_code()
                .map(|code| (words.text("support-code"), code)),
            purpose: words.text("footer-purpose"),
            help: app
                .and_then(|app| app.support.as_ref())
                .map(|link| (link.as_str(), words.text("footer-help"))),
        }
    }
}

impl<'a> Tile<'a> {
    fn new(name: &str, logo: Option<&'a str>) -> Self {
        Self {
            logo,
            initial: initial(&tidy(name)),
        }
    }
}

fn tone(page: &Page) -> Tone {
    match page {
        Page::Interstitial { .. } | Page::Resume { .. } | Page::Preview => Tone::Go,
        Page::Replaced => Tone::Stopped,
        Page::Connected { .. } => Tone::Done,
        Page::Cancelled(_) | Page::Duplicate(_) | Page::Used { .. } => Tone::Stopped,
        Page::Denied(_)
        | Page::Impeded(_)
        | Page::OtherLogin(_)
        | Page::Misdirected(_)
        | Page::NoAnswer { .. }
        | Page::WrongBrowser { .. } => Tone::Attention,
        Page::ProviderError(_)
        | Page::ServerError(_)
        | Page::NotSetUp(_)
        | Page::BadReturn { .. } => Tone::Trouble,
        Page::Expired(_) | Page::Unconfirmed(_) | Page::Superseded => Tone::Late,
        Page::Unknown | Page::NotFound => Tone::Lost,
        Page::Busy { .. }
        | Page::Connecting { .. }
        | Page::PendingConfirmation { .. }
        | Page::Maintenance { .. } => Tone::Wait,
    }
}

/// The keys of the texts below a page's heading. The last text of an ending depends on whether there is a
/// button to try again; that of success on whether there is a way back.
fn sentences(page: &Page, has_back: bool) -> Vec<String> {
    let endings: &[&str] = match page {
        Page::Interstitial { .. }
        | Page::Resume { .. }
        | Page::Preview
        | Page::Busy { again: None, .. }
        | Page::Connecting { .. } => &["body"],
        Page::Busy { again: Some(_), .. } => &["body", "press"],
        Page::PendingConfirmation { .. } => match has_back {
            true => &["body", "return"],
            false => &["body", "wait"],
        },
        Page::Connected { again, .. } => match (again, has_back) {
            (false, true) => &["body", "return"],
            (false, false) => &["body", "close"],
            (true, true) => &["body", "again", "return"],
            (true, false) => &["body", "again", "close"],
        },
        Page::Used {
            check_again: Some(_),
            ..
        } => &["body", "check"],
        Page::Cancelled(Ending { retry, .. })
        | Page::Denied(Ending { retry, .. })
        | Page::Impeded(Ending { retry, .. })
        | Page::ProviderError(Ending { retry, .. })
        | Page::ServerError(Ending { retry, .. }) => match retry {
            Some(_) => &["body", "retry"],
            None => &["body", "again"],
        },
        Page::Expired(Some(Ending { retry: Some(_), .. })) => &["body", "retry"],
        Page::NoAnswer { go_on: None, .. } => &["body", "last"],
        Page::NotSetUp(_)
        | Page::Duplicate(_)
        | Page::OtherLogin(_)
        | Page::Unconfirmed(_)
        | Page::Misdirected(_)
        | Page::Used {
            check_again: None, ..
        }
        | Page::Expired(_)
        | Page::Superseded
        | Page::Unknown
        | Page::NotFound
        | Page::Maintenance { .. }
        | Page::NoAnswer { go_on: Some(_), .. }
        | Page::Replaced
        | Page::BadReturn { .. }
        | Page::WrongBrowser { .. } => &["body", "next"],
    };
    endings
        .iter()
        .map(|ending| format!("{}-{ending}", page.name()))
        .collect()
}

/// What is said of an institution that is not used for now: first what did not happen, then what its operator says and
/// when it is over, as far as that is known.
fn maintenance_sentences(
    ends_in: Option<EndsIn>,
    text: Option<&str>,
    words: &Words<'_>,
) -> Vec<String> {
    let ends = ends_in.map(|ends_in| match ends_in {
        EndsIn::Minutes(count) => words.counted("maintenance-minutes", count),
        EndsIn::Hours(count) => words.counted("maintenance-hours", count),
        EndsIn::Days(count) => words.counted("maintenance-days", count),
    });
    let next = ends.unwrap_or_else(|| words.text("maintenance-next"));
    [
        Some(words.text("maintenance-body")),
        text.map(tidy),
        Some(next),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where "Back to the app" leads: the flow's own way back, or else the app's website, if there is one.
fn back<'a>(page: &'a Page, parties: &'a Parties) -> Option<&'a str> {
    let own = page.back().map(|back| back.link.as_str());
    let home = || parties.app.as_ref()?.home.as_deref();
    own.or_else(home)
        .filter(|link| page.is_last() && leads_out(link))
}

/// What can be pressed, most useful first and two at most.
fn actions<'a>(
    page: &'a Page,
    website: Option<&'a str>,
    back: Option<&'a str>,
    words: &Words<'_>,
) -> Vec<Action<'a>> {
    let action = |name, key: &str, target| Action {
        name,
        label: words.text(key),
        target,
    };
    let first = match page {
        Page::Interstitial { form, .. }
        | Page::Resume { form }
        | Page::NoAnswer {
            go_on: Some(form), ..
        } => Some(action("continue", "action-continue", Target::Post(form))),
        Page::Used {
            check_again: Some(link),
            ..
        } => Some(action("retry", "action-check", Target::Link(link))),
        Page::Busy {
            again: Some(form), ..
        } => Some(action("retry", "action-reload", Target::Post(form))),
        // An empty reference is the page's own address.
        Page::Busy { again: None, .. } => Some(action("retry", "action-reload", Target::Link(""))),
        Page::Replaced | Page::NoAnswer { go_on: None, .. } => {
            Some(action("retry", "action-check", Target::Link("")))
        }
        Page::Impeded(_) => {
            website.map(|url| action("institution", "action-institution", Target::NewTab(url)))
        }
        _ => None,
    };
    let cancel = match page {
        Page::Interstitial { decline, .. } => Some(("action-not-now", decline)),
        Page::NoAnswer { cancel, .. } => Some(("action-cancel", cancel)),
        _ => None,
    };
    let cancel = cancel.map(|(key, form)| action("cancel", key, Target::Post(form)));
    let retry = page.ending().and_then(|ending| ending.retry.as_ref());
    let retry = retry.map(|form| action("retry", "action-retry", Target::Post(form)));
    let back = back.map(|link| action("return", "action-return", Target::Link(link)));
    let second = cancel.or(retry);
    // It may be over sooner than anybody thinks.
    let last = matches!(page, Page::Maintenance { .. })
        .then(|| action("retry", "action-check", Target::Link("")));
    first
        .into_iter()
        .chain(second)
        .chain(back)
        .chain(last)
        .take(2)
        .collect()
}

fn share_lines(shares: &[Share], words: &Words<'_>) -> Vec<String> {
    let key = |share: &Share| match share {
        Share::Accounts => "share-accounts",
        Share::Balances => "share-balances",
        Share::Transactions => "share-transactions",
        Share::Identity => "share-identity",
    };
    match shares {
        [] => vec![words.text("share-unlisted")],
        shares => shares.iter().map(|share| words.text(key(share))).collect(),
    }
}

/// The message for the opener; `None` if there is no origin that a message may be addressed to.
fn tell(page: &Page) -> Option<Tell> {
    let connected = matches!(page, Page::Connected { .. });
    let Notify { message, origins } = match page {
        Page::Connected { notify, .. } | Page::PendingConfirmation { notify, .. } => {
            notify.as_ref()?
        }
        _ => page.ending()?.notify.as_ref()?,
    };
    let origins: Vec<&str> = origins
        .iter()
        .map(String::as_str)
        .filter(|o| is_origin(o))
        .collect();
    (!origins.is_empty()).then(|| Tell {
        message: message.to_string(),
        origins: origins.join(" "),
        close: connected,
    })
}

/// Whether a text is exactly what a browser calls the origin of some website.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http") && url.origin().ascii_serialization() == text
    })
}

/// The address, if it is that of a website.
fn web_address(text: &str) -> Option<&str> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "https" | "http").then_some(text)
}

/// Whether a link can be a registered way back. Other schemes would make the browser itself do something.
fn leads_out(link: &str) -> bool {
    link.parse::<ReturnAddress>().is_ok()
}
