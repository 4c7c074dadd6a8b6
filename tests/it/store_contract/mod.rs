//! What [`Store`] promises.
//!
//! What a step decides is decided once, in `guichet::steps`, and asked of one backend. What a backend does is
//! asked of each: reading and writing all or nothing, lists, what is due, names, races, what is forgotten.
//!
//! Each group of tests is a file; a test is written once, for a [`Bench`], and
//! `on_each_store!` runs it on every backend. Time is made up: nothing here waits for a clock.

/// Makes a test of each named function, for one backend.
macro_rules! on_store {
    ($backend:ident: $($test:ident),*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::store_contract::Bench::$backend().await).await;
                }
            )*
        }
    };
}

/// Makes a test of each named function, for each backend.
macro_rules! on_each_store {
    ($($test:ident),* $(,)?) => {
        on_store!(sqlite: $($test),*);
        on_store!(redis: $($test),*);
        on_store!(cluster: $($test),*);
    };
}

/// Makes a test of each named function, for one backend: what it asks is decided by a step, which both take.
macro_rules! on_one_store {
    ($($test:ident),* $(,)?) => {
        on_store!(sqlite: $($test),*);
    };
}

mod callbacks;
mod challenges;
mod changes;
mod completions;
mod deletions;
mod duplicates;
mod durability;
pub mod duties;
mod events;
pub mod fixtures;
mod idempotency;
mod jobs;
mod member_machine;
mod members;
mod openings;
mod orders;
mod outcomes;
mod races;
mod redis;
mod reported_statuses;
mod retries;
mod sealed;
mod sessions;
mod soft_deletions;
mod timeline;
mod users;
mod window_machine;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fixtures::Chance;
use guichet::steps::record::Key;
use guichet::store::sqlite::SqliteStore;
use guichet::store::{Retention, Store};
use rusqlite::Connection;

/// How long the tests' stores keep what has ended.
pub const RETENTION: Retention = Retention {
    finished: Duration::from_secs(30 * 24 * 60 * 60),
    delivered: Duration::from_secs(24 * 60 * 60),
};

/// Opens a bench's store, every time on the same content.
type Open = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Store> + Send>> + Send + Sync>;

/// Writes what nobody can read in the place of the record of that key.
type Spoil = Box<dyn Fn(&Key) + Send + Sync>;

/// An empty store of one backend, and the randomness for what is put into it.
pub struct Bench {
    /// The store, shared by racing tasks.
    pub store: Arc<Store>,
    /// Where names and secrets come from.
    pub chance: Chance,
    open: Open,
    spoil: Spoil,
}

impl Bench {
    async fn of(open: Open, spoil: Spoil) -> Self {
        Self {
            store: Arc::new(open().await),
            chance: Chance::default(),
            open,
            spoil,
        }
    }

    /// Makes the record of that key unreadable, so that whatever reads it fails.
    pub fn spoil(&self, key: &Key) {
        (self.spoil)(key);
    }

    /// A bench on a file of its own, removed with the bench.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kept = folder.path().join("store.sqlite");
        let open = move || {
            let store = open_sqlite(&folder.path().join("store.sqlite"));
            Box::pin(async { store }) as _
        };
        Self::of(Box::new(open), spoil_in(kept)).await
    }

    /// A bench on that file.
    pub async fn sqlite_at(path: PathBuf) -> Self {
        let kept = path.clone();
        let open = move || {
            let store = open_sqlite(&path);
            Box::pin(async { store }) as _
        };
        Self::of(Box::new(open), spoil_in(kept)).await
    }

    /// Lets the store go and opens it again.
    async fn reopen(self) -> Self {
        let Self {
            store,
            chance,
            open,
            spoil,
        } = self;
        let store = Arc::into_inner(store).expect("nobody else holds the store");
        drop(store);
        Self {
            store: Arc::new(open().await),
            chance,
            open,
            spoil,
        }
    }
}

fn spoil_in(path: PathBuf) -> Spoil {
    Box::new(move |key| {
        let database = Connection::open(&path).expect("it opens");
        let spoil = "UPDATE records SET value = '{' WHERE key = ?";
        let spoilt = database.execute(spoil, [key.as_str()]);
        assert_eq!(spoilt.expect("written"), 1, "{key:?}");
    })
}

fn open_sqlite(path: &Path) -> Store {
    SqliteStore::open(path, RETENTION)
        .expect("the file opens")
        .into()
}
