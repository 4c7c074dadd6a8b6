//! Events, as an operator looks at them.

use jiff::Timestamp;

use super::driver::Store;
use super::outcome::{Found, Result};
use crate::domain::id::{ClientId, EventGuid, MemberGuid};
use crate::steps::record::{KeptEvent, Key, Reads, Record, Slot};
use crate::steps::{Replay, Replayed};

/// Which events are wanted; `None`: any.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of this client.
    pub client: Option<ClientId>,
    /// About this member.
    pub member: Option<MemberGuid>,
    /// That happened then or later.
    pub since: Option<Timestamp>,
    /// That happened before then.
    pub until: Option<Timestamp>,
    /// That were given up.
    pub is_dead: bool,
}

impl EventQuery {
    fn wants(&self, event: &KeptEvent) -> bool {
        let member = &event.member;
        self.client.as_ref().is_none_or(|it| *it == member.client)
            && self.member.is_none_or(|it| it == member.guid)
            && self.since.is_none_or(|it| event.happened_at >= it)
            && self.until.is_none_or(|it| event.happened_at < it)
            && (!self.is_dead || event.dead_at.is_some())
    }
}

impl Store {
    /// The events that are wanted, in the order in which they happened: the newest `limit` of them. Looks at every
    /// event, since there is no list of them.
    pub async fn events(
        &self,
        query: &EventQuery,
        limit: usize,
    ) -> Result<Vec<(EventGuid, KeptEvent)>> {
        let _timing = self.timed("events");
        let mut found: Vec<(EventGuid, KeptEvent)> = Vec::new();
        let see = async |batch: Vec<Found>| {
            for Found { key, record, .. } in batch {
                let guid = key.id_of('e').map(EventGuid::from_compact);
                if let (Some(Ok(guid)), Some(Record::Event(event))) = (guid, record)
                    && query.wants(&event)
                {
                    found.push((guid, event));
                }
            }
            // Not sorted each time.
            if found.len() > limit.saturating_mul(2) {
                newest(&mut found, limit);
            }
            Ok(())
        };
        self.each_batch(&['e'], see).await?;
        newest(&mut found, limit);
        Ok(found)
    }

    /// The event of that guid, if it is still kept.
    pub async fn event(&self, guid: EventGuid) -> Result<Option<KeptEvent>> {
        let _timing = self.timed("event");
        let slot = Slot::Partition(guid.partition());
        let view = self.look(slot, Reads::of([Key::event(guid)])).await?;
        Ok(view.event(guid).cloned())
    }

    /// Sends an event again; see [`steps::replay`](crate::steps::replay).
    pub async fn replay_event(&self, event: EventGuid, now: Timestamp) -> Result<Replayed> {
        let _timing = self.timed("replay_event");
        self.step(&Replay { event }, now).await
    }
}

fn newest(found: &mut Vec<(EventGuid, KeptEvent)>, limit: usize) {
    found.sort_by_key(|(guid, event)| (event.happened_at, *guid));
    let too_many = found.len().saturating_sub(limit);
    found.drain(..too_many);
}
