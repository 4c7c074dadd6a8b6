//! The integration tests, in one binary: real sockets, real stores, a real browser, and
//! doubles that stand for the institution and for the receiver of webhooks.

/// Runs each test on both stores.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::gateway::Backend::Sqlite).await;
            }
        )*}
        mod redis {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::gateway::Backend::Redis).await;
            }
        )*}
    };
}
pub(crate) use on_both_stores;

mod abandoned;
mod aggregate;
mod api;
mod authorization;
mod authorization_responses;
mod background;
mod bad_input;
mod bounds;
mod callback;
mod canary;
mod chains;
mod claim;
mod cli;
mod client_keys;
mod clocks;
mod confirm;
mod connect;
mod connections;
mod consents;
mod crash;
mod deadlines;
mod dependencies;
mod docs;
mod doubles;
mod duplicates;
mod e2e;
mod echo;
mod exchange;
mod failovers;
mod hostile;
mod interop;
mod layers;
mod lifetimes;
mod links_buttons;
mod links_mint;
mod links_multi;
mod links_open;
mod log_lines;
mod log_secrets;
mod log_table;
mod maintenance;
mod metrics;
mod mint_returns;
mod model;
mod navigations;
mod odd_banks;
mod openid;
mod outgoing;
mod outgoing_calls;
mod overload;
mod pages_served;
mod published;
mod races;
mod readiness;
mod readme;
mod references;
mod refresh;
mod reliability;
mod reports;
mod retry;
mod returns;
mod revocation;
mod rolling_restart;
mod rotation;
mod schemathesis;
mod sdk;
mod shared_headers;
mod signed_responses;
mod sqlite_file;
mod sqlite_steps;
mod standard;
mod store_contract;
mod strict_requests;
mod support;
mod swaps;
mod trips;
mod typed;
mod unbound;
mod unproven;
mod waiting;
mod watch;
mod webhooks;
mod widget;
