//! How windows are written as hashes.
//!
//! Windows are many and small: their fields have one letter, and one that has its usual value is
//! left out, so that a window stays one compact hash (at most 64 bytes a value).
//!
//! | field | what |
//! |---|---|
//! | `m` | the member |
//! | `t`, `u`, `d` | created, updated (absent: as created), deadline |
//! | `s` | status; absent: issued; `1` opened, `2` returned, `3` succeeded, `4`, reason's id, ending's letter: errored |
//! | `o` | options as letters: `A` app, `k` skip and `n` do not skip aggregation, `2` app2app, `i` interstitial, `m` multi |
//! | `r`, `l`, `w` | where to return to (`a:` address, `s:` scheme), languages, minutes to wait for an answer |
//! | `a`, `n` | newest attempt; how often it was opened under `multi` |
//! | `i`, `f`, `e` | inbound member, first retrieval, the institution's words |
//! | `p`, `y`, `z` | the member's window before, retries, until when "Try again" is offered |

use super::record::{Written, guid, member_guid, present, read_member};
use super::reply::{Fields, Reply, time, unreadable};
use crate::domain::id::{MemberGuid, OauthStateGuid, UserGuid};
use crate::domain::member::Member;
use crate::domain::return_address::ReturnTo;
use crate::domain::window::{
    Ending, ErrorReason, OpenPolicy, ReferralSource, Window, WindowOptions, WindowStatus,
};
use crate::store::{Result, Subject};

/// The fields of a new window's options.
pub(super) fn write_options(options: &WindowOptions) -> Written {
    let mut letters = String::new();
    if options.referral_source == ReferralSource::App {
        letters.push('A');
    }
    match options.skip_aggregation {
        Some(true) => letters.push('k'),
        Some(false) => letters.push('n'),
        None => {}
    }
    if options.enable_app2app {
        letters.push('2');
    }
    match options.open_policy {
        OpenPolicy::Single => {}
        OpenPolicy::Interstitial => letters.push('i'),
        OpenPolicy::Multi => letters.push('m'),
    }
    let return_to = match &options.return_to {
        ReturnTo::Page => None,
        ReturnTo::Address(address) => Some(format!("a:{address}")),
        ReturnTo::Scheme(scheme) => Some(format!("s:{scheme}")),
    };
    present([
        ("o", (!letters.is_empty()).then_some(letters)),
        ("r", return_to),
        ("l", options.ui_locales.clone()),
        (
            "w",
            options
                .authorization_minutes
                .map(|minutes| minutes.to_string()),
        ),
    ])
}

fn read_options(fields: &Fields) -> Result<WindowOptions> {
    let mut options = WindowOptions::default();
    for letter in fields.get("o").unwrap_or_default().chars() {
        match letter {
            'A' => options.referral_source = ReferralSource::App,
            'k' => options.skip_aggregation = Some(true),
            'n' => options.skip_aggregation = Some(false),
            '2' => options.enable_app2app = true,
            'i' => options.open_policy = OpenPolicy::Interstitial,
            'm' => options.open_policy = OpenPolicy::Multi,
            _ => return Err(unreadable("a window's options")),
        }
    }
    let return_to = |text: &str| match text.split_at_checked(2)? {
        ("a:", address) => Some(ReturnTo::Address(address.to_owned())),
        ("s:", scheme) => Some(ReturnTo::Scheme(scheme.parse().ok()?)),
        _ => None,
    };
    options.return_to = fields.maybe("r", return_to)?.unwrap_or_default();
    options.ui_locales = fields.owned("l");
    options.authorization_minutes = fields.maybe("w", |text| text.parse().ok())?;
    Ok(options)
}

const ENDINGS: [Ending; 8] = [
    Ending::Failed,
    Ending::Superseded,
    Ending::Expired,
    Ending::MemberDeleted,
    Ending::Unbound,
    Ending::Duplicate,
    Ending::OtherLogin,
    Ending::NotSetUp,
];

fn letter(ending: Ending) -> char {
    match ending {
        Ending::Failed => 'f',
        Ending::Superseded => 's',
        Ending::Expired => 'e',
        Ending::MemberDeleted => 'd',
        Ending::Unbound => 'u',
        Ending::Duplicate => 'c',
        Ending::OtherLogin => 'o',
        Ending::NotSetUp => 'n',
    }
}

/// The last status of a window that ended without success.
pub(super) fn write_errored(reason: ErrorReason, ending: Ending) -> String {
    format!("4{}{}", reason.id(), letter(ending))
}

/// A status as it is kept; a window that was only issued keeps none, which counts as this one.
pub(super) fn write_status(status: WindowStatus) -> String {
    match status {
        WindowStatus::Issued => "0".to_owned(),
        WindowStatus::Opened => "1".to_owned(),
        WindowStatus::Returned => "2".to_owned(),
        WindowStatus::Succeeded => "3".to_owned(),
        WindowStatus::Errored(reason, ending) => write_errored(reason, ending),
    }
}

fn read_status(text: &str) -> Option<WindowStatus> {
    match text {
        "1" => Some(WindowStatus::Opened),
        "2" => Some(WindowStatus::Returned),
        "3" => Some(WindowStatus::Succeeded),
        errored => {
            let mut letters = errored.strip_prefix('4')?.chars();
            let reason = letters.next()?.to_digit(10)?;
            let ended = letters.next()?;
            let ending = ENDINGS.into_iter().find(|it| letter(*it) == ended)?;
            let reason = ErrorReason::from_id(u8::try_from(reason).ok()?)?;
            letters
                .next()
                .is_none()
                .then_some(WindowStatus::Errored(reason, ending))
        }
    }
}

/// The window of these fields; whose it is, is read from its member's.
pub(super) fn read_window(
    guid: OauthStateGuid,
    fields: &Fields,
    member: &Fields,
) -> Result<Window> {
    let created_at = fields.time("t")?;
    Ok(Window {
        guid,
        member: fields.read("m", guid!(MemberGuid))?,
        user: member.read("user", guid!(UserGuid))?,
        client: member.parse("client")?,
        options: read_options(fields)?,
        status: fields
            .maybe("s", read_status)?
            .unwrap_or(WindowStatus::Issued),
        inbound: fields.maybe("i", guid!(MemberGuid))?,
        created_at,
        updated_at: fields.maybe("u", time)?.unwrap_or(created_at),
        deadline: fields.time("d")?,
        first_retrieved_at: fields.maybe("f", time)?,
        retries: fields
            .maybe("y", |text| text.parse().ok())?
            .unwrap_or_default(),
        detail: fields.owned("e"),
        retry_until: fields.maybe("z", time)?,
        previous: fields.maybe("p", guid!(OauthStateGuid))?,
    })
}

/// A window and its member, unless it was deleted.
pub(super) struct Found {
    /// The window.
    pub(super) window: Window,
    /// Its member.
    pub(super) member: Option<Member>,
}

impl Found {
    /// Reads what the scripts call a subject.
    pub(super) fn read(mut reply: Reply) -> Result<Self> {
        let window = window_guid(&reply.text()?)?;
        let window_fields = reply.fields()?;
        let member = member_guid(&reply.text()?)?;
        let member_fields = reply.fields()?;
        Ok(Self {
            window: read_window(window, &window_fields, &member_fields)?,
            member: match member_fields.has("gone") {
                true => None,
                false => Some(read_member(member, &member_fields)?),
            },
        })
    }

    /// Both, where the step promises a member.
    pub(super) fn subject(self) -> Result<Box<Subject>> {
        let member = self
            .member
            .ok_or_else(|| unreadable("an unfinished window of a deleted member"))?;
        Ok(Box::new(Subject {
            window: self.window,
            member,
        }))
    }
}

/// Reads a window's compact guid.
pub(super) fn window_guid(text: &str) -> Result<OauthStateGuid> {
    OauthStateGuid::from_compact(text).map_err(|_| unreadable("a window's guid"))
}
