//! Maintenance: an institution that is not used for now. New links are refused, people who follow one get a page, and
//! what needs the institution waits without using up tries.
//!
//! - What an operator says at run time counts before what its file says, and that before its circuit: an institution
//!   whose token endpoint rests is not available.
//! - What operators say is in the store. Each process looks at it once a second, so a request reads it from memory.

use std::time::Duration;

use tokio::time::Instant;

use super::circuits::{Rests, Target};
use super::{Gateway, Internal};
use crate::domain::id::InstitutionCode;
use crate::domain::maintenance::{Maintenance, MaintenanceStatus};
use crate::domain::random;
use jiff::Timestamp;

/// After how long a job is looked at again whose institution is not used for now: at least, and how much more at most.
const AGAIN: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(60)];

/// A link that leads nowhere for now, or a new one that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.sentence())]
pub struct Closed(pub Box<ClosedInstitution>);

/// An institution that is not used for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedInstitution {
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub maintenance: Maintenance,
    /// In how many seconds it may be asked for again.
    pub again_s: u64,
}

impl ClosedInstitution {
    fn sentence(&self) -> String {
        let Maintenance {
            status,
            until,
            text,
        } = &self.maintenance;
        let text = text.as_ref().map(|text| format!(" {}", text.as_str()));
        let when = match until {
            Some(until) => format!("after {}", crate::domain::iso8601(*until)),
            None => "later".to_owned(),
        };
        format!(
            "{} is {} for now.{} Send the request again {when}",
            self.name,
            status.words(),
            text.unwrap_or_default(),
        )
    }
}

impl Closed {
    /// An institution of which nothing is said any more.
    pub(super) fn just_now(gateway: &Gateway, institution: &InstitutionCode) -> Self {
        Self::of(gateway, institution, Maintenance::default())
    }

    fn of(gateway: &Gateway, institution: &InstitutionCode, said: Maintenance) -> Self {
        let configured = gateway.institutions.get(institution);
        let left = said
            .until
            .map(|until| until.duration_since(gateway.now()).as_secs());
        let again_s = left.map_or(AGAIN[1].as_secs(), |left| left.max(1).unsigned_abs());
        Self(Box::new(ClosedInstitution {
            name: configured.map_or_else(|| institution.to_string(), |it| it.name.clone()),
            maintenance: said,
            again_s,
        }))
    }
}

/// Looks at what operators say.
pub async fn look(gateway: &Gateway) -> Result<(), Internal> {
    let said = gateway.store.maintenances().await?;
    gateway.announced.see(said);
    Ok(())
}

/// What an operator or the institution's file says of it, if it is not used for now.
fn announced(gateway: &Gateway, institution: &InstitutionCode) -> Option<Maintenance> {
    let now = gateway.now();
    let seen = gateway.announced.seen();
    let by_operator = seen.get(institution).filter(|it| it.is_on(now));
    let configured = gateway.institutions.get(institution);
    let by_file = || configured?.maintenance.as_ref().filter(|it| it.is_on(now));
    by_operator.or_else(by_file).cloned()
}

/// Whether an operator or the institution's file says that it is not used for now.
pub(super) fn is_announced(gateway: &Gateway, institution: &InstitutionCode) -> bool {
    announced(gateway, institution).is_some()
}

/// The institution, if it is not used for now.
pub(super) fn closed(gateway: &Gateway, institution: &InstitutionCode) -> Option<Closed> {
    let target = Target::Institution(institution.clone());
    let by_circuit = || {
        let Rests(rest) = gateway.circuits.rest(&target, Instant::now())?;
        Some(Maintenance {
            status: MaintenanceStatus::Unavailable,
            until: Some(gateway.now() + rest),
            text: None,
        })
    };
    let said = announced(gateway, institution).or_else(by_circuit)?;
    Some(Closed::of(gateway, institution, said))
}

/// Every institution that is not used for now.
pub(super) fn all_closed(gateway: &Gateway) -> Vec<InstitutionCode> {
    let mut closed = gateway.circuits.resting_institutions(Instant::now());
    let seen = gateway.announced.seen();
    let by_file = gateway.institutions.in_maintenance();
    let named = seen.keys().chain(by_file.iter().map(|it| &it.code));
    closed.extend(named.filter(|code| is_announced(gateway, code)).cloned());
    closed
}

/// When to look again at something whose institution is not used for now; `None`: it is used. Any moment of a minute,
/// so that not everything comes at once when it is over.
pub(super) fn again_at(gateway: &Gateway, institution: &InstitutionCode) -> Option<Timestamp> {
    closed(gateway, institution)?;
    let chance: [u8; 4] = random::bytes(gateway.random.as_ref());
    let chance = f64::from(u32::from_le_bytes(chance)) / f64::from(u32::MAX);
    let more = (AGAIN[1] - AGAIN[0]).mul_f64(chance).as_millis();
    let more = Duration::from_millis(u64::try_from(more).unwrap_or_default());
    Some(gateway.now() + AGAIN[0] + more)
}
