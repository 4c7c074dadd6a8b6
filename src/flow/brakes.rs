//! Brakes: where an institution refuses nearly everybody, that is counted against nobody.

use super::{Gateway, Internal};
use crate::domain::event::EventKind;
use crate::domain::id::MemberGuid;
use crate::store::{BrakeName, CountRefusal, ReleaseBrake, Restore, Verdict};

/// Counts a refusal; whether it counts against the member.
pub(super) async fn count_refusal(
    gateway: &Gateway,
    brake: &BrakeName,
    member: MemberGuid,
) -> Result<bool, Internal> {
    let count = CountRefusal {
        brake: brake.clone(),
        member,
        granted: gateway.granted.take(brake),
    };
    let verdict = gateway.store.count_refusal(&count, gateway.now()).await?;
    if verdict == Verdict::GoesOn {
        let refused = brake.of.name();
        tracing::error!(
            refused,
            "the institution refuses nearly everybody; from now on that is counted against nobody"
        );
    }
    let is_on = verdict != Verdict::Counts;
    show(gateway, brake, is_on);
    Ok(!is_on)
}

/// Something was granted while the brake may be on: then it is taken off.
pub(super) async fn granted(gateway: &Gateway, brake: &BrakeName) -> Result<(), Internal> {
    gateway.granted.count(brake);
    if gateway.store.braked(brake).await?.is_some() {
        release(gateway, brake, false).await?;
    }
    Ok(())
}

/// Takes a brake off; `None`: it was off. Where that is because the institution grants again, those whose refusal had
/// counted get back what they lost; how many.
pub async fn release(
    gateway: &Gateway,
    brake: &BrakeName,
    by_hand: bool,
) -> Result<Option<usize>, Internal> {
    let Some(touched) = gateway.store.braked(brake).await? else {
        return Ok(None);
    };
    let mut restored = 0;
    // Before it is off: what is cut off here is found again by whoever takes it off.
    for member in touched.into_iter().filter(|_| !by_hand) {
        let client = gateway.client(&brake.at.client)?;
        let kinds = [EventKind::MemberUpdated];
        let restore = Restore {
            member,
            changed: gateway.notices(client, &kinds, member.partition()),
        };
        restored += usize::from(gateway.store.restore(&restore, gateway.now()).await?);
    }
    let release = ReleaseBrake {
        brake: brake.clone(),
        by_hand,
    };
    if !gateway.store.release_brake(&release, gateway.now()).await? {
        return Ok(None);
    }
    show(gateway, brake, false);
    let refused = brake.of.name();
    tracing::warn!(
        refused,
        by_hand,
        restored,
        "refusals count again at the institution"
    );
    Ok(Some(restored))
}

fn show(gateway: &Gateway, brake: &BrakeName, is_on: bool) {
    let (client, institution) = (brake.at.client.as_str(), brake.at.institution.as_str());
    let labels = [client, institution, brake.of.name()];
    gateway
        .metrics
        .braked
        .set(labels, f64::from(u8::from(is_on)));
}
