//! Which requests may silence their events: `skip_webhook` and `MX-Skip-Webhook` (CONTRACT.md 1.4).
//! Later changes are told again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::{BANK, BANK_GUID, Backend, TestGateway};
use crate::support::loopback::Recorded;

const LIMIT: Duration = Duration::from_secs(10);

crate::on_both_stores!(a_request_may_silence_its_own_events);

fn member_events(told: &[Recorded], member: &Value) -> Vec<String> {
    let bodies = told.iter().map(Recorded::json);
    bodies
        .filter(|body| body["member"]["guid"] == *member)
        .map(|body| body["action"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn a_request_may_silence_its_own_events(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let session = gateway.session.clone();
    let create = async |body: Value, header: bool| -> Value {
        let with = |request: reqwest::RequestBuilder| {
            let request = request.header("MD-SESSION-TOKEN", &session);
            match header {
                true => request.header("MX-Skip-Webhook", "true"),
                false => request,
            }
        };
        let (status, response) = gateway.call("POST", "/members", Some(body), with).await;
        assert_eq!(status, 200, "{response}");
        response["member"].clone()
    };
    let plain = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let rooted =
        json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true, "skip_webhook": true}});
    let silent = [
        create(rooted, false).await,
        create(plain.clone(), true).await,
    ];
    let path = "/users/user-1/members";
    let body =
        json!({"member": {"institution_code": BANK, "is_oauth": true}, "skip_webhook": true});
    let (_, response) = gateway.platform("POST", path, Some(body)).await;
    let by_key = response["member"].clone();

    // A silent deletion too; then two loud requests, whose events come after all of these.
    let deletion = format!("/members/{}", silent[1]["guid"].as_str().expect("a guid"));
    let (status, _) = gateway
        .call("DELETE", &deletion, None, |request| {
            let request = request.header("MD-SESSION-TOKEN", &session);
            request.header("MX-Skip-Webhook", "TRUE")
        })
        .await;
    assert_eq!(status, 200);
    let loud = create(plain, false).await;
    let link = silent[0]["oauth_window_uri"].as_str().expect("a link");
    let page = gateway
        .connect(&gateway.visitor(), &link.parse().expect("a URL"))
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);

    let told = gateway
        .hooks
        .wait_for(
            |told| {
                !member_events(told, &loud["guid"]).is_empty()
                    && !member_events(told, &silent[0]["guid"]).is_empty()
            },
            LIMIT,
        )
        .await;
    assert_eq!(member_events(&told, &loud["guid"]), ["created"]);
    // Connecting is another matter than the silent request, and is told.
    assert_eq!(member_events(&told, &silent[0]["guid"]), ["updated"]);
    assert_eq!(member_events(&told, &silent[1]["guid"]), [""; 0]);
    assert_eq!(member_events(&told, &by_key["guid"]), [""; 0]);
    assert!(
        !told.iter().any(|event| event
            .text()
            .contains(silent[1]["guid"].as_str().expect("a guid"))),
        "its OAuth state ended in silence as well"
    );
}
