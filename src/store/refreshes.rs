//! Refreshes, the brake on them, and what is given back.

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::outcome::Result;
use crate::domain::id::{JobGuid, MemberGuid};
use crate::domain::job::Job;
use crate::steps::record::Reads;
use crate::steps::{
    AskBrake, AtInstitution, BeginRefresh, Begun, Braked, CountRefusal, GiveBack, PushAgain,
    ReleaseBrake, Restore, SettleRefresh, Settled, Verdict,
};

impl Store {
    /// Writes down that a refresh begins, before the institution is called; see
    /// [`steps::refresh`](crate::steps::refresh).
    pub async fn begin_refresh(&self, begin: &BeginRefresh, now: Timestamp) -> Result<Begun> {
        let _timing = self.timed("begin_refresh");
        self.step_with(Care::Leaving, begin, now).await
    }

    /// Records the outcome of a refresh.
    pub async fn settle_refresh(&self, settle: &SettleRefresh, now: Timestamp) -> Result<Settled> {
        let _timing = self.timed("settle_refresh");
        self.step_with(Care::Irreplaceable, settle, now).await
    }

    /// Whether a registration's refreshes may be made; see [`steps::brake`](crate::steps::brake).
    pub async fn ask_brake(&self, at: &AtInstitution, now: Timestamp) -> Result<Braked> {
        let _timing = self.timed("ask_brake");
        let ask = AskBrake { at: at.clone() };
        self.step_that_seldom_writes(&ask, now).await
    }

    /// Since when the brake of a registration is on; `None`: it is off.
    pub async fn brake(&self, at: &AtInstitution) -> Result<Option<Timestamp>> {
        let _timing = self.timed("brake");
        let (slot, key) = at.reads();
        let view = self.look(slot, Reads::of([key])).await?;
        let brake = view.brake(&at.client, &at.institution);
        Ok(brake.and_then(|brake| brake.on_since))
    }

    /// Counts a refusal; what it means.
    pub async fn count_refusal(&self, count: &CountRefusal, now: Timestamp) -> Result<Verdict> {
        let _timing = self.timed("count_refusal");
        self.step_with(Care::Irreplaceable, count, now).await
    }

    /// Takes a brake off. Returns those whose refusal had counted before it went on, if it was on.
    pub async fn release_brake(
        &self,
        release: &ReleaseBrake,
        now: Timestamp,
    ) -> Result<Option<Vec<MemberGuid>>> {
        let _timing = self.timed("release_brake");
        self.step_with(Care::Irreplaceable, release, now).await
    }

    /// A refused token set is tried once more, at once; `false`: there is none.
    pub async fn restore(&self, member: MemberGuid, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("restore");
        let restore = Restore { member };
        self.step_with(Care::Irreplaceable, &restore, now).await
    }

    /// Owes the revocation of tokens that no member has.
    pub async fn owe_revocation(&self, owed: &GiveBack, now: Timestamp) -> Result<()> {
        let _timing = self.timed("owe_revocation");
        self.step_with(Care::Irreplaceable, owed, now).await
    }

    /// A job is pushed once more, with a new access token. `None`: it has ended, or was pushed again for this before.
    pub async fn push_again(&self, job: JobGuid, now: Timestamp) -> Result<Option<Job>> {
        let _timing = self.timed("push_again");
        let again = PushAgain { job };
        self.step_with(Care::Irreplaceable, &again, now).await
    }
}
