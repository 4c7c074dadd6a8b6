//! mint: a request for a link → a window and its one-time link.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::maintenance::{self, Closed};
use super::{Gateway, Internal};
use crate::domain::client::{Client, Registration};
use crate::domain::connection_values::{self, InvalidValue};
use crate::domain::event::EventKind;
use crate::domain::id::{MemberGuid, OauthStateGuid, Partition, UserGuid};
use crate::domain::institution::Institution;
use crate::domain::member::Member;
use crate::domain::return_address::{self, InvalidReturn, ReturnTo};
use crate::domain::scheme::Scheme;
use crate::domain::secret::LinkToken;
use crate::domain::window::{NewWindow, OpenPolicy, ReferralSource, WindowOptions};
use crate::{log_context, metrics};

/// The options of a window, as the request has them.
#[derive(Clone, Debug, Default)]
pub struct MintOptions {
    /// `referral_source`; BROWSER unless given.
    pub referral_source: ReferralSource,
    /// `client_redirect_url`; used in APP flows only.
    pub client_redirect_url: Option<String>,
    /// `ui_message_webview_url_scheme`; used in APP flows only.
    pub ui_message_webview_url_scheme: Option<String>,
    /// `skip_aggregation`.
    pub skip_aggregation: Option<bool>,
    /// `enable_app2app`; true unless given.
    pub enable_app2app: Option<bool>,
    /// How the link may be opened, if not as the client's configuration says.
    pub open_policy: Option<OpenPolicy>,
    /// How long the link may wait, if not as long as the client's configuration says.
    pub link_minutes: Option<u32>,
    /// How long the authorization response is awaited, if not as long as the client's configuration says.
    pub authorization_minutes: Option<u32>,
    /// The languages for the pages.
    pub ui_locales: Option<String>,
    /// What the institution asks for with every connection.
    pub oauth_values: BTreeMap<String, String>,
}

/// A link that was minted.
pub struct Minted {
    /// The member it connects.
    pub member: Member,
    /// The window's guid: that of the OAuth state.
    pub oauth_state: OauthStateGuid,
    /// The link itself: shown once, not stored.
    pub oauth_window_uri: Url,
    /// Until when it may be opened.
    pub expires_at: Timestamp,
}

/// Why no link was minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The institution has no OAuth, or the client no registration there.
    #[error("Member cannot use OAuth")]
    CannotUseOAuth,
    /// The institution is not used for now.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The address is not a registered one.
    #[error(
        "client_redirect_url {0:?} is not one of this client's registered return addresses; \
         register it in the configuration (return_addresses), byte for byte up to the '?'"
    )]
    ReturnAddress(String),
    /// The address can be nobody's return address.
    #[error("client_redirect_url {0}")]
    MalformedAddress(#[from] InvalidReturn),
    /// The scheme is not a registered one.
    #[error(
        "ui_message_webview_url_scheme {0:?} is not one of this client's registered return schemes; \
         register it in the configuration (return_schemes)"
    )]
    ReturnScheme(String),
    /// Nobody could bring the handle that confirms the flow.
    #[error(
        "flows at this institution have to be confirmed (completion or unbound_callback is \"confirm\"), and nothing \
         would bring you the handle: register message_origins or home in the configuration, or give a registered \
         client_redirect_url with referral_source APP"
    )]
    NoWayToConfirm,
    /// The link would live too long or not at all.
    #[error("link_minutes must be between 1 and {most} for open_policy {policy}")]
    LinkLife {
        /// The policy asked for.
        policy: &'static str,
        /// The most that it allows.
        most: u32,
    },
    /// The authorization response would be awaited too long or not at all.
    #[error("authorization_minutes must be between 1 and {LONGEST_AUTHORIZATION}")]
    AuthorizationLife,
    /// A value for the connection is missing, or not as the institution asks for it.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// The most minutes that the authorization response is awaited.
pub const LONGEST_AUTHORIZATION: u16 = 60;

impl From<crate::store::StoreError> for MintError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// The longest life of a link, by policy.
pub fn longest_link(policy: OpenPolicy) -> Duration {
    match policy {
        OpenPolicy::Single => Duration::from_secs(60 * 60),
        OpenPolicy::Interstitial | OpenPolicy::Multi => Duration::from_secs(7 * 24 * 60 * 60),
    }
}

/// Mints a new link for the user's member; the member's earlier unfinished one is superseded.
pub async fn mint(
    gateway: &Gateway,
    client: &Client,
    user: UserGuid,
    member: MemberGuid,
    link_options: MintOptions,
) -> Result<Minted, MintError> {
    let _timing = gateway.metrics.mint.start([]);
    let now = gateway.now();
    let found = gateway.store.member(user, member).await?;
    let found = found.ok_or(MintError::NoSuchMember(member))?;
    log_context::member(&found);
    let institution = gateway
        .institution(&found.institution)
        .map_err(|_| MintError::CannotUseOAuth)?;
    if !found.is_oauth {
        return Err(MintError::CannotUseOAuth);
    }
    let draft = Draft::new(
        gateway,
        client,
        institution,
        user.partition(),
        link_options,
        now,
    )?;
    let superseded = gateway.notices(client, &[EventKind::OauthStateFinished], user.partition());
    let kept = gateway
        .store
        .mint_window(user, member, &draft.window, &superseded, now)
        .await?;
    let kept = kept.ok_or(MintError::NoSuchMember(member))?;
    gateway.metrics.links_minted.count(metrics::of(&kept));
    tracing::info!(oauth_state = %draft.window.guid, "link minted");
    Ok(draft.into_minted(gateway, kept))
}

/// A window and its link, made but not yet kept.
pub(super) struct Draft {
    pub(super) window: NewWindow,
    token: LinkToken,
}

impl Draft {
    pub(super) fn new(
        gateway: &Gateway,
        client: &Client,
        institution: &Institution,
        partition: Partition,
        link_options: MintOptions,
        now: Timestamp,
    ) -> Result<Self, MintError> {
        let is_registered = client.registration(&institution.code).is_some();
        let oauth = institution.oauth.as_ref().filter(|_| is_registered);
        let oauth = oauth.ok_or(MintError::CannotUseOAuth)?;
        if let Some(closed) = maintenance::closed(gateway, &institution.code) {
            return Err(closed.into());
        }
        let registration = client.registration(&institution.code);
        let must_confirm = registration.is_some_and(Registration::awaits_confirmations);
        let return_to = return_to(client, &link_options)?;
        let has_way = return_to != ReturnTo::Page
            || client.home.is_some()
            || link_options.referral_source == ReferralSource::Browser
                && !client.message_origins.is_empty();
        if must_confirm && !has_way {
            return Err(MintError::NoWayToConfirm);
        }
        let policy = link_options.open_policy.unwrap_or(client.open_policy);
        let ttl = link_life(client, policy, link_options.link_minutes)?;
        let options = WindowOptions {
            referral_source: link_options.referral_source,
            return_to,
            skip_aggregation: link_options.skip_aggregation,
            enable_app2app: link_options.enable_app2app.unwrap_or(true),
            open_policy: policy,
            authorization_minutes: authorization_life(
                gateway,
                client,
                link_options.authorization_minutes,
            )?,
            ui_locales: link_options.ui_locales,
            oauth_values: connection_values::check(&oauth.values, link_options.oauth_values)?,
        };
        let token = LinkToken::new(gateway.random.as_ref(), partition);
        let window = NewWindow {
            guid: OauthStateGuid::of(&token),
            options,
            deadline: now + ttl,
        };
        Ok(Self { window, token })
    }

    pub(super) fn into_minted(self, gateway: &Gateway, member: Member) -> Minted {
        let path = format!(
            "/oauth/predirect_to/{}/{}",
            member.guid,
            self.token.expose()
        );
        let mut oauth_window_uri = gateway.settings.public_url.clone();
        oauth_window_uri.set_path(&path);
        Minted {
            member,
            oauth_state: self.window.guid,
            oauth_window_uri,
            expires_at: self.window.deadline,
        }
    }
}

fn link_life(
    client: &Client,
    policy: OpenPolicy,
    wished_minutes: Option<u32>,
) -> Result<Duration, MintError> {
    let longest = longest_link(policy);
    let Some(minutes) = wished_minutes else {
        return Ok(client.link_ttl.min(longest));
    };
    let wished = Duration::from_secs(u64::from(minutes) * 60);
    if wished.is_zero() || wished > longest {
        let policy = match policy {
            OpenPolicy::Single => "single",
            OpenPolicy::Interstitial => "interstitial",
            OpenPolicy::Multi => "multi",
        };
        return Err(MintError::LinkLife {
            policy,
            most: (longest.as_secs() / 60) as u32,
        });
    }
    Ok(wished)
}

/// How many minutes the authorization response is awaited; `None`: as long as usual.
fn authorization_life(
    gateway: &Gateway,
    client: &Client,
    wished: Option<u32>,
) -> Result<Option<u16>, MintError> {
    let minutes = match wished {
        Some(minutes) => u16::try_from(minutes).map_err(|_| MintError::AuthorizationLife)?,
        None if client.authorization_ttl == gateway.settings.authorization_ttl => return Ok(None),
        None => (client.authorization_ttl.as_secs() / 60) as u16,
    };
    let in_bounds = (1..=LONGEST_AUTHORIZATION).contains(&minutes);
    in_bounds
        .then_some(Some(minutes))
        .ok_or(MintError::AuthorizationLife)
}

/// Where an APP flow ends; in BROWSER flows address and scheme are ignored, never refused
///.
fn return_to(client: &Client, link_options: &MintOptions) -> Result<ReturnTo, MintError> {
    if link_options.referral_source == ReferralSource::Browser {
        return Ok(ReturnTo::Page);
    }
    if let Some(given) = &link_options.client_redirect_url {
        let address = return_address::requested(given)?;
        let registered = client
            .return_addresses
            .iter()
            .any(|registered| registered.admits(&address));
        return match registered {
            true => Ok(ReturnTo::Address(address)),
            false => Err(MintError::ReturnAddress(given.clone())),
        };
    }
    let registered = |scheme: &Scheme| client.return_schemes.iter().any(|known| known.is(scheme));
    match &link_options.ui_message_webview_url_scheme {
        Some(text) => {
            let scheme = text.parse::<Scheme>().ok().filter(registered);
            scheme
                .map(ReturnTo::Scheme)
                .ok_or_else(|| MintError::ReturnScheme(text.clone()))
        }
        None => {
            let default: Scheme = "mx".parse().expect("a scheme");
            Ok(if registered(&default) {
                ReturnTo::Scheme(default)
            } else {
                ReturnTo::Page
            })
        }
    }
}
