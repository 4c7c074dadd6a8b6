//! Refreshes, the brake on them, and what is given back.

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::outcome::Result;
use crate::domain::id::{JobGuid, MemberGuid, UserGuid};
use crate::domain::job::Job;
use crate::steps::record::{AccessRecord, Key, Reads, Slot};
use crate::steps::{
    AskBrake, BeginRefresh, Begun, BrakeName, Braked, CountRefusal, Freeze, Frozen, GiveBack,
    OtherLogin, PushAgain, Rebind, ReleaseBrake, Restore, SettleRefresh, Settled, Thaw, Verdict,
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

    /// Tokens that a refresh brought are of another person: they are lent no more; see
    /// [`steps::other_login`](crate::steps::other_login). `false`: others took their place.
    pub async fn impair_other_login(&self, other: &OtherLogin, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("impair_other_login");
        self.step_with(Care::Irreplaceable, other, now).await
    }

    /// Whether refreshes may be made; see [`steps::brake`](crate::steps::brake).
    pub async fn ask_brake(&self, brake: &BrakeName, now: Timestamp) -> Result<Braked> {
        let _timing = self.timed("ask_brake");
        let brake = brake.clone();
        self.step(&AskBrake { brake }, now).await
    }

    /// Those whose refusal counted before the brake went on; `None`: it is off.
    pub async fn braked(&self, brake: &BrakeName) -> Result<Option<Vec<MemberGuid>>> {
        let _timing = self.timed("braked");
        let (slot, reads) = brake.reads();
        let view = self.look(slot, reads).await?;
        let found = brake.found(&view).filter(|it| it.on_since.is_some());
        Ok(found.map(|it| it.refusals.iter().map(|refusal| refusal.member).collect()))
    }

    /// Counts a refusal; what it means.
    pub async fn count_refusal(&self, count: &CountRefusal, now: Timestamp) -> Result<Verdict> {
        let _timing = self.timed("count_refusal");
        self.step_with(Care::Irreplaceable, count, now).await
    }

    /// Takes a brake off; `false`: it was off.
    pub async fn release_brake(&self, release: &ReleaseBrake, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("release_brake");
        self.step_with(Care::Irreplaceable, release, now).await
    }

    /// Gives back to a member what it lost because its institution refused everybody; `false`: nothing.
    pub async fn restore(&self, restore: &Restore, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("restore");
        self.step_with(Care::Irreplaceable, restore, now).await
    }

    /// Owes the revocation of tokens that no member has.
    pub async fn owe_revocation(&self, owed: &GiveBack, now: Timestamp) -> Result<()> {
        let _timing = self.timed("owe_revocation");
        self.step_with(Care::Irreplaceable, owed, now).await
    }

    /// Sees to it that a token set of an earlier certificate is refreshed soon; see
    /// [`steps::rebind`](crate::steps::rebind). Whether anything changed.
    pub async fn rebind(&self, rebind: &Rebind, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("rebind");
        self.step(rebind, now).await
    }

    /// Freezes a member's token set; see [`steps::freeze`](crate::steps::freeze).
    pub async fn freeze(&self, member: MemberGuid, now: Timestamp) -> Result<Frozen> {
        let _timing = self.timed("freeze");
        self.step_with(Care::Leaving, &Freeze { member }, now).await
    }

    /// Lets a member's token set be refreshed again; `false`: it was not frozen.
    pub async fn thaw(&self, member: MemberGuid, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("thaw");
        self.step(&Thaw { member }, now).await
    }

    /// What these members of one user are pulled with, in the same order; `None`: one has nothing.
    pub async fn access(
        &self,
        user: UserGuid,
        members: &[MemberGuid],
    ) -> Result<Vec<Option<AccessRecord>>> {
        let _timing = self.timed("access");
        let keys: Vec<Key> = members.iter().copied().map(Key::access).collect();
        let slot = Slot::Partition(user.partition());
        let view = self.look(slot, Reads::of(keys)).await?;
        Ok(members.iter().map(|it| view.access(*it).cloned()).collect())
    }

    /// A job is pushed once more, with a new access token. `None`: it has ended, or was pushed again for this before.
    pub async fn push_again(&self, job: JobGuid, now: Timestamp) -> Result<Option<Job>> {
        let _timing = self.timed("push_again");
        let again = PushAgain { job };
        self.step_with(Care::Irreplaceable, &again, now).await
    }
}
