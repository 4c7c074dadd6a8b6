//! idempotency: a request that is sent twice with one `Idempotency-Key` is processed once.

use std::time::Duration;

use jiff::Timestamp;

use super::{Gateway, Internal, seal_contexts};
use crate::domain::id::{ClientId, MemberGuid, Partition, UserGuid};
use crate::domain::random;
use crate::domain::secret::Digest;
use crate::seal::Sealer;
use crate::store::{Idempotence, IdempotentRequest};

/// How long a key is held for a request that is being processed, unless the hold is renewed: if the
/// gateway died, the client may soon send the request again.
const HELD: Duration = Duration::from_secs(5);

/// How often the hold is renewed.
const RENEWED: Duration = Duration::from_secs(2);

/// How long a response is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A request with a key, as it was sent.
pub struct KeyedRequest<'a> {
    /// The tenant.
    pub client: &'a ClientId,
    /// The user of the session; `None`: an API key of the client.
    pub user: Option<UserGuid>,
    /// `Idempotency-Key`.
    pub key: &'a str,
    /// Everything that tells it from other requests: method, path and query, body.
    pub parts: [&'a [u8]; 3],
}

/// What is to be done with a keyed request.
pub enum Admission {
    /// It is the first: it is to be processed, then [`keep`] or [`forget`] called.
    First(IdempotentRequest),
    /// The first is still running.
    UnderWay,
    /// It was processed; the response as [`keep`] got it.
    Replayed(Vec<u8>),
    /// The key was used for another request.
    Differs,
}

/// Whether the request is the first with its key.
pub async fn admit(gateway: &Gateway, request: &KeyedRequest<'_>) -> Result<Admission, Internal> {
    let now = gateway.now();
    let holder = random::bytes(gateway.random.as_ref());
    let asked = IdempotentRequest {
        holder: Digest::from_bytes(holder),
        client: request.client.clone(),
        key: request.key_digest(&gateway.sealer),
        request: request.digest(&gateway.sealer),
        held_until: now + HELD,
        expires_at: now + KEPT,
    };
    Ok(match gateway.store.begin_idempotent(&asked, now).await? {
        Idempotence::First => Admission::First(asked),
        Idempotence::UnderWay => Admission::UnderWay,
        Idempotence::Differs => Admission::Differs,
        Idempotence::Answered(sealed) => {
            let subject = asked.key.to_text();
            let opened = gateway.sealer.open(
                &seal_contexts::stored_response(&asked.client, &subject),
                &sealed,
            );
            let response = opened
                .map_err(|error| Internal::Unreadable(format!("a stored response: {error}")))?;
            Admission::Replayed(response.to_vec())
        }
    })
}

/// Processes a request that is the first with its key, and holds the key meanwhile.
pub async fn hold<T>(
    gateway: &Gateway,
    request: &IdempotentRequest,
    work: impl Future<Output = T>,
) -> T {
    let renewing = async {
        loop {
            tokio::time::sleep(RENEWED).await;
            let now = gateway.now();
            let renewed = gateway
                .store
                .renew_idempotent(request, now + HELD, now)
                .await;
            if let Err(error) = renewed {
                tracing::warn!(%error, "the key of a request that is being done could not be held");
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = renewing => unreachable!("it never ends"),
    }
}

/// Where the guids of what a request creates come from: the same however often it is processed.
#[derive(Clone, Copy, Debug)]
pub struct Origin(Digest);

impl Origin {
    /// Of that request with its key.
    pub fn of(request: &IdempotentRequest) -> Self {
        let parts = [request.key.to_text(), request.request.to_text()];
        Self(Digest::of("origin", &parts.concat()))
    }

    /// Of something else than a request, that may come more than once as well: a row of a file.
    pub(super) fn of_row(row: Digest) -> Self {
        Self(row)
    }

    /// The user that it creates.
    pub(super) fn user(self) -> UserGuid {
        UserGuid::of_request(&self.0)
    }

    /// The member that it creates for a user of that partition.
    pub(super) fn member(self, partition: Partition) -> MemberGuid {
        MemberGuid::of_request(&self.0, partition)
    }
}

/// Whether something that was found can be what the request created before: it is not older than a
/// response is kept.
pub(super) fn is_of_same_request(created_at: Timestamp, now: Timestamp) -> bool {
    now < created_at + KEPT
}

/// Keeps the response, sealed, for 24 hours.
pub async fn keep(
    gateway: &Gateway,
    request: &IdempotentRequest,
    response: &[u8],
) -> Result<(), Internal> {
    let subject = request.key.to_text();
    let sealed = gateway.sealer.seal(
        gateway.random.as_ref(),
        &seal_contexts::stored_response(&request.client, &subject),
        response,
    );
    let store = &gateway.store;
    Ok(store
        .finish_idempotent(request, &sealed, gateway.now())
        .await?)
}

/// Releases the key: the response is not to be kept.
pub async fn forget(gateway: &Gateway, request: &IdempotentRequest) -> Result<(), Internal> {
    Ok(gateway
        .store
        .release_idempotent(request, gateway.now())
        .await?)
}

impl KeyedRequest<'_> {
    fn key_digest(&self, sealer: &Sealer) -> Digest {
        let owned = self.owned_key();
        sealer.keyed_digest("idempotency key", &owned.each_ref().map(Vec::as_slice))
    }

    /// A keyed digest, like that of the key: a body may hold a password, and nobody who sees the store
    /// may be able to try out passwords.
    fn digest(&self, sealer: &Sealer) -> Digest {
        let owned = self.owned_key();
        let mut parts: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
        parts.extend(self.parts);
        sealer.keyed_digest("idempotent request", &parts)
    }

    /// The client or user whose key it is, and the key.
    fn owned_key(&self) -> [Vec<u8>; 3] {
        let user = self.user.map(|user| user.to_string()).unwrap_or_default();
        [self.client.as_str().into(), user.into(), self.key.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{KeyRing, SealKey};

    const USER: &str = "USR-68e96dd6-eabd-42d3-9f05-416897f0746c";

    fn digests(client: &str, user: Option<&str>, key: &str, parts: [&str; 3]) -> (Digest, Digest) {
        let client = client.parse().unwrap();
        let key_of_seal = SealKey::new("k1", &[1; 32]).unwrap();
        let sealer = Sealer::new(KeyRing::new(key_of_seal, []).unwrap());
        let request = KeyedRequest {
            client: &client,
            user: user.map(|user| user.parse().unwrap()),
            key,
            parts: parts.map(str::as_bytes),
        };
        (request.key_digest(&sealer), request.digest(&sealer))
    }

    #[test]
    fn a_key_is_one_clients_or_one_users() {
        let parts = ["POST", "/members", "{}"];
        let (one, _) = digests("acme", None, "k1", parts);
        assert_eq!(one, digests("acme", None, "k1", ["", "", ""]).0);
        for (client, user, key) in [
            ("rival", None, "k1"),
            ("acme", Some(USER), "k1"),
            ("acme", None, "k2"),
            ("acmek", None, "1"),
        ] {
            assert_ne!(one, digests(client, user, key, parts).0, "{client} {key}");
        }
    }

    #[test]
    fn a_request_is_all_of_its_parts_under_its_key() {
        let (key, one) = digests("acme", None, "k1", ["POST", "/members", "{}"]);
        assert_ne!(key, one);
        for (key, parts) in [
            ("k2", ["POST", "/members", "{}"]),
            ("k1", ["PUT", "/members", "{}"]),
            ("k1", ["POST", "/members?", "{}"]),
            ("k1", ["POST", "/members", "{} "]),
            ("k1", ["POST", "/members{", "}"]),
        ] {
            assert_ne!(one, digests("acme", None, key, parts).1, "{key} {parts:?}");
        }
    }
}
