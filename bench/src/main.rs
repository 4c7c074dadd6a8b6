//! What a whole flow costs, beside the least it could cost.
//!
//! ```text
//! scripts/bench [--rounds 3] [--flows 3000] [--users 32]
//! scripts/bench growth [--members 1000000] [--links 1000000]
//! ```
//!
//! The second one measures what a full store costs, beside an empty one ([`growth`]). The first one:
//!
//! Every row of the table is a gateway of its own process, started fresh on an empty store:
//!
//! - `floor`: the least a gateway on axum and Redis can do for a whole flow ([`floor`]);
//! - `sqlite`, `redis`: Guichet, with nothing told and nothing aggregated;
//! - `sqlite, all on`, `redis, all on`: with a webhook endpoint for every kind of event, and an
//!   aggregator.
//!
//! The rows are measured in turn, round by round, so that a machine that slows down slows all of them.
//! Each figure of the table is the median of the rounds. CPU is the user and system time of the gateway's
//! process, divided by the flows that were completed: the one figure that hardly depends on what else the
//! machine does. Generator, bank and gateway share the machine, so flows per second are no capacity.

mod authorization_server;
mod fill;
mod floor;
mod gateway;
mod generator;
mod growth;
mod growth_tables;
mod overload;
mod rounds;
mod serve;
mod sink;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures Guichet beside the floor.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The gateway to measure.
    #[arg(long, default_value = "target/release/guichet", global = true)]
    gateway: PathBuf,
    /// How often every row is measured.
    #[arg(long, default_value_t = 3, global = true)]
    rounds: usize,
    /// Flows of one measurement.
    #[arg(long, default_value_t = 3000, global = true)]
    flows: usize,
    /// People who are under way at once.
    #[arg(long, default_value_t = 32, global = true)]
    users: usize,
    /// Only rows whose name contains this.
    #[arg(long, default_value = "", global = true)]
    only: String,
}

/// What a process of this program is. Without one it measures, and starts the others.
#[derive(Subcommand)]
enum Role {
    /// Measures a full store beside an empty one.
    Growth {
        /// Connected members of the full one.
        #[arg(long, default_value_t = 1_000_000)]
        members: usize,
        /// Its pending links, each of a member of its own.
        #[arg(long, default_value_t = 1_000_000)]
        links: usize,
        /// Links whose deadline passes at once.
        #[arg(long, default_value_t = 100_000)]
        overdue: usize,
        /// A folder where filled stores are kept, so that they are filled once.
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Measures what happens when more people come at once than can be served, and before and after that.
    Overload {
        /// How many.
        #[arg(long, default_value_t = 2000)]
        people: usize,
    },
    /// The bank: an authorization server that agrees at once.
    AuthorizationServer {
        /// How long its token endpoint takes, in milliseconds.
        delay: u64,
    },
    /// The least that a gateway can do.
    Floor {
        /// Its Redis.
        redis: String,
        /// The bank.
        bank: SocketAddr,
    },
    /// A receiver of webhooks and jobs that takes all of them.
    Sink,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::AuthorizationServer { delay }) => authorization_server::run(delay).await,
        Some(Role::Floor { redis, bank }) => floor::run(&redis, bank).await,
        Some(Role::Sink) => sink::run().await,
        Some(Role::Overload { people }) => {
            let plan = overload::Plan {
                gateway: arguments.gateway,
                people,
                flows: arguments.flows,
                users: arguments.users,
                only: arguments.only,
            };
            overload::run(&plan).await
        }
        Some(Role::Growth {
            members,
            links,
            overdue,
            keep,
        }) => {
            let plan = growth::Plan {
                gateway: arguments.gateway,
                members,
                links,
                rounds: arguments.rounds,
                flows: arguments.flows,
                people: arguments.users,
                overdue,
                only: arguments.only,
                keep,
            };
            growth::run(&plan).await
        }
        None => {
            let plan = rounds::Plan {
                gateway: arguments.gateway,
                rounds: arguments.rounds,
                flows: arguments.flows,
                users: arguments.users,
                only: arguments.only,
            };
            rounds::run(&plan).await
        }
    }
}
