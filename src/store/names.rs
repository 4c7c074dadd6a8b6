//! Names that are unique within a client: reserved in the client's slot, written with their user or member in
//! a partition, then settled in the client's slot. [`steps::name`](crate::steps::name) decides each of the three.

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::outcome::{Result, StoreError};
use crate::domain::id::ClientId;
use crate::steps::name::{GiveBack, Name, PutBack, Reserve, Reserved, Settle};
use crate::steps::record::{Key, NameKind, Reads, Record, Slot};

/// A name, and the user or member that is to have it.
pub(super) struct Reservation {
    name: Name,
    holder: String,
}

impl Reservation {
    /// Of that name, for the user or member of that compact guid.
    pub(super) fn of(client: &ClientId, kind: NameKind, name: &str, holder: &str) -> Self {
        Self {
            name: Name {
                client: client.clone(),
                kind,
                name: name.to_owned(),
            },
            holder: holder.to_owned(),
        }
    }

    fn slot(&self) -> Slot {
        Slot::Client(self.name.client.clone())
    }
}

impl Store {
    /// Reserves a name. Gives the holder that uses it already, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] while another has reserved it and may still use it: it may be asked for again.
    pub(super) async fn reserve(
        &self,
        wanted: &Reservation,
        now: Timestamp,
    ) -> Result<Option<String>> {
        let mut not_used = None;
        let mut waits = Care::Usual.waits().iter();
        loop {
            let reserve = Reserve {
                name: wanted.name.clone(),
                holder: wanted.holder.clone(),
                not_used: not_used.take(),
            };
            match self.step(&reserve, now).await? {
                Reserved::Reserved => return Ok(None),
                // Usually its holder is being written just now.
                Reserved::Pending => match waits.next() {
                    Some(wait) => tokio::time::sleep(*wait).await,
                    None => {
                        let why = "the name is being given to another just now; ask again";
                        return Err(StoreError::Unavailable(why.into()));
                    }
                },
                Reserved::Held(known) => {
                    if self.is_used(&wanted.name, &known.holder).await? {
                        return Ok(Some(known.holder));
                    }
                    not_used = Some(known);
                }
            }
        }
    }

    /// Settles a name whose holder was written. `false`: it was given to another meanwhile.
    pub(super) async fn settle(&self, name: &Reservation, now: Timestamp) -> Result<bool> {
        let settle = Settle {
            name: name.name.clone(),
            holder: name.holder.clone(),
        };
        self.step(&settle, now).await
    }

    /// The name went to another while its holder was given it: that one has its earlier name again, or none
    /// if the earlier one is another's by now.
    pub(super) async fn put_back(
        &self,
        lost: &Reservation,
        earlier: Option<&Reservation>,
        now: Timestamp,
    ) -> Result<()> {
        let Some((holder, partition)) = lost.name.holder(&lost.holder) else {
            return Ok(());
        };
        let mut earlier = earlier.filter(|earlier| earlier.name.name != lost.name.name);
        if let Some(wanted) = earlier
            && !matches!(self.reserve(wanted, now).await, Ok(None))
        {
            earlier = None;
        }
        let mut put_back = PutBack {
            kind: lost.name.kind,
            holder,
            partition,
            lost: lost.name.name.clone(),
            earlier: earlier.map(|earlier| earlier.name.name.clone()),
        };
        self.step(&put_back, now).await?;
        if let Some(earlier) = earlier
            && !self.settle(earlier, now).await?
        {
            put_back.lost = earlier.name.name.clone();
            put_back.earlier = None;
            self.step(&put_back, now).await?;
        }
        Ok(())
    }

    /// Gives back a name, unless its holder still uses it.
    pub(super) async fn give_back(&self, name: &Reservation, now: Timestamp) -> Result<()> {
        let reads = Reads::of([name.name.key()]);
        let view = self.look(name.slot(), reads).await?;
        let seen = name.name.known(&view).cloned();
        if seen.is_none() || self.is_used(&name.name, &name.holder).await? {
            return Ok(());
        }
        self.free(name, seen, now).await
    }

    /// Gives back the name of a holder that was deleted or never written.
    pub(super) async fn give_back_for_good(
        &self,
        name: &Reservation,
        now: Timestamp,
    ) -> Result<()> {
        self.free(name, None, now).await
    }

    async fn free(
        &self,
        name: &Reservation,
        as_seen: Option<crate::steps::record::NameOf>,
        now: Timestamp,
    ) -> Result<()> {
        let give_back = GiveBack {
            name: name.name.clone(),
            holder: name.holder.clone(),
            as_seen,
        };
        self.step(&give_back, now).await
    }

    /// The compact guid of who holds a name. The caller looks up whether that one uses it.
    pub(super) async fn holder(
        &self,
        client: &ClientId,
        kind: NameKind,
        name: &str,
    ) -> Result<Option<String>> {
        let slot = Slot::Client(client.clone());
        let reads = Reads::of([Key::name(client, kind, name)]);
        let view = self.look(slot, reads).await?;
        Ok(view
            .name(client, kind, name)
            .map(|known| known.holder.clone()))
    }

    async fn is_used(&self, name: &Name, holder: &str) -> Result<bool> {
        let Some((key, partition)) = name.holder(holder) else {
            return Ok(false);
        };
        let slot = Slot::Partition(partition);
        let view = self.look(slot, Reads::of([key.clone()])).await?;
        let used = match view.record(&key) {
            Some(Record::User(kept)) if kept.deleted_at.is_none() => kept.user.id.as_ref(),
            Some(Record::Member(member)) => member.external_guid.as_ref(),
            _ => None,
        };
        Ok(used == Some(&name.name))
    }
}

/// The reservation ended before its holder was written, and another has the name.
pub(super) fn reservation_expired() -> StoreError {
    StoreError::Unavailable("the reservation of the name ran out before it was used".into())
}

pub(super) fn unreadable(error: crate::domain::id::InvalidId) -> StoreError {
    StoreError::Unreadable(error.to_string())
}
