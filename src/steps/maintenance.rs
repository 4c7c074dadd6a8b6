//! What operators say of institutions that are not used for now, in one record for the whole store.
//!
//! - What is over is forgotten with the next change.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::InstitutionCode;
use crate::domain::maintenance::Maintenance;

/// An operator says that an institution is not used for now, or that it is again.
#[derive(Clone, Debug)]
pub struct SetMaintenance {
    /// Which.
    pub institution: InstitutionCode,
    /// What is said of it; `None`: it is used again.
    pub maintenance: Option<Maintenance>,
}

impl Step for SetMaintenance {
    /// What was said before, if it was still so.
    type Outcome = Option<Maintenance>;

    fn slot(&self) -> Slot {
        Slot::Store
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::maintenances()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Maintenance>, Changes) {
        let before = view.maintenances().cloned().unwrap_or_default();
        let mut said = before.clone();
        said.of.retain(|_, maintenance| maintenance.is_on(now));
        let was = said.of.remove(&self.institution);
        if let Some(maintenance) = &self.maintenance {
            said.of
                .insert(self.institution.clone(), maintenance.clone());
        }
        if said == before {
            return unchanged(was);
        }
        let mut changes = Changes::default();
        match said.of.is_empty() {
            true => changes.delete(Key::maintenances()),
            false => changes.put(Key::maintenances(), said),
        }
        (was, changes)
    }
}
