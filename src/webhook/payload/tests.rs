use super::*;
use crate::domain::data_request::DataRequest;
use crate::domain::event::{JobNews, ToldJobStatus};
use crate::domain::job::Pulled;
use crate::domain::member::{ConnectionStatus, UseCase};
use crate::domain::secret::Digest;
use crate::domain::window::{Ending, ErrorReason, Window, WindowOptions, WindowStatus};

const UUID: &str = "68e96dd6-eabd-42d3-9f05-416897f0746c";

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn event(kind: EventKind, status: ConnectionStatus) -> Event {
    Event {
        job_news: None,
        guid: format!("EVT-{UUID}").parse().unwrap(),
        kind,
        endpoint: crate::domain::endpoint::EndpointId::default(),
        member: Member {
            background: None,
            guid: format!("MBR-{UUID}").parse().unwrap(),
            user: format!("USR-{UUID}").parse().unwrap(),
            user_id: Some("ada".to_owned()),
            client: "app".parse().unwrap(),
            institution: "mx_bank_oauth".parse().unwrap(),
            institution_guid: format!("INS-{UUID}").parse().unwrap(),
            name: "MX Bank".to_owned(),
            external_guid: Some("acct-42".to_owned()),
            metadata: None,
            use_cases: vec![UseCase::Pfm],
            background_aggregation_is_disabled: false,
            is_oauth: true,
            skip_aggregation: false,
            status,
            status_reason: None,
            consent_expires_at: None,
            revision: 3,
            created_at: time(1_690_839_442),
            aggregated_at: None,
            successfully_aggregated_at: Some(time(1_690_839_500)),
            current_job: Some(format!("JOB-{UUID}").parse().unwrap()),
            most_recent_job: Some(format!("JOB-{UUID}").parse().unwrap()),
            latest_window: None,
            fingerprint: None,
            refusals: 0,
            data_request: DataRequest::default(),
            callback_payload: None,
        },
        window: None,
        job: None,
        owed_since: time(0),
        happened_at: time(1_531_947_410),
        attempt: 1,
    }
}

/// The body of the event's message, which has one.
fn body(event: &Event) -> Value {
    Message::of(event).unwrap().expect("there is news").body
}

/// An event of every kind, with all that its kind tells of.
fn one_of_each() -> Vec<Event> {
    let pulled = Pulled::default();
    let full = |kind| {
        let mut full = Event {
            window: Some(window(WindowStatus::Succeeded)),
            job: Some((format!("JOB-{UUID}").parse().unwrap(), pulled)),
            job_news: Some(JobNews {
                status: ToldJobStatus::Denied,
                is_background: false,
            }),
            ..event(kind, ConnectionStatus::Denied)
        };
        full.member.consent_expires_at = Some(time(1_790_600_100));
        full
    };
    EventKind::ALL.into_iter().map(full).collect()
}

fn window(status: WindowStatus) -> Window {
    Window {
        guid: format!("OAS-{UUID}").parse().unwrap(),
        member: format!("MBR-{UUID}").parse().unwrap(),
        user: format!("USR-{UUID}").parse().unwrap(),
        client: "app".parse().unwrap(),
        options: WindowOptions::default(),
        status,
        inbound: None,
        created_at: time(1_690_839_442),
        updated_at: time(1_690_839_443),
        deadline: time(1_690_840_442),
        first_retrieved_at: None,
        retries: 0,
        detail: Some("for the operator".to_owned()),
        retry_until: None,
        previous: None,
    }
}

#[test]
fn a_member_is_told_with_whole_seconds() {
    for (kind, action) in [
        (EventKind::MemberCreated, "created"),
        (EventKind::MemberUpdated, "updated"),
        (EventKind::MemberDeleted, "deleted"),
    ] {
        let expected = json!({
            "action": action,
            "member": {
                "aggregated_at": null,
                "background_aggregation_is_disabled": false,
                "connection_status": "CONNECTED",
                "connection_status_id": 6,
                "connection_status_reason": null,
                "connection_status_message": "Connected to MX Bank.",
                "consent_expires_at": null,
                "created_at": 1_690_839_442,
                "guid": format!("MBR-{UUID}"),
                "id": "acct-42",
                "institution_code": "mx_bank_oauth",
                "institution_guid": format!("INS-{UUID}"),
                "is_being_aggregated": true,
                "is_managed_by_user": true,
                "is_manual": false,
                "is_oauth": true,
                "metadata": null,
                "most_recent_job_guid": format!("JOB-{UUID}"),
                "name": "MX Bank",
                "revision": 3,
                "successfully_aggregated_at": 1_690_839_500,
                "use_cases": ["PFM"],
                "user_guid": format!("USR-{UUID}"),
                "user_id": "ada",
            },
        });
        assert_eq!(body(&event(kind, ConnectionStatus::Connected)), expected);
    }
}

#[test]
fn a_connection_status_is_told_with_its_message() {
    let event = event(EventKind::ConnectionStatus, ConnectionStatus::Impaired);
    let expected = json!({
        "action": "CHANGED",
        "connection_status": "IMPAIRED",
        "connection_status_id": 20,
        "connection_status_message": "The permission for MX Bank has ended. Connect it again.",
        "member_guid": format!("MBR-{UUID}"),
        "type": "CONNECTION_STATUS",
        "user_guid": format!("USR-{UUID}"),
    });
    assert_eq!(body(&event), expected);
}

#[test]
fn a_connection_status_is_told_for_eight_of_them() {
    let told: Vec<&str> = ConnectionStatus::ALL
        .iter()
        .filter_map(|status| {
            let event = event(EventKind::ConnectionStatus, *status);
            let message = Message::of(&event).unwrap()?;
            assert_eq!(message.body["connection_status"], status.name());
            assert_eq!(message.body["connection_status_id"], status.id());
            Some(status.name())
        })
        .collect();
    assert_eq!(
        told,
        [
            "PREVENTED",
            "DENIED",
            "CHALLENGED",
            "REJECTED",
            "LOCKED",
            "IMPEDED",
            "EXPIRED",
            "IMPAIRED"
        ]
    );
}

#[test]
fn the_clients_own_words_come_back_with_members_and_aggregations() {
    let words = "eyJvcmRlciI6NDJ9";
    for mut event in one_of_each() {
        let silent = Message::of(&event).unwrap().expect("there is news");
        assert_eq!(silent.callback_payload, None);
        assert_eq!(silent.body.get("callback_payload"), None);
        event.member.callback_payload = Some(words.parse().unwrap());
        let message = Message::of(&event).unwrap().expect("there is news");
        let is_echoed = !matches!(
            event.kind,
            EventKind::ConnectionStatus
                | EventKind::ConsentExpiring
                | EventKind::InitialDataReady
                | EventKind::JobStatus
                | EventKind::OauthStateFinished
        );
        let header = message.callback_payload.map(String::from);
        assert_eq!(header.is_some(), is_echoed, "{:?}", event.kind);
        let mut expected = silent.body;
        if is_echoed {
            assert_eq!(header.as_deref(), Some(words));
            expected["callback_payload"] = json!(words);
        }
        assert_eq!(message.body, expected, "{:?}", event.kind);
    }
}

#[test]
fn what_only_the_gateway_knows_of_a_member_is_not_told() {
    for mut event in one_of_each() {
        let before = Message::of(&event).unwrap();
        event.member.fingerprint = Some(Digest::of("login", "ada"));
        event.member.refusals = 2;
        assert_eq!(Message::of(&event).unwrap(), before, "{:?}", event.kind);
    }
}

#[test]
fn an_aggregation_is_told_with_what_it_pulled() {
    let mut event = event(EventKind::Aggregation, ConnectionStatus::Connected);
    let pulled = Pulled {
        transactions_created_count: 3,
        transactions_updated_count: 2,
    };
    event.job = Some((format!("JOB-{UUID}").parse().unwrap(), pulled));
    let expected = json!({
        "action": "member_data_updated",
        "completed_at": 1_531_947_410,
        "completed_on": "2018-07-18",
        "is_background": false,
        "job_guid": format!("JOB-{UUID}"),
        "member_guid": format!("MBR-{UUID}"),
        "transactions_created_count": 3,
        "transactions_updated_count": 2,
        "type": "AGGREGATION",
        "user_guid": format!("USR-{UUID}"),
        "user_id": "ada",
    });
    assert_eq!(body(&event), expected);
}

#[test]
fn a_background_pull_is_told_as_one() {
    let mut event = event(EventKind::Aggregation, ConnectionStatus::Connected);
    event.job = Some((format!("JOB-{UUID}").parse().unwrap(), Pulled::default()));
    event.job_news = Some(JobNews {
        status: ToldJobStatus::Completed,
        is_background: true,
    });
    assert_eq!(body(&event)["is_background"], true);
}

#[test]
fn the_first_data_is_told_as_documented() {
    let event = event(EventKind::InitialDataReady, ConnectionStatus::Connected);
    let expected = json!({
        "client_guid": "app",
        "guid": format!("EVT-{UUID}"),
        "member_guid": format!("MBR-{UUID}"),
        "type": "initial_data_ready",
        "user_guid": format!("USR-{UUID}"),
    });
    assert_eq!(body(&event), expected);
}

#[test]
fn a_job_is_told_with_its_status() {
    let mut event = event(EventKind::JobStatus, ConnectionStatus::Denied);
    event.job = Some((format!("JOB-{UUID}").parse().unwrap(), Pulled::default()));
    event.job_news = Some(JobNews {
        status: ToldJobStatus::Denied,
        is_background: false,
    });
    let expected = json!({
        "is_background": false,
        "job_guid": format!("JOB-{UUID}"),
        "member_guid": format!("MBR-{UUID}"),
        "status": "DENIED",
        "type": "JOB_STATUS",
        "user_guid": format!("USR-{UUID}"),
    });
    assert_eq!(body(&event), expected);
}

#[test]
fn a_finished_oauth_state_is_told_as_it_is_read() {
    let mut event = event(EventKind::OauthStateFinished, ConnectionStatus::Pending);
    let failed = WindowStatus::Errored(ErrorReason::Cancelled, Ending::Failed);
    event.window = Some(window(failed));
    let expected = json!({
        "action": "finished",
        "member_guid": format!("MBR-{UUID}"),
        "oauth_state": {
            "auth_status": 3,
            "created_at": "2023-07-31T21:37:22+00:00",
            "error_reason": 1,
            "first_retrieved_at": null,
            "guid": format!("OAS-{UUID}"),
            "inbound_member_guid": null,
            "outbound_member_guid": format!("MBR-{UUID}"),
            "updated_at": "2023-07-31T21:37:23+00:00",
            "user_guid": format!("USR-{UUID}"),
        },
        "type": "oauth_state.finished",
        "user_guid": format!("USR-{UUID}"),
    });
    assert_eq!(body(&event), expected);

    let inbound = "MBR-11111111-eabd-42d3-9f05-416897f0746c";
    let mut succeeded = window(WindowStatus::Succeeded);
    succeeded.inbound = Some(inbound.parse().unwrap());
    event.window = Some(succeeded);
    let body = body(&event);
    assert_eq!(body["member_guid"], inbound);
    assert_eq!(body["oauth_state"]["inbound_member_guid"], inbound);
    assert_eq!(body["oauth_state"]["auth_status"], 2);
    assert_eq!(body["oauth_state"]["error_reason"], Value::Null);
}

#[test]
fn an_event_that_lacks_its_news_is_named() {
    for (kind, expected) in [
        (
            EventKind::Aggregation,
            "of kind aggregation.finished has no job",
        ),
        (
            EventKind::JobStatus,
            "of kind job_status.changed has no job",
        ),
        (
            EventKind::ConsentExpiring,
            "of kind consent.expiring has no end of a consent",
        ),
        (
            EventKind::OauthStateFinished,
            "of kind oauth_state.finished has no window",
        ),
    ] {
        let error = Message::of(&event(kind, ConnectionStatus::Connected)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the event EVT-{UUID} {expected}")
        );
    }
}
