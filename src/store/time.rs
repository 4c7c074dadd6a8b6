//! What time it is: what gateways of one store agree on.

use jiff::Timestamp;

use super::driver::{Backend, Store};
use super::outcome::Result;
use crate::steps::latest_time::TellTime;

/// What the store says of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeTold {
    /// By the clock of its server; `None` where it is a file.
    pub server: Option<Timestamp>,
    /// By the gateway that told it last; `None`: none ever did.
    pub latest: Option<Timestamp>,
}

impl Store {
    /// Tells the store what time a gateway is at, and asks what others say.
    pub async fn tell_time(&self, now: Timestamp) -> Result<TimeTold> {
        let _timing = self.timed("tell_time");
        let latest = self.step(&TellTime, now).await?;
        let server = match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Redis(store) => Some(store.time().await?),
        };
        Ok(TimeTold { server, latest })
    }
}
