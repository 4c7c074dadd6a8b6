//! Who and what there is: every name and secret of a model, drawn once, in one order.

use std::collections::HashMap;
use std::sync::LazyLock;

use guichet::domain::challenge::{Challenge, ChallengeKind};
use guichet::domain::data_request::DataRequest;
use guichet::domain::endpoint::EndpointId;
use guichet::domain::event::{EventKind, Notice};
use guichet::domain::id::{
    AttemptId, CredentialGuid, EventGuid, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use guichet::domain::job::NewJob;
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::secret::{AuthorizationState, BindingSecret, LinkToken};
use guichet::domain::user::User;
use guichet::domain::window::{Binding, NewAttempt};

use crate::store_contract::fixtures::{Chance, LEG, at, client, institution};

/// The cast of every model.
pub struct Cast {
    pub user: UserGuid,
    pub members: Vec<MemberGuid>,
    pub windows: Vec<OauthStateGuid>,
    pub jobs: Vec<JobGuid>,
    /// What each browser's attempts are called, and what binds them.
    attempts: Vec<Vec<Binding>>,
    /// Which browser made each attempt, and as which of its own.
    makers: HashMap<String, (usize, usize)>,
    events: Vec<(EventKind, EventGuid)>,
    questions: Vec<CredentialGuid>,
    /// What news are called that are kept: of each revision, for each endpoint.
    news: Vec<Vec<EventGuid>>,
    pub endpoints: Vec<EndpointId>,
    /// Members of others.
    pub strangers: Vec<MemberGuid>,
}

pub static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let chance = Chance::default();
    let user = UserGuid::new(&chance);
    let partition = user.partition();
    let binding = || Binding {
        attempt: AttemptId::of(&AuthorizationState::new(&chance, partition)),
        digest: BindingSecret::new(&chance).digest(),
    };
    let many = 0..24;
    let attempts: Vec<Vec<Binding>> = (0..2)
        .map(|_| many.clone().map(|_| binding()).collect())
        .collect();
    let makers = attempts.iter().enumerate().flat_map(|(browser, made)| {
        let made = made.iter().enumerate();
        made.map(move |(number, it)| (it.attempt.as_str().to_owned(), (browser, number)))
    });
    Cast {
        makers: makers.collect(),
        attempts,
        user,
        members: (0..2)
            .map(|_| MemberGuid::new(&chance, partition))
            .collect(),
        windows: many
            .clone()
            .map(|_| OauthStateGuid::of(&LinkToken::new(&chance, partition)))
            .collect(),
        jobs: many
            .clone()
            .map(|_| JobGuid::new(&chance, partition))
            .collect(),
        events: EventKind::ALL
            .into_iter()
            .map(|kind| (kind, EventGuid::new(&chance, partition)))
            .collect(),
        questions: many
            .clone()
            .map(|_| CredentialGuid::new(&chance, partition))
            .collect(),
        news: many
            .clone()
            .map(|_| [(); 2].map(|()| EventGuid::new(&chance, partition)).into())
            .collect(),
        endpoints: ["https://a.example/", "https://b.example/"]
            .map(|url| EndpointId::of(&url.parse().expect("an address")))
            .into(),
        strangers: many.map(|_| MemberGuid::new(&chance, partition)).collect(),
    }
});

/// A notice of that kind. No two of one step are of one kind, and events are not kept here, so that one name
/// for each kind is enough.
pub fn told(kind: EventKind) -> Vec<Notice> {
    let mut events = CAST.events.iter();
    let known = events.find(|(known, _)| *known == kind);
    let guid = known.expect("every kind has one").1;
    vec![Notice {
        guid,
        kind,
        endpoint: EndpointId::default(),
    }]
}

/// Notices of those kinds.
pub fn told_all(kinds: &[EventKind]) -> Vec<Notice> {
    kinds.iter().copied().flat_map(told).collect()
}

/// A notice of that kind for each of so many endpoints, named by the revision that it will show.
pub fn told_to(endpoints: usize, kind: EventKind, revision: u32) -> Vec<Notice> {
    let guids = CAST.news[revision as usize].iter();
    let both = guids.zip(&CAST.endpoints).take(endpoints);
    both.map(|(guid, endpoint)| Notice {
        guid: *guid,
        kind,
        endpoint: *endpoint,
    })
    .collect()
}

impl Cast {
    pub fn user(&self) -> User {
        User {
            guid: self.user,
            client: client(),
            id: None,
            email: None,
            metadata: None,
            is_disabled: false,
            created_at: at(0),
        }
    }

    /// The `number`th member, PENDING.
    pub fn member(&self, number: usize) -> Member {
        Member {
            background: None,
            guid: self.members[number],
            user: self.user,
            user_id: None,
            client: client(),
            institution: institution(),
            institution_guid: "INS-68e96dd6-eabd-42d3-9f05-416897f0746c"
                .parse()
                .expect("a guid"),
            name: "Bank".to_owned(),
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
            created_at: at(0),
            aggregated_at: None,
            successfully_aggregated_at: None,
            current_job: None,
            most_recent_job: None,
            latest_window: None,
            fingerprint: None,
            refusals: 0,
            data_request: DataRequest::default(),
            callback_payload: None,
        }
    }

    /// The `number`th job.
    pub fn job(&self, number: usize) -> NewJob {
        NewJob {
            is_background: false,
            guid: self.jobs[number],
            data_request: DataRequest::default(),
        }
    }

    /// The `number`th attempt of a browser, made at that second.
    pub fn attempt(&self, browser: usize, number: usize, now: i64) -> NewAttempt {
        let binding = self.attempts[browser][number].clone();
        NewAttempt {
            id: binding.attempt.clone(),
            sealed: binding.attempt.as_str().as_bytes().to_owned(),
            binding,
            deadline: at(now + LEG),
        }
    }

    /// What a browser shows that made so many attempts.
    pub fn shows(&self, browser: usize, attempts: usize) -> Vec<Binding> {
        self.attempts[browser][..attempts].to_vec()
    }

    /// Which browser made an attempt, and as which of its own.
    pub fn maker(&self, attempt: &AttemptId) -> (usize, usize) {
        self.makers[attempt.as_str()]
    }

    /// The institution's `number`th question.
    pub fn question(&self, number: usize) -> Vec<Challenge> {
        vec![Challenge {
            guid: self.questions[number],
            field_name: format!("q{number}"),
            label: "Which colour?".to_owned(),
            kind: ChallengeKind::Text,
        }]
    }
}

/// The `number`th token set, sealed for a member: no other can read it.
pub fn grant(number: usize, of: MemberGuid) -> Vec<u8> {
    format!("{number} for {}", of.compact()).into_bytes()
}

/// Whether what is sealed can be read for a member.
pub fn is_sealed_for(sealed: &[u8], member: MemberGuid) -> bool {
    sealed.ends_with(format!("for {}", member.compact()).as_bytes())
}
