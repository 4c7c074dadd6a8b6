//! What operators say of institutions.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::outcome::Result;
use crate::domain::id::InstitutionCode;
use crate::domain::maintenance::Maintenance;
use crate::steps::SetMaintenance;
use crate::steps::record::{Key, Reads, Slot};

impl Store {
    /// The institutions that are not used for now, as operators say; what is over may be among it.
    pub async fn maintenances(&self) -> Result<BTreeMap<InstitutionCode, Maintenance>> {
        let _timing = self.timed("maintenances");
        let reads = Reads::of([Key::maintenances()]);
        let view = self.look(Slot::Store, reads).await?;
        let said = view.maintenances().cloned();
        Ok(said.unwrap_or_default().of)
    }

    /// Says that an institution is not used for now, or is again. Returns what was said of it before.
    pub async fn set_maintenance(
        &self,
        set: &SetMaintenance,
        now: Timestamp,
    ) -> Result<Option<Maintenance>> {
        let _timing = self.timed("set_maintenance");
        self.step_with(Care::Irreplaceable, set, now).await
    }
}
