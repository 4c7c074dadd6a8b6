//! Jobs, as a session sees them.

use serde_json::{Value, json};

use super::{assert_time, names};
use crate::support::aggregation::{failed, nth_job, report};
use crate::support::gateway::{Backend, LOGIN, PAPER_BANK_GUID, PASSWORD, TestGateway};

crate::on_both_stores!(a_job_is_read_until_it_ends, an_unknown_job_is_404,);

async fn a_job_is_read_until_it_ends(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_guid": PAPER_BANK_GUID,
        "credentials": [{"guid": LOGIN, "value": "ada"}, {"guid": PASSWORD, "value": "x"}],
    }});
    let (_, created) = gateway.nexus("POST", "/members", Some(body)).await;
    let job = nth_job(&gateway, 1).await;
    assert_eq!(created["member"]["most_recent_job_guid"], json!(job));
    let path = format!("/jobs/{job}");
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    let read = &response["job"];
    let fields = [
        "challenges",
        "created_at",
        "finished_at",
        "guid",
        "is_finished",
        "member_guid",
        "reason",
        "status",
        "updated_at",
    ];
    assert_eq!(names(read), fields.into());
    assert_eq!(
        (&read["status"], &read["is_finished"]),
        (&json!("PUSHED"), &json!(false))
    );
    assert_eq!(read["member_guid"], created["member"]["guid"]);
    assert_eq!(read["finished_at"], Value::Null);
    assert_time(read, "created_at");
    let (_, response) = gateway
        .nexus("GET", &format!("{path}/mfa_credentials"), None)
        .await;
    assert_eq!(response, json!({"credentials": []}));

    report(&gateway, &job, failed("locked")).await;
    let (_, response) = gateway.nexus("GET", &path, None).await;
    let read = &response["job"];
    assert_eq!(
        (&read["status"], &read["reason"]),
        (&json!("FAILED"), &json!("locked"))
    );
    assert_eq!(read["is_finished"], true);
    assert_time(read, "finished_at");
}

async fn an_unknown_job_is_404(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for guid in ["JOB-00000000-0000-4000-8000-000000000000", "JOB-1", "%00"] {
        for path in [
            format!("/jobs/{guid}"),
            format!("/jobs/{guid}/mfa_credentials"),
        ] {
            let (status, response) = gateway.nexus("GET", &path, None).await;
            assert_eq!(
                (status, &response["error"]["code"]),
                (404, &json!("4040")),
                "{response}"
            );
        }
    }
}
