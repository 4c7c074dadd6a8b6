//! What happens when more people come at once than the gateway can serve: those who have a link go on, new links
//! are refused for a while, and afterwards all is as before.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::gateway::{self, Gateway, Process, Wanted};
use super::generator::{self, LEGS, Load, Seen};
use super::rounds::SPREAD;

/// What is to be measured.
pub struct Plan {
    pub gateway: PathBuf,
    pub people: usize,
    pub flows: usize,
    pub users: usize,
    pub only: String,
}

/// How many flows each of those people goes through.
const FLOWS_EACH: usize = 10;

/// Measures both stores and prints the table.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let people = plan.people;
    println!(
        "{people} people at once, {FLOWS_EACH} flows each; before and after, {} flows of {} at once.\n",
        plan.flows, plan.users
    );
    println!("| | flows/s | links refused | {} |", LEGS.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(LEGS.len()));
    for store in ["sqlite", "redis"] {
        if store.contains(&plan.only) {
            measure(plan, store).await.context(store)?;
        }
    }
    Ok(())
}

async fn measure(plan: &Plan, store: &str) -> anyhow::Result<()> {
    let people = plan.people;
    let folder = tempfile::tempdir_in("target")?;
    let (_bank_process, bank) = Process::helper(&["authorization-server", "0"])?;
    let redis = match store {
        "redis" => Some(gateway::redis(folder.path(), true).await?),
        _ => None,
    };
    let address = redis.as_ref().map(|(_, address)| address.as_str());
    let gateway = Gateway::start(&Wanted {
        program: &plan
            .gateway
            .canonicalize()
            .context("build the gateway first")?,
        folder: folder.path(),
        store: address.unwrap_or("sqlite:guichet.sqlite"),
        bank,
        authorization: None,
        sink: None,
    })
    .await?;
    gateway.create_users(SPREAD).await?;
    let usual = Load {
        gateways: vec![gateway.address],
        bank,
        authorization: gateway.authorization.clone(),
        spread: SPREAD,
        people: plan.users,
        first: 0,
        flows: plan.flows,
    };
    let crowd = Load {
        people,
        flows: people * FLOWS_EACH,
        ..usual.clone()
    };
    generator::run(&usual).await?;
    row(&format!("{store}, before"), generator::run(&usual).await?)?;
    row(
        &format!("{store}, {people} people"),
        generator::run(&crowd).await?,
    )?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    row(
        &format!("{store}, a second later"),
        generator::run(&usual).await?,
    )
}

/// p50 and p99 of what was accepted.
fn row(name: &str, mut seen: Seen) -> anyhow::Result<()> {
    ensure!(
        seen.failures.is_empty(),
        "flows failed: {:?}",
        seen.failures
    );
    let rate = seen.completed as f64 / seen.took.as_secs_f64();
    let legs = seen.percentiles().map(|[p50, _, p99]| {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        format!("{:.1} / {:.1}", millis(p50), millis(p99))
    });
    println!(
        "| {name} | {rate:.0} | {} | {} |",
        seen.refused,
        legs.join(" | ")
    );
    Ok(())
}
