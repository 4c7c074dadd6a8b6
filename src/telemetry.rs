//! Logs: one line per event, readable or JSON, with flat fields. `docs/LOGGING.md` says what may be in
//! them; the fields that the lines of one piece of work have in common are in [`log_context`].

mod batches;
mod sums;

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};

use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use batches::Batches;
pub use sums::{STRANGERS, Sums};

use crate::config::{LogFilter, LogFormat};
use crate::log_context;

/// The lines of this process, once a log writer is installed.
static LOG: OnceLock<Arc<Batches>> = OnceLock::new();

/// Installs the process's log writer, on standard error. A second call does nothing.
///
/// Lines are written by a thread, a moment after they were logged; [`AtEnd`] writes the last ones.
///
/// `filter` says what is logged. The caller must write the returned sums, of the lines that strangers cause, from
/// time to time and at the end.
///
/// # Errors
///
/// There is no thread for it.
pub fn install(format: LogFormat, filter: &LogFilter) -> io::Result<Sums> {
    let sums = Sums::default();
    let batches = Batches::start(io::stderr(), |left_out| {
        tracing::warn!(
            left_out,
            "log lines were left out because their reader is slow"
        );
    })?;
    let batches = LOG.get_or_init(|| batches).clone();
    let writer = Lines {
        format,
        writer: batches,
    };
    let installed = tracing_subscriber::registry()
        .with(filter_of(filter))
        .with(sums.layer())
        .with(writer)
        .try_init();
    if installed.is_err() {
        tracing::debug!("a log writer is already installed");
    }
    Ok(sums)
}

/// Waits until the lines so far are written; at most two seconds if their reader is slow.
pub fn flush() {
    if let Some(batches) = LOG.get() {
        batches.flush();
    }
}

/// Writes the last lines when it is dropped: however `main` ends, a panic included.
#[derive(Debug)]
pub struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        flush();
    }
}

/// The operator's filter. The spans of [`log_context`] are always included, and the lines of one library
/// are never included, because our own line about the call says the same.
fn filter_of(filter: &LogFilter) -> Targets {
    let LogFilter(filter) = filter;
    filter
        .clone()
        .with_target(log_context::TARGET, LevelFilter::ERROR)
        .with_target("rustls_platform_verifier", LevelFilter::OFF)
}

/// The fields of a line or a span, in the order in which they were set; a later value of a field replaces
/// the earlier one.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        match self.0.remove(at).1 {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// Adds the fields of an outer span that this one does not have.
    fn add(&mut self, outer: &Fields) {
        for (name, value) in &outer.0 {
            if !self.0.iter().any(|(known, _)| known == name) {
                self.0.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }
}

/// Writes each event as one line.
struct Lines<W> {
    format: LogFormat,
    writer: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // From the innermost span outwards.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add(outer);
            }
        }
        let line = Line::of(event, fields);
        let mut text = match self.format {
            LogFormat::Text => line.to_text(),
            LogFormat::Json => line.to_json(),
        };
        text.push('\n');
        // The thread that writes lines knows no error that would matter here.
        let _ = self.writer.make_writer().write_all(text.as_bytes());
    }
}

/// One line.
struct Line {
    level: Level,
    target: String,
    message: String,
    fields: Fields,
}

impl Line {
    fn of(event: &Event<'_>, mut fields: Fields) -> Self {
        // Lines of crates that use `log` instead of `tracing` have their origin in fields.
        let target = fields.take("log.target");
        fields.0.retain(|(name, _)| !name.starts_with("log."));
        Self {
            level: *event.metadata().level(),
            target: target.unwrap_or_else(|| event.metadata().target().to_owned()),
            message: fields.take("message").unwrap_or_default(),
            fields,
        }
    }

    /// For people. What a stranger sent can forge neither a line nor a field: it is quoted, and its
    /// control characters are escaped.
    fn to_text(&self) -> String {
        let mut text = now();
        let _ = write!(text, " {:>5} {}: ", self.level.as_str(), self.target);
        for character in self.message.chars() {
            match character {
                '"' | '\'' | '\\' => text.push(character),
                other => text.extend(other.escape_debug()),
            }
        }
        for (name, value) in &self.fields.0 {
            let _ = match value {
                Value::String(plain) if is_plain(plain) => write!(text, " {name}={plain}"),
                Value::String(other) => write!(text, " {name}={other:?}"),
                other => write!(text, " {name}={other}"),
            };
        }
        text
    }

    /// For machines.
    fn to_json(&self) -> String {
        let mut text = Vec::with_capacity(512);
        let mut serializer = serde_json::Serializer::new(&mut text);
        let mut write = || {
            let mut line = serializer.serialize_map(None)?;
            line.serialize_entry("timestamp", &now())?;
            line.serialize_entry("level", self.level.as_str())?;
            line.serialize_entry("target", &self.target)?;
            line.serialize_entry("message", &self.message)?;
            for (name, value) in &self.fields.0 {
                line.serialize_entry(name, value)?;
            }
            line.end()
        };
        write().expect("texts and numbers are JSON");
        String::from_utf8(text).expect("JSON is text")
    }
}

/// Whether a value needs no quotes.
fn is_plain(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !value.is_empty() && value.bytes().all(is_plain)
}

/// The time, in UTC and microseconds.
fn now() -> String {
    let mut text = String::with_capacity(192);
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests;
