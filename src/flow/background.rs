//! background: a connected member is due → a job is ordered that nobody asked for.

use jiff::Timestamp;

use super::order::{OrderRequest, queue};
use super::settle::Attempt;
use super::{Gateway, Internal, maintenance};
use crate::domain::duty::DutyKind;
use crate::domain::id::{ClientId, InstitutionCode};
use crate::domain::member::Member;
use crate::log_context;
use crate::store::{BackgroundOrder, DutyName, Fate, Ordered};

/// When a member that is connected, or was pulled, now is pulled in the background next; `None`: it is not.
pub(super) fn next(
    gateway: &Gateway,
    client: &ClientId,
    institution: &InstitutionCode,
) -> Option<Timestamp> {
    let rules = gateway.background(client, institution);
    rules.next(gateway.now(), gateway.random.as_ref())
}

/// Orders the background pull of a member that is due, and held until then. Where the configuration has none any more,
/// the member has none either. What cannot be ordered now is due again later, and so is a member whose user is
/// disabled.
pub(super) async fn perform(
    gateway: &Gateway,
    member: Member,
    held_until: Timestamp,
) -> Result<(), Internal> {
    log_context::member(&member);
    let duty = DutyName::Background(member.guid);
    let attempt = Attempt { duty, nth: None };
    let (now, random) = (gateway.now(), gateway.random.as_ref());
    let rules = gateway.background(&member.client, &member.institution);
    let next = rules.next(now, random).zip(rules.tomorrow(now, random));
    let Some((next, tomorrow)) = next else {
        return attempt.settle(gateway, Fate::Dropped, None).await;
    };
    let client = gateway.client(&member.client)?;
    let user = gateway.store.user(&client.id, member.user).await?;
    if user.is_none_or(|user| user.is_disabled) {
        return attempt.settle(gateway, Fate::Postponed(next), None).await;
    }
    if maintenance::closed(gateway, &member.institution).is_some() {
        let schedule = DutyKind::Background.schedule();
        let again_at = schedule.next((1, now), None, now, random).unwrap_or(next);
        return attempt
            .settle(gateway, Fate::Postponed(again_at), None)
            .await;
    }
    let order = BackgroundOrder {
        held_until,
        per_day: rules.per_day,
        tomorrow,
    };
    let request = OrderRequest::default();
    match queue(gateway, client, &member, &request, Some(order)).await? {
        Ordered::Queued(_) => tracing::info!("background pull ordered"),
        Ordered::NotDue(_) | Ordered::UnderWay(_) => tracing::debug!("no background pull now"),
        // Perhaps its token set comes back from the other gateway by then.
        Ordered::Unfit(_) => return attempt.settle(gateway, Fate::Postponed(next), None).await,
        Ordered::NoSuchMember => {}
    }
    Ok(())
}
