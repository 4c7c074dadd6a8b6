//! What a process knows by itself: gone with it, and of no consequence then.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::{InstitutionCode, MemberGuid};
use crate::domain::maintenance::Maintenance;
use crate::store::BrakeName;

/// The members whose token sets are being refreshed by this process. Beside the fence in the store, which depends on
/// clocks, this one does not.
#[derive(Default)]
pub struct Refreshing(Mutex<HashSet<MemberGuid>>);

/// A refresh of this process. Dropping this ends it.
pub(super) struct Alone<'a> {
    all: &'a Refreshing,
    member: MemberGuid,
}

impl Refreshing {
    /// Begins one, unless there is one of that member.
    pub(super) fn begin(&self, member: MemberGuid) -> Option<Alone<'_>> {
        let is_first = self.all().insert(member);
        is_first.then(|| Alone { all: self, member })
    }

    fn all(&self) -> MutexGuard<'_, HashSet<MemberGuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.all.all().remove(&self.member);
    }
}

/// How many of the newest grants are remembered: more than a brake lets pass.
const MOST: usize = 32;

/// For how long they matter.
const WITHIN: Duration = Duration::from_secs(10 * 60);

/// What was granted since the last refusal, for each brake: what it needs to know, at no cost while nothing is refused.
#[derive(Default)]
pub struct Granted(Mutex<HashMap<BrakeName, VecDeque<Instant>>>);

impl Granted {
    /// Something was granted.
    pub(super) fn count(&self, brake: &BrakeName) {
        let mut all = self.all();
        let granted = all.entry(brake.clone()).or_default();
        if granted.len() == MOST {
            granted.pop_front();
        }
        granted.push_back(Instant::now());
    }

    /// How much was granted in the last minutes, and since this was asked last.
    pub(super) fn take(&self, brake: &BrakeName) -> u32 {
        let granted = self.all().remove(brake).unwrap_or_default();
        let recent = granted.iter().filter(|at| at.elapsed() < WITHIN);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<BrakeName, VecDeque<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Institutions that were said to have no way to give tokens back.
#[derive(Default)]
pub struct WithoutEndpoint(Mutex<HashSet<InstitutionCode>>);

impl WithoutEndpoint {
    /// Whether it is said for the first time.
    pub(super) fn is_news(&self, institution: &InstitutionCode) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(institution.clone())
    }
}

/// What operators said of institutions when it was last looked at.
#[derive(Default)]
pub struct Announced(RwLock<Arc<BTreeMap<InstitutionCode, Maintenance>>>);

impl Announced {
    /// What they said.
    pub fn seen(&self) -> Arc<BTreeMap<InstitutionCode, Maintenance>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// It was looked at again.
    pub fn see(&self, said: BTreeMap<InstitutionCode, Maintenance>) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if **seen != said {
            *seen = Arc::new(said);
        }
    }
}
