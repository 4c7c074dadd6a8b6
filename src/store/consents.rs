//! Consents: what is told of their end.

use jiff::Timestamp;

use super::driver::Store;
use super::outcome::{Found, Result};
use crate::domain::id::MemberGuid;
use crate::steps::consent::{ConsentTold, TellConsent};
use crate::steps::record::{Consent, Record};

impl Store {
    /// Tells what is due of a consent.
    pub async fn tell_consent(&self, tell: &TellConsent, now: Timestamp) -> Result<ConsentTold> {
        let _timing = self.timed("tell_consent");
        self.step(tell, now).await
    }

    /// The consents that are wanted, those that end first at the front: at most `limit` of them. Looks at every one.
    pub async fn consents(
        &self,
        limit: usize,
        is_wanted: impl Fn(&Consent) -> bool,
    ) -> Result<Vec<(MemberGuid, Consent)>> {
        let _timing = self.timed("consents");
        let mut found: Vec<(MemberGuid, Consent)> = Vec::new();
        let see = async |batch: Vec<Found>| {
            for Found { key, record, .. } in batch {
                let member = key.id_of('q').map(MemberGuid::from_compact);
                if let (Some(Ok(member)), Some(Record::Consent(consent))) = (member, record)
                    && is_wanted(&consent)
                {
                    found.push((member, consent));
                }
            }
            Ok(())
        };
        self.each_batch(&['q'], see).await?;
        found.sort_by_key(|(member, consent)| (consent.ends_at, *member));
        found.truncate(limit);
        Ok(found)
    }
}
