use std::io;
use std::sync::{Arc, Mutex};

use tracing::Instrument as _;

use super::*;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` logs.
fn logged(format: LogFormat, filter: &str, work: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let lines = Lines {
        format,
        writer: move || writer.clone(),
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter_of(&filter.parse().unwrap()))
        .with(lines);
    tracing::subscriber::with_default(subscriber, work);
    let written = written.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn what_is_learnt_stands_flat_on_every_later_line_at_every_level() {
    for filter in [
        "trace",
        "info",
        "warn",
        "error",
        "off,guichet::telemetry=error",
        "guichet::telemetry::tests=error",
    ] {
        let text = logged(LogFormat::Json, filter, || {
            log_context::span().in_scope(|| {
                log_context::client(&"acme".parse().unwrap());
                tracing::error!(wait_ms = 5, "first");
                log_context::institution(&"fake_bank".parse().unwrap());
                tracing::error!(client = "other", "second");
            });
            tracing::error!("outside");
        });
        let lines: Vec<Value> = text.lines().map(json).collect();
        assert_eq!(lines.len(), 3, "{filter}: {text}");
        assert_eq!(lines[0]["message"], "first");
        assert_eq!(lines[0]["client"], "acme");
        assert_eq!(lines[0]["wait_ms"], 5);
        assert_eq!(lines[0].get("institution"), None);
        assert_eq!(lines[1]["client"], "other", "a line's own field counts");
        assert_eq!(lines[1]["institution"], "fake_bank");
        assert_eq!(
            text.lines().nth(1).unwrap().matches("\"client\"").count(),
            1
        );
        assert_eq!(lines[2].get("client"), None);
        for name in ["timestamp", "level", "target"] {
            assert!(lines[0][name].is_string(), "{text}");
        }
    }
}

#[test]
fn an_inner_piece_of_work_has_what_the_outer_one_knows() {
    let text = logged(LogFormat::Text, "info", || {
        let outer = log_context::span();
        outer.in_scope(|| {
            log_context::client(&"acme".parse().unwrap());
            log_context::institution(&"one".parse().unwrap());
            log_context::span().in_scope(|| {
                log_context::institution(&"two".parse().unwrap());
                tracing::info!("inside");
            });
        });
    });
    assert!(
        text.ends_with(" INFO guichet::telemetry::tests: inside institution=two client=acme\n"),
        "{text}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn it_goes_along_into_tasks() {
    let written = Written::default();
    let writer = written.clone();
    let lines = Lines {
        format: LogFormat::Text,
        writer: move || writer.clone(),
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter_of(&"info".parse().unwrap()))
        .with(lines);
    let _installed = tracing::subscriber::set_default(subscriber);
    async {
        log_context::client(&"acme".parse().unwrap());
        let task = async { tracing::info!("in a task") };
        tokio::spawn(task.in_current_span()).await.unwrap();
    }
    .instrument(log_context::span())
    .await;
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("in a task client=acme"), "{text}");
}

#[test]
fn what_a_stranger_sent_forges_no_line_and_no_field() {
    let hostile = "x\n2026-01-01T00:00:00Z ERROR guichet: forged client=acme \u{1b}[2K \u{202e}\"";
    let log = || {
        tracing::warn!(detail = hostile, plain = "a-b", empty = "", "{hostile}");
    };
    let text = logged(LogFormat::Text, "info", log);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains(" detail=\"x\\n2026"), "{text}");
    assert!(text.contains(" plain=a-b empty=\"\""), "{text}");
    let text = logged(LogFormat::Json, "info", log);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(json(&text)["detail"], hostile);
}
