//! Authentication of callers. A handler that has one of these extractors as an argument serves only
//! callers with that permission.
//!
//! An authenticated caller is counted ([`Limits`](super::limits::Limits)). If a layer around the handler
//! has authenticated it already, it is in the request's extensions and is not counted again.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::Uri;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::app_state::AppState;
use super::limits::{Asked, Sought, too_many};
use super::problem::{Dialect, Kind, Problem};
use super::source::Source;
use super::version;
use crate::aggregator::Aggregator;
use crate::domain::client::Client;
use crate::domain::id::ClientId;
use crate::domain::secret::{ApiKey, SessionToken};
use crate::domain::user::User;
use crate::flow::access;
use crate::log_context;
use crate::telemetry::STRANGERS;

/// The Nexus API: one user, by its session.
#[derive(Clone)]
pub struct NexusUser {
    /// The tenant.
    pub client: Arc<Client>,
    /// The user.
    pub user: User,
}

/// The Platform API: one client, by its API key.
#[derive(Clone)]
pub struct PlatformClient {
    /// The tenant.
    pub client: Arc<Client>,
    asked: Asked,
    /// The user that the path names, if it was found.
    named: Option<User>,
}

impl PlatformClient {
    /// The client's user that a request is about, by guid or by the client's own `id`. The request is
    /// counted for that user as well.
    pub async fn user(&self, app: &AppState, identifier: &str) -> Result<User, Problem> {
        let client = &self.client.id;
        let count = |user| app.limits.admit_for_user(client, user, self.asked);
        // Only a look-up tells which user has a name; a guid needs none.
        let named = identifier.parse().ok();
        named.map_or(Ok(()), count)?;
        let is_it = |user: &&User| match named {
            Some(guid) => user.guid == guid,
            None => user.id.as_deref() == Some(identifier),
        };
        let found = match self.named.as_ref().filter(is_it) {
            Some(found) => Some(found.clone()),
            None => access::user(&app.gateway, client, identifier).await?,
        };
        if let (None, Some(user)) = (named, &found) {
            count(user.guid)?;
        }
        found.ok_or_else(|| Problem::not_found("user"))
    }
}

/// A path that both APIs share: the credential decides which it is.
pub enum Caller {
    /// A session of one user.
    Nexus(NexusUser),
    /// A client's key.
    Platform(PlatformClient),
}

impl Caller {
    /// The envelope of its errors.
    pub fn dialect(&self) -> Dialect {
        match self {
            Caller::Nexus(_) => Dialect::Nexus,
            Caller::Platform(_) => Dialect::Platform,
        }
    }

    /// The tenant.
    pub fn client(&self) -> &Client {
        match self {
            Caller::Nexus(user) => &user.client,
            Caller::Platform(caller) => &caller.client,
        }
    }
}

/// An aggregator, by its own key.
pub struct AggregatorAccess(pub Arc<Aggregator>);

/// Refuses a request that has a credential in its address.
pub fn refuse_credentials_in_query(uri: &Uri) -> Result<(), Problem> {
    let query = uri.query().unwrap_or_default();
    let names = [
        "api_key",
        "md-api-key",
        "md-api-token",
        "md-session-token",
        "client_secret",
        "access_token",
    ];
    let carries_one = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()));
    if carries_one {
        let message = "Credentials are taken from headers only, never from the address: addresses are logged.";
        return Err(Problem::new(Kind::Malformed, message));
    }
    Ok(())
}

impl FromRequestParts<AppState> for NexusUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let nexus = |problem: Problem| problem.in_dialect(Dialect::Nexus);
        refuse_credentials_in_query(&parts.uri).map_err(nexus)?;
        let header = parts.headers.get("md-session-token").ok_or_else(|| {
            let message = "MD-SESSION-TOKEN is missing: begin a session with POST /sessions.";
            nexus(Problem::new(Kind::Unauthenticated, message))
        })?;
        let expired = || {
            let message =
                "The session is unknown or has expired: begin a new one with POST /sessions.";
            nexus(Problem::new(Kind::SessionExpired, message))
        };
        let gateway = &app.gateway;
        let sent = header.to_str().unwrap_or_default();
        let look_up = SessionToken::parse(sent)
            .map(async |token| Ok(access::session(gateway, &token).await?));
        let source = app.source(&parts.extensions, &parts.headers);
        let owner = proven(app, source, Credential::Session, None, look_up).await;
        let owner = owner.map_err(nexus)?.ok_or_else(expired)?;
        let client = gateway
            .clients
            .get(&owner.client)
            .cloned()
            .ok_or_else(expired)?;
        log_context::client(&client.id);
        let asked = Asked::by(&parts.method);
        let counted = app.limits.admit(&client.id, Some(owner.user), asked);
        counted.map_err(nexus)?;
        let user = access::user_of_session(gateway, &owner).await;
        let user = user.map_err(Problem::from).map_err(nexus)?;
        Ok(Self {
            client,
            user: user.ok_or_else(expired)?,
        })
    }
}

impl FromRequestParts<AppState> for PlatformClient {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        refuse_credentials_in_query(&parts.uri)?;
        let refused = || {
            let message =
                "Send the client id and an API key as HTTP Basic credentials (client_id:api_key).";
            Problem::new(Kind::Unauthenticated, message)
        };
        let (id, key) = basic(parts).ok_or_else(refused)?;
        let id: Option<ClientId> = id.parse().ok();
        let look_up = id.as_ref().zip(ApiKey::parse(&key));
        let path = parts.extract::<RawPathParams>().await.ok();
        let mut path = path.iter().flatten();
        let about = path.find(|(name, _)| *name == "user_identifier");
        let about = about.map(|(_, identifier)| identifier);
        let look_up = look_up
            .map(async |(id, key)| Ok(access::client_of_key(&app.gateway, id, &key, about).await?));
        let source = app.source(&parts.extensions, &parts.headers);
        let client = proven(app, source, Credential::ApiKey, id.as_ref(), look_up);
        let (client, named) = client.await?.ok_or_else(refused)?;
        log_context::client(&client.id);
        let asked = Asked::by(&parts.method);
        app.limits.admit(&client.id, None, asked)?;
        let route = parts.extensions.get::<MatchedPath>();
        let route = route.map(MatchedPath::as_str);
        version::accept(&parts.headers, &parts.method, route)?;
        Ok(Self {
            client,
            asked,
            named,
        })
    }
}

fn basic(parts: &Parts) -> Option<(String, zeroize::Zeroizing<String>)> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (id, key) = decoded.split_once(':')?;
    Some((id.to_owned(), zeroize::Zeroizing::new(key.to_owned())))
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if parts.headers.contains_key("md-session-token") {
            return NexusUser::from_request_parts(parts, app)
                .await
                .map(Caller::Nexus);
        }
        PlatformClient::from_request_parts(parts, app)
            .await
            .map(Caller::Platform)
    }
}

impl FromRequestParts<AppState> for AggregatorAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        refuse_credentials_in_query(&parts.uri)?;
        let refused = || {
            let message = "Send the aggregator's key as a Bearer token.";
            Problem::new(Kind::Unauthenticated, message).wanting_bearer()
        };
        let header = parts.headers.get(AUTHORIZATION);
        let sent = header
            .and_then(|header| header.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, key)| key)
            .ok_or_else(refused)?;
        // All keys are compared, so that the time tells nothing about which one it was.
        let keys = app.aggregator_keys.iter();
        let keys: Vec<_> = keys.filter(|(_, key)| same(sent, key.as_bytes())).collect();
        let known = keys
            .first()
            .and_then(|(name, _)| app.gateway.aggregators.get(name));
        let source = app.source(&parts.extensions, &parts.headers);
        let look_up = Some(async { Ok(known.cloned().map(Self)) });
        let known = proven(app, source, Credential::AggregatorKey, None, look_up);
        known.await?.ok_or_else(refused)
    }
}

/// The kinds of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A client's API key.
    ApiKey,
    /// A client's `MD-API-KEY`.
    SsoKey,
    /// The aggregator's key.
    AggregatorKey,
    /// An SSO token.
    SsoToken,
    /// A session.
    Session,
}

impl Credential {
    /// Its name in logs and metrics.
    fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::SsoKey => "sso_key",
            Self::AggregatorKey => "aggregator_key",
            Self::SsoToken => "sso_token",
            Self::Session => "session",
        }
    }

    /// The limit that wrong ones count for.
    fn sought(self) -> Sought {
        match self {
            Self::ApiKey | Self::SsoKey | Self::AggregatorKey => Sought::Key,
            Self::SsoToken | Self::Session => Sought::Session,
        }
    }
}

/// What `look_up` finds for a credential; `None` cannot be one of ours. A wrong one is counted and
/// logged, and after too many of them from one source wrong ones are refused with 429. Right ones are
/// still accepted, until there were too many look-ups (docs/SECURITY.md, Q1). `client` is the client that
/// it claims to belong to.
pub async fn proven<T>(
    app: &AppState,
    source: Source,
    credential: Credential,
    client: Option<&ClientId>,
    look_up: Option<impl Future<Output = Result<Option<T>, Problem>>>,
) -> Result<Option<T>, Problem> {
    let limits = &app.limits;
    let sought = credential.sought();
    let refused = |wait| too_many(&format!("{} from this address", sought.name()), wait);
    if let Some(look_up) = look_up {
        let may_look = limits.may_look(source, Sought::Credential);
        may_look.map_err(refused)?;
        if let Some(found) = look_up.await? {
            return Ok(Some(found));
        }
        // The limit is checked before the next look-up.
        let _ = limits.missed(source, Sought::Credential);
    }
    limits.missed(source, sought).map_err(refused)?;
    app.gateway
        .metrics
        .credentials_refused
        .count([credential.name()]);
    let client = client.filter(|client| app.gateway.clients.get(client).is_some());
    let client = client.map(tracing::field::display);
    let credential = credential.name();
    match sought {
        // They expire by themselves, so an honest client shows an old one now and then.
        Sought::Session => {
            tracing::debug!(target: STRANGERS, credential, %source, "credential refused");
        }
        _ => tracing::warn!(target: STRANGERS, credential, %source, client, "credential refused"),
    }
    Ok(None)
}

/// Compares keys in time that depends on neither.
pub fn same(sent: &[u8], expected: &[u8]) -> bool {
    let digest = |bytes| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    verify_slices_are_equal(digest(sent).as_ref(), digest(expected).as_ref()).is_ok()
}
