//! What time it is: what gateways of one store agree on.

use jiff::Timestamp;

use super::driver::{Backend, Store};
use super::outcome::Result;
use crate::steps::latest_time::{TellTime, TimeTold};
use crate::steps::record::{Key, Reads, Slot};

impl Store {
    /// Tells the store what time a gateway is at.
    pub async fn tell_time(&self, told: TimeTold) -> Result<()> {
        let _timing = self.timed("tell_time");
        self.step(&TellTime(told), told.time).await
    }

    /// Asks what time it is by the clock of the store's server (`None`: it is a file), and what was told last.
    pub async fn time(&self) -> Result<(Option<Timestamp>, Option<TimeTold>)> {
        let _timing = self.timed("time");
        let reads = Reads::of([Key::latest_time()]);
        let view = self.look(Slot::Store, reads).await?;
        let told = view.latest_time().map(|it| TimeTold {
            time: it.time,
            right: it.right,
        });
        let server = match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Redis(store) => Some(store.time().await?),
        };
        Ok((server, told))
    }
}
