//! Sums up lines that strangers cause, so that nobody can fill the log.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The target of lines that anybody can cause, as often as they like. Of each kind some are written in
/// every period, and then how many more there were.
///
/// Each source has a share of its own, so that a source that causes many lines hides no other source's: a
/// line of a page with a support code has its `source`. Lines without a source share one.
pub const STRANGERS: &str = "guichet_strangers";

/// How many lines of a kind one source may cause in a period, until there are [`MANY`] of that kind.
const FEW: u32 = 10;

/// After how many lines of a kind each source may cause only one.
const MANY: u32 = 100;

/// How many lines of a kind are written in a period at most.
const MOST: u32 = 1_000;

/// The counts of the current period.
#[derive(Clone, Default)]
pub struct Sums(Arc<Mutex<HashMap<Identifier, Sum>>>);

/// The lines of one kind in this period.
#[derive(Default)]
struct Sum {
    /// How many were written.
    written: u32,
    /// How many by source.
    by_source: HashMap<String, u32>,
    /// How many were left out, and their text.
    left_out: u64,
    line: String,
}

impl Sum {
    /// Counts a line from `source`; returns whether it is to be written.
    fn takes(&mut self, source: String) -> bool {
        let share = if self.written < MANY { FEW } else { 1 };
        let of_it = self.by_source.get(&source).copied().unwrap_or_default();
        let is_taken = self.written < MOST && of_it < share;
        if is_taken {
            self.written += 1;
            self.by_source.insert(source, of_it + 1);
        } else {
            self.left_out += 1;
        }
        is_taken
    }
}

impl Sums {
    /// How long a period is.
    pub const PERIOD: Duration = Duration::from_secs(10);

    /// Ends the period: writes how many lines were left out.
    pub fn write(&self) {
        // The lines below go through the layer, which asks for the lock.
        let sums = std::mem::take(&mut *self.lock());
        for Sum { left_out, line, .. } in sums.into_values().filter(|sum| sum.left_out > 0) {
            tracing::warn!(left_out, line, "similar lines were left out");
        }
    }

    /// The layer that counts lines and leaves some out.
    pub(super) fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Counting(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Sum>> {
        // No code that holds this lock panics between two changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Counting(Sums);

impl<S: Subscriber> Layer<S> for Counting {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() != STRANGERS {
            return true;
        }
        let mut told = Told::default();
        event.record(&mut told);
        let mut sums = self.0.lock();
        let sum = sums.entry(event.metadata().callsite()).or_default();
        let is_written = sum.takes(told.source);
        if !is_written {
            sum.line = told.message;
        }
        is_written
    }
}

/// The source of a line, and its text.
#[derive(Default)]
struct Told {
    source: String,
    message: String,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "source" => self.source = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
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

    /// What `work` writes, through the layer.
    fn written(work: impl FnOnce(&Sums, &dyn Fn() -> String)) {
        let (sums, written) = (Sums::default(), Written::default());
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false);
        let subscriber = tracing_subscriber::registry()
            .with(sums.layer())
            .with(lines.with_writer(move || writer.clone()));
        let text = || String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
        tracing::subscriber::with_default(subscriber, || work(&sums, &text));
    }

    #[test]
    fn what_strangers_cause_is_summed_up_by_kind_and_the_rest_is_written() {
        written(|sums, text| {
            for number in 0..1000 {
                tracing::warn!(target: STRANGERS, number, "a response could not be read");
                tracing::info!(number, "link opened");
            }
            tracing::warn!(target: STRANGERS, "another kind");
            sums.write();
            let first = text();
            assert_eq!(first.matches("link opened").count(), 1000);
            let of_kind = ": a response could not be read number=";
            assert_eq!(first.matches(of_kind).count(), 10);
            assert_eq!(first.matches("another kind").count(), 1);
            assert_eq!(first.matches("left out").count(), 1, "one line a kind");
            let sum =
                "similar lines were left out left_out=990 line=\"a response could not be read\"";
            assert!(first.contains(sum), "{first}");
            // A new period.
            tracing::warn!(target: STRANGERS, number = 1, "a response could not be read");
            sums.write();
            assert_eq!(text().matches("left out").count(), 1);
        });
    }

    #[test]
    fn one_source_that_floods_hides_no_other_and_all_of_them_together_have_a_bound() {
        let tell = |source: &str| {
            tracing::warn!(target: STRANGERS, %source, "error page shown");
        };
        written(|sums, text| {
            (0..1000).for_each(|_| tell("192.0.2.1"));
            tell("192.0.2.2");
            assert_eq!(text().matches("source=192.0.2.1").count(), 10);
            assert_eq!(text().matches("source=192.0.2.2").count(), 1);
            assert_eq!((MANY, Sums::PERIOD), (100, Duration::from_secs(10)));
            // Many sources: each may still cause one line.
            for _ in 0..20 {
                (0..500).for_each(|host| tell(&format!("2001:db8:{host:x}::/64")));
            }
            tell("192.0.2.3");
            assert_eq!(text().matches("source=192.0.2.3").count(), 1);
            assert_eq!(text().matches("source=2001:db8:1f3::/64").count(), 1);
            (0..5000).for_each(|host| tell(&format!("2001:db8:ffff:{host:x}::/64")));
            assert_eq!(text().matches(": error page shown").count(), 1000);
            sums.write();
            assert!(text().contains(&format!("left_out={}", 16_002 - 1000)));
        });
    }
}
