//! Lines that strangers cause, summed up: nobody can fill the log by asking for more.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The target of lines that anybody can cause, as often as they like. Of each kind the first
/// few are written in every period, and then how many more there were.
pub const STRANGERS: &str = "guichet_strangers";

/// How many lines of a kind are written in a period.
const FEW: u64 = 10;

/// What was left out.
#[derive(Clone, Default)]
pub struct Sums(Arc<Mutex<HashMap<Identifier, Sum>>>);

/// How often a line was asked for in this period, and its text.
#[derive(Default)]
struct Sum {
    count: u64,
    line: String,
}

impl Sums {
    /// How long a period is.
    pub const PERIOD: Duration = Duration::from_secs(10);

    /// Ends the period: writes what was left out in it.
    pub fn write(&self) {
        // The lines below go through the layer, which asks for the lock.
        let sums = std::mem::take(&mut *self.lock());
        for sum in sums.into_values().filter(|sum| sum.count > FEW) {
            let (left_out, line) = (sum.count - FEW, sum.line);
            tracing::warn!(left_out, line, "similar lines were left out");
        }
    }

    /// What counts and leaves out.
    pub(super) fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Counting(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Sum>> {
        // Nothing under this lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Counting(Sums);

impl<S: Subscriber> Layer<S> for Counting {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() != STRANGERS {
            return true;
        }
        let mut sums = self.0.lock();
        let sum = sums.entry(event.metadata().callsite()).or_default();
        sum.count += 1;
        if sum.count == FEW + 1 {
            event.record(&mut Text(&mut sum.line));
        }
        sum.count <= FEW
    }
}

/// Takes the text of a line, without its fields.
struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_strangers_cause_is_summed_up_by_kind_and_the_rest_is_written() {
        let (sums, written) = (Sums::default(), Written::default());
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false);
        let subscriber = tracing_subscriber::registry()
            .with(sums.layer())
            .with(lines.with_writer(move || writer.clone()));
        let text = || String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..1000 {
                tracing::warn!(target: STRANGERS, number, "an answer could not be read");
                tracing::info!(number, "link opened");
            }
            tracing::warn!(target: STRANGERS, "another kind");
            sums.write();
            let first = text();
            assert_eq!(first.matches("link opened").count(), 1000);
            assert_eq!(
                first
                    .matches(": an answer could not be read number=")
                    .count(),
                10
            );
            assert_eq!(first.matches("another kind").count(), 1);
            assert_eq!(first.matches("left out").count(), 1, "one line a kind");
            assert!(
                first.contains(
                    "similar lines were left out left_out=990 line=\"an answer could not be read\""
                ),
                "{first}"
            );
            // A new period.
            tracing::warn!(target: STRANGERS, number = 1, "an answer could not be read");
            sums.write();
            assert_eq!(text().matches("left out").count(), 1);
        });
    }
}
