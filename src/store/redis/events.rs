//! Events on their way to clients.

use jiff::Timestamp;

use super::RedisStore;
use super::call::{self, Call};
use super::record::{each, event_of};
use crate::domain::event::Event;
use crate::domain::id::EventGuid;
use crate::store::Result;

impl RedisStore {
    /// Takes up to `limit` due events, the longest due first.
    pub(in crate::store) async fn reserve_events(
        &self,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let call = |base, share| {
            Call::new(&call::RESERVE_EVENTS, base)
                .time(now)
                .time(hold_until)
                .number(share)
        };
        let mut events = Vec::new();
        for answer in self.take_due("de", now, limit, call).await? {
            events.append(&mut each(answer, event_of)?);
        }
        Ok(events)
    }

    /// The event was taken by its client, or nobody wants it any more.
    pub(in crate::store) async fn finish_event(&self, event: EventGuid) -> Result<()> {
        self.settle_event(event, "finish", None).await
    }

    /// The event is due again at `due_at`.
    pub(in crate::store) async fn postpone_event(
        &self,
        event: EventGuid,
        due_at: Timestamp,
    ) -> Result<()> {
        self.settle_event(event, "postpone", Some(due_at)).await
    }

    /// Nobody took the event: it is kept for the operator, and not tried again.
    pub(in crate::store) async fn bury_event(
        &self,
        event: EventGuid,
        now: Timestamp,
    ) -> Result<()> {
        self.settle_event(event, "bury", Some(now)).await
    }

    async fn settle_event(
        &self,
        event: EventGuid,
        what: &str,
        at: Option<Timestamp>,
    ) -> Result<()> {
        let at = at.map_or(String::new(), |at| at.as_millisecond().to_string());
        let call = Call::new(&call::SETTLE_EVENT, self.keys.partition(event.partition()))
            .text(event.compact())
            .text(what)
            .text(at)
            .number(self.retention());
        self.link.call(call).await.map(drop)
    }
}
