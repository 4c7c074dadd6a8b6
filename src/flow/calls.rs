//! Calls to an institution that a person waits for: so many at a time, and none while the institution rests.
//!
//! An institution that does not answer keeps each of its people waiting for its whole time limit. Who comes beyond the
//! number that its file allows, or while its [circuit](super::circuits) is open, is told at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::circuits::{Circuits, Entered, Rests, Target};
use crate::domain::id::InstitutionCode;

/// The places of each institution, in this process.
#[derive(Default)]
pub struct Calls(Mutex<HashMap<InstitutionCode, Arc<Semaphore>>>);

impl Calls {
    /// Begins a call of which at most so many run at a time; its outcome is to be told by [`Call::tell`].
    ///
    /// # Errors
    ///
    /// [`NotCalled`]: the institution is not to be called now.
    pub(super) fn begin<'g>(
        &self,
        circuits: &'g Circuits,
        institution: &InstitutionCode,
        most: usize,
    ) -> Result<Call<'g>, NotCalled> {
        let place = self.place(institution, most);
        let place = place.ok_or(NotCalled::TooMany(most))?;
        let target = Target::Institution(institution.clone());
        let entered = circuits.enter(&target, Instant::now())?;
        Ok(Call {
            circuits,
            target,
            entered,
            _place: place,
        })
    }

    /// A place, if one of so many is free.
    fn place(&self, institution: &InstitutionCode, most: usize) -> Option<OwnedSemaphorePermit> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(most));
        let places = all.entry(institution.clone()).or_insert_with(new);
        places.clone().try_acquire_owned().ok()
    }
}

/// Why an institution is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotCalled {
    /// So many calls are under way. That says nothing of the institution that those will not say themselves, so it does
    /// not count as a failure of its circuit.
    #[error("not called: {0} calls to the institution are under way")]
    TooMany(usize),
    /// It failed again and again.
    #[error("not called: the institution fails again and again; {0}")]
    Rests(#[from] Rests),
}

/// A call that is under way. Dropping this gives up its place.
pub(super) struct Call<'g> {
    circuits: &'g Circuits,
    target: Target,
    entered: Entered,
    _place: OwnedSemaphorePermit,
}

impl Call<'_> {
    /// Whether the institution works, as far as this call shows.
    pub(super) fn tell(&self, works: bool) {
        match works {
            true => self.circuits.worked(&self.target),
            false => {
                let now = Instant::now();
                self.circuits.failed(&self.target, self.entered, None, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_institution_has_so_many_places_and_others_have_theirs() {
        let calls = Calls::default();
        let [bank, other] = ["bank", "other"].map(|code| code.parse().expect("a code"));
        let held: Vec<_> = (0..3).map(|_| calls.place(&bank, 3)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(calls.place(&bank, 3).is_none(), "a fourth");
        assert!(calls.place(&other, 3).is_some());
        drop(held);
        assert!(calls.place(&bank, 3).is_some());
    }
}
