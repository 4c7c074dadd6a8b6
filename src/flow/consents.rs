//! consents: one that ends soon → its client is told; one that has ended → its member is IMPAIRED.

use jiff::Timestamp;

use super::refresh::LOST;
use super::{Gateway, Internal};
use crate::domain::event::EventKind;
use crate::domain::id::MemberGuid;
use crate::log_context;
use crate::store::{AtInstitution, ConsentTold, TellConsent};

/// Tells what is due of a member's consent, as a duty that is held until then.
pub(super) async fn tell(
    gateway: &Gateway,
    at: AtInstitution,
    member: MemberGuid,
    held_until: Timestamp,
) -> Result<(), Internal> {
    log_context::client(&at.client);
    log_context::institution(&at.institution);
    log_context::member_guid(member);
    // The end takes effect also where the client is no longer configured: then nobody is told.
    let client = gateway.clients.get(&at.client);
    let notices = |kinds: &[EventKind]| {
        client.map_or_else(Vec::new, |client| {
            gateway.notices(client, kinds, member.partition())
        })
    };
    let tell = TellConsent {
        member,
        held_until,
        days: gateway.settings.notice_days.clone(),
        expiring: notices(&[EventKind::ConsentExpiring]),
        ended: notices(LOST),
    };
    match gateway.store.tell_consent(&tell, gateway.now()).await? {
        ConsentTold::Nothing => {}
        ConsentTold::Expiring(days) => tracing::info!(days, "a consent ends soon"),
        ConsentTold::Ended => {
            tracing::warn!("a consent has ended; the person has to connect again");
        }
    }
    Ok(())
}
