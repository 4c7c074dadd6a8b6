//! Users, members and links as the flows leave them, for what measures a store without a gateway around it, or fills one.

use anyhow::ensure;
use guichet::domain::client::{Completion, UnboundCallback};
use guichet::domain::data_request::DataRequest;
use guichet::domain::id::{
    AttemptId, ClientId, InstitutionCode, InstitutionGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::random::{Random, bytes};
use guichet::domain::secret::{AuthorizationState, BindingSecret, LinkToken};
use guichet::domain::user::User;
use guichet::domain::window::{Binding, NewAttempt, NewWindow, WindowOptions, WindowStatus};
use guichet::steps::NewTokens;
use guichet::store::{
    Claim, Claimed, Committed, Connection, MemberCreation, NewMember, Opened, Opening, Store,
    VisitKind,
};
use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;

/// Where random bytes come from.
pub struct Chance;

impl Random for Chance {
    #[expect(
        clippy::disallowed_methods,
        reason = "a measurement picks its own randomness"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Whose users they are, and where their members are members.
pub struct Registration {
    /// The client.
    pub client: ClientId,
    /// The institution.
    pub institution: InstitutionCode,
    /// The same.
    pub institution_guid: InstitutionGuid,
    /// What members there are called.
    pub name: String,
}

impl Registration {
    /// A user of the client, with neither `id` nor email address. Nothing is kept of it yet.
    pub fn user(&self, now: Timestamp) -> User {
        User {
            guid: UserGuid::new(&Chance),
            client: self.client.clone(),
            id: None,
            email: None,
            metadata: None,
            is_disabled: false,
            created_at: now,
        }
    }

    /// Keeps a new member of that user in the store, with a link that may be opened until `deadline`.
    pub async fn keep_link(
        &self,
        store: &Store,
        user: &User,
        (now, deadline): (Timestamp, Timestamp),
    ) -> anyhow::Result<Link> {
        let member = MemberGuid::new(&Chance, user.guid.partition());
        let window = NewWindow {
            deadline,
            ..new_window(member, now)
        };
        let link = Link {
            user: user.guid,
            member,
            window: window.guid,
        };
        let member = Member {
            background: None,
            guid: member,
            user: user.guid,
            user_id: user.id.clone(),
            client: self.client.clone(),
            institution: self.institution.clone(),
            institution_guid: self.institution_guid,
            name: self.name.clone(),
            external_guid: None,
            metadata: None,
            use_cases: Vec::new(),
            background_aggregation_is_disabled: false,
            is_oauth: true,
            skip_aggregation: false,
            status: ConnectionStatus::Pending,
            status_reason: None,
            consent_expires_at: None,
            revision: 1,
            created_at: now,
            aggregated_at: None,
            successfully_aggregated_at: None,
            current_job: None,
            most_recent_job: None,
            latest_window: Some(window.guid),
            fingerprint: None,
            refusals: 0,
            data_request: DataRequest::default(),
            callback_payload: None,
        };
        let new = NewMember {
            member,
            window: Some(window),
            sealed_credentials: None,
            tokens: None,
            fingerprints: Vec::new(),
            job: None,
            created: Vec::new(),
            most_members: u32::MAX,
        };
        let created = store.create_member(&new, now).await?;
        ensure!(matches!(created, MemberCreation::Created), "{created:?}");
        Ok(link)
    }

    /// Follows a link to its end: the steps of a browser that opens it and comes back from an institution that agrees.
    pub async fn connect(&self, store: &Store, link: &Link, now: Timestamp) -> anyhow::Result<()> {
        let id = AttemptId::of(&AuthorizationState::new(&Chance, link.member.partition()));
        let binding = Binding {
            attempt: id.clone(),
            digest: BindingSecret::new(&Chance).digest(),
        };
        let opening = Opening {
            closed: Vec::new(),
            window: link.window,
            member: link.member,
            kind: VisitKind::Begin,
            browser: Vec::new(),
            attempt: NewAttempt {
                id: id.clone(),
                binding: binding.clone(),
                sealed: bytes::<SEALED_ATTEMPT>(&Chance).to_vec(),
                deadline: now + SignedDuration::from_mins(15),
            },
        };
        let opened = store.open_window(&opening, now).await?;
        ensure!(matches!(opened, Opened::Claimed(_)), "{opened:?}");
        let claim = Claim {
            attempt: id,
            client: self.client.clone(),
            institution: self.institution.clone(),
            browser: vec![binding.clone()],
            completion: Completion::Immediate,
            rebinding: binding.digest,
            code: None,
            unbound: UnboundCallback::Burn,
            burnt: Vec::new(),
        };
        let claimed = store.claim_callback(&claim, now).await?;
        ensure!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
        let connection = Connection {
            only_in: WindowStatus::Returned,
            background_due: None,
            window: link.window,
            outbound: link.member,
            inbound: None,
            fingerprints: Vec::new(),
            tokens: NewTokens::unending(bytes::<SEALED_TOKEN_SET>(&Chance).to_vec()),
            revokes_replaced: true,
            job: None,
            callback_payload: None,
            deleted: Vec::new(),
            updated: Vec::new(),
            finished: Vec::new(),
        };
        let committed = store.commit_connected(&connection, now).await?;
        ensure!(
            matches!(committed, Committed::Connected(_)),
            "{committed:?}"
        );
        Ok(())
    }
}

/// How many bytes a sealed verifier with its nonce has.
const SEALED_ATTEMPT: usize = 250;

/// How many bytes a sealed token set has, if its tokens are as short as those of the bank in this crate.
const SEALED_TOKEN_SET: usize = 350;

/// A member's first link.
#[derive(Clone, Copy)]
pub struct Link {
    /// Whose member it is for.
    pub user: UserGuid,
    /// The member.
    pub member: MemberGuid,
    /// The window.
    pub window: OauthStateGuid,
}

/// A window whose link may be opened for ten minutes.
pub fn new_window(member: MemberGuid, now: Timestamp) -> NewWindow {
    NewWindow {
        guid: OauthStateGuid::of(&LinkToken::new(&Chance, member.partition())),
        options: WindowOptions::default(),
        deadline: now + SignedDuration::from_mins(10),
    }
}
