//! Links that somebody is about to follow, for what measures a store without a gateway around it.

use anyhow::ensure;
use guichet::domain::data_request::DataRequest;
use guichet::domain::id::{MemberGuid, OauthStateGuid, UserGuid};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::random::Random;
use guichet::domain::secret::LinkToken;
use guichet::domain::user::User;
use guichet::domain::window::{NewWindow, WindowOptions};
use guichet::store::{MemberCreation, NewMember, Store};
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

/// A member of a user of its own, and its first link.
pub struct Link {
    /// When it was minted.
    pub now: Timestamp,
    /// Whose member it is for.
    pub user: UserGuid,
    /// The member.
    pub member: MemberGuid,
    /// The window.
    pub window: OauthStateGuid,
}

impl Link {
    /// Nothing is kept of it yet.
    pub fn new(now: Timestamp) -> Self {
        let user = UserGuid::new(&Chance);
        let member = MemberGuid::new(&Chance, user.partition());
        Self {
            now,
            user,
            member,
            window: new_window(member, now).guid,
        }
    }

    /// Keeps user, member and window in the store.
    pub async fn keep(&self, store: &Store) -> anyhow::Result<()> {
        store.create_user(&self.user()?).await?;
        let created = store.create_member(&self.member()?, self.now).await?;
        ensure!(matches!(created, MemberCreation::Created), "{created:?}");
        Ok(())
    }

    fn user(&self) -> anyhow::Result<User> {
        Ok(User {
            guid: self.user,
            client: "demo".parse()?,
            id: None,
            email: None,
            metadata: None,
            is_disabled: false,
            created_at: self.now,
        })
    }

    fn member(&self) -> anyhow::Result<NewMember> {
        let member = Member {
            guid: self.member,
            user: self.user,
            user_id: None,
            client: "demo".parse()?,
            institution: "mx_bank_oauth".parse()?,
            institution_guid: "INS-68e96dd6-eabd-42d3-9f05-416897f0746c".parse()?,
            name: "MX Bank (OAuth)".to_owned(),
            external_guid: None,
            metadata: None,
            use_cases: Vec::new(),
            background_aggregation_is_disabled: false,
            is_oauth: true,
            skip_aggregation: false,
            status: ConnectionStatus::Pending,
            revision: 1,
            created_at: self.now,
            aggregated_at: None,
            successfully_aggregated_at: None,
            current_job: None,
            most_recent_job: None,
            latest_window: Some(self.window),
            fingerprint: None,
            refusals: 0,
            data_request: DataRequest::default(),
            callback_payload: None,
        };
        let window = NewWindow {
            guid: self.window,
            ..new_window(self.member, self.now)
        };
        Ok(NewMember {
            member,
            window: Some(window),
            sealed_credentials: None,
            fingerprints: Vec::new(),
            job: None,
            created: Vec::new(),
            most_members: u32::MAX,
        })
    }
}

/// A window whose link may be opened for ten minutes.
pub fn new_window(member: MemberGuid, now: Timestamp) -> NewWindow {
    NewWindow {
        guid: OauthStateGuid::of(&LinkToken::new(&Chance, member.partition())),
        options: WindowOptions::default(),
        deadline: now + SignedDuration::from_mins(10),
    }
}
