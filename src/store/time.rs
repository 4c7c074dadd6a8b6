//! What time it is: what gateways of one store agree on.

use jiff::Timestamp;

use super::driver::{Backend, Store};
use super::outcome::Result;
use crate::steps::latest_time::TellTime;
use crate::steps::record::{Key, Reads, Slot};

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
        let server = self.server_time().await?;
        Ok(TimeTold { server, latest })
    }

    /// Asks what the gateways of this store say.
    pub async fn time(&self) -> Result<TimeTold> {
        let _timing = self.timed("time");
        let reads = Reads::of([Key::latest_time()]);
        let view = self.look(Slot::Store, reads).await?;
        let server = self.server_time().await?;
        let latest = view.latest_time().map(|it| it.time);
        Ok(TimeTold { server, latest })
    }

    async fn server_time(&self) -> Result<Option<Timestamp>> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(None),
            Backend::Redis(store) => store.time().await.map(Some),
        }
    }
}
