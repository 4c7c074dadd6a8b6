//! What is counted and measured, as an operator's Prometheus reads it.

use std::collections::BTreeMap;

use crate::support::gateway::{
    BANK, Backend, CLIENT, FORM_BANK, PAPER_BANK, RIVAL, TestGateway, eventually,
};
use crate::support::receiver::Reply;
use crate::support::visitor::http;

crate::on_both_stores!(
    labelled_series_exist_from_the_start,
    a_flow_is_counted_and_measured,
    queues_are_measured_at_each_look,
);

/// Every series and its value.
async fn scrape(gateway: &TestGateway) -> BTreeMap<String, f64> {
    let url = gateway.operator.join("metrics").expect("a path");
    let response = http().get(url).send().await.expect("a response");
    let text = response.text().await.expect("a body");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let series = series.map(|line| line.rsplit_once(' ').expect("a value"));
    series
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

async fn labelled_series_exist_from_the_start(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let series = scrape(&gateway).await;
    let at = |name: &str| {
        *series
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {series:#?}"))
    };
    for client in [CLIENT, RIVAL] {
        for institution in [BANK, FORM_BANK] {
            let whose = format!("client=\"{client}\",institution=\"{institution}\"");
            for name in [
                "links_minted",
                "links_opened",
                "members_connected",
                "flows_retried",
            ] {
                assert_eq!(at(&format!("guichet_{name}_total{{{whose}}}")), 0.0);
            }
            let failed = format!("guichet_flows_failed_total{{{whose},reason=\"CANCELLED\"}}");
            assert_eq!(at(&failed), 0.0);
            at(&format!("guichet_token_endpoint_seconds_count{{{whose}}}"));
        }
        at(&format!(
            "guichet_job_reports_total{{client=\"{client}\",institution=\"{PAPER_BANK}\",status=\"SUCCEEDED\"}}"
        ));
        at(&format!(
            "guichet_webhook_deliveries_total{{client=\"{client}\",result=\"retried\"}}"
        ));
        at(&format!(
            "guichet_webhook_delivery_seconds_count{{client=\"{client}\"}}"
        ));
    }
    for step in ["claim_callback", "commit_connected", "open_window"] {
        at(&format!(
            "guichet_store_step_seconds_count{{step=\"{step}\"}}"
        ));
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        at(&format!("guichet_build_info{{version=\"{version}\"}}")),
        1.0
    );
    for name in [
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(
            at(name) >= 0.0 && (name.contains("cpu") || at(name) > 0.0),
            "{name}"
        );
    }
    assert!(
        series.keys().all(|name| !name.contains("\"other\"")),
        "{series:#?}"
    );
}

async fn a_flow_is_counted_and_measured(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let before = scrape(&gateway).await.len();
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let refusal = gateway
        .bank
        .refusal_for(&authorization, "access_denied", "no");
    visitor.follow(&refusal.url()).await;
    let series = scrape(&gateway).await;
    let whose = format!("client=\"{CLIENT}\",institution=\"{BANK}\"");
    let counted = [
        (format!("guichet_links_minted_total{{{whose}}}"), 2.0),
        (format!("guichet_links_opened_total{{{whose}}}"), 2.0),
        (format!("guichet_members_connected_total{{{whose}}}"), 1.0),
        (
            format!("guichet_flows_failed_total{{{whose},reason=\"CANCELLED\"}}"),
            1.0,
        ),
        (
            format!("guichet_token_endpoint_seconds_count{{{whose}}}"),
            1.0,
        ),
        ("guichet_mint_seconds_count{}".to_owned(), 2.0),
        ("guichet_open_seconds_count{}".to_owned(), 2.0),
        ("guichet_callback_seconds_count{}".to_owned(), 2.0),
        (
            "guichet_store_step_seconds_count{step=\"commit_connected\"}".to_owned(),
            1.0,
        ),
    ];
    for (name, value) in counted {
        assert_eq!(series.get(&name), Some(&value), "{name}");
    }
    assert_eq!(series.len(), before, "nothing that happens makes a series");
}

async fn queues_are_measured_at_each_look(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.hooks.answer_with(Reply::Status(503));
    gateway.aggregator.answer_with(Reply::Status(503));
    let length = async |queue: &str| {
        let name = format!("guichet_queue_length{{kind=\"{queue}\"}}");
        scrape(&gateway).await[&name]
    };
    assert_eq!(
        (length("deliver").await, length("aggregate").await),
        (0.0, 0.0)
    );
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(
        (length("deliver").await, length("aggregate").await),
        (3.0, 1.0)
    );
    gateway.hooks.answer_with(Reply::Status(204));
    gateway.pass(std::time::Duration::from_secs(10 * 60));
    eventually(async || (length("deliver").await == 0.0).then_some(())).await;
    let due = scrape(&gateway).await["guichet_queue_oldest_due_seconds{kind=\"deliver\"}"];
    assert_eq!(due, 0.0);
}
