//! Changes that a member service makes to a member.

use jiff::Timestamp;
use rusqlite::Connection;

use super::events::{self, News};
use super::members::{follow, holder_of, keep_means, known_by, load_of, means_of, save_change};
use super::{SqliteStore, jobs};
use crate::domain::member::{ConnectionStatus, Member};
use crate::store::{MemberChange, MemberUpdate, NewCredentials, Result};

impl SqliteStore {
    pub(in crate::store) async fn update_member(
        &self,
        change: &MemberChange,
        now: Timestamp,
    ) -> Result<MemberUpdate> {
        let change = change.clone();
        self.threads.write(move |tx| update(tx, &change, now)).await
    }
}

fn update(tx: &Connection, change: &MemberChange, now: Timestamp) -> Result<MemberUpdate> {
    let Some(before) = load_of(tx, change.user, change.member)? else {
        return Ok(MemberUpdate::NoSuchMember);
    };
    if let Some(name) = &change.external_guid {
        let holder = holder_of(tx, &before.client, name.as_deref())?;
        if let Some(holder) = holder.filter(|holder| *holder != before.guid) {
            return Ok(MemberUpdate::ExternalGuidTaken(holder));
        }
    }
    if let Some(new) = &change.credentials {
        let place = (before.user, &before.institution);
        if let Some(existing) = known_by(tx, place, &new.fingerprints, before.guid)? {
            return Ok(MemberUpdate::Duplicate(existing));
        }
    }
    let mut member = changed(before.clone(), change);
    // The same credentials are a change sent again because its answer was lost: no two envelopes are
    // alike.
    let kept = means_of(tx, member.guid)?;
    let credentials = change.credentials.as_ref();
    let credentials = credentials.filter(|new| kept.as_ref() != Some(&new.sealed));
    if let Some(new) = credentials {
        take_credentials(tx, &mut member, new, now)?;
    }
    // What changes nothing is no news; so a change that is sent again is told once.
    if credentials.is_some() || member != before {
        save_change(tx, &mut member)?;
        events::tell(tx, &change.updated, &News::of(&member), now)?;
    }
    Ok(MemberUpdate::Updated(Box::new(member)))
}

/// The member with the fields that the change names.
fn changed(mut member: Member, change: &MemberChange) -> Member {
    fn set<T: Clone>(field: &mut T, new: &Option<T>) {
        if let Some(new) = new {
            field.clone_from(new);
        }
    }
    set(&mut member.name, &change.name);
    set(&mut member.external_guid, &change.external_guid);
    set(&mut member.metadata, &change.metadata);
    set(&mut member.use_cases, &change.use_cases);
    set(
        &mut member.background_aggregation_is_disabled,
        &change.background_aggregation_is_disabled,
    );
    set(&mut member.data_request, &change.data_request);
    if let Some(payload) = &change.callback_payload {
        member.callback_payload = Some(payload.clone());
    }
    member
}

/// Replaces the member's credentials; its unfinished job ends in favour of theirs.
fn take_credentials(
    tx: &Connection,
    member: &mut Member,
    new: &NewCredentials,
    now: Timestamp,
) -> Result<()> {
    keep_means(tx, member.guid, &new.sealed)?;
    member.fingerprint = new.fingerprints.first().copied();
    member.refusals = 0;
    follow(member, ConnectionStatus::Updated);
    if let Some(replaced) = member.current_job.take() {
        jobs::replace(tx, replaced, now)?;
    }
    if let Some(job) = &new.job {
        jobs::begin(tx, job, member, now)?;
    }
    Ok(())
}
