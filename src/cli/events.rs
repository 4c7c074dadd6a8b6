//! `guichet events`: the events that were told to clients, or could not be.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::Timestamp;

use crate::app;
use crate::config::{Config, Environment};
use crate::domain::id::{ClientId, EventGuid, MemberGuid};
use crate::printable::printable;
use crate::steps::record::{DeliveryTry, KeptEvent};
use crate::store::{EventQuery, Replayed};
use crate::webhook::{Delivery, Message};

/// How many events are listed or sent again at a time, unless more are asked for.
const USUALLY: usize = 100;

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
    /// The configuration file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Which {
    /// Of this client.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<ClientId>,
    /// About this member.
    #[arg(long, value_name = "MBR-…")]
    member: Option<MemberGuid>,
    /// That happened at this time or later, such as 2026-03-01T09:30:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// That happened before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// That nobody took, and that are not tried again.
    #[arg(long)]
    dead: bool,
    /// At most so many, the newest.
    #[arg(long, value_name = "COUNT", default_value_t = USUALLY)]
    limit: usize,
}

#[derive(Subcommand)]
enum Command {
    /// List events: those on their way, those of the last day that were delivered, and those that nobody took.
    List(Which),
    /// Show one event: what it says, and every try to deliver it.
    Show {
        /// Its guid: the header `webhook-id` of its deliveries.
        #[arg(value_name = "EVT-…")]
        event: EventGuid,
    },
    /// Send events again, with the same guid and the same body. Name them, or say which.
    Replay {
        /// Their guids.
        #[arg(value_name = "EVT-…")]
        events: Vec<EventGuid>,
        #[command(flatten)]
        which: Which,
    },
    /// Send a test event to every endpoint of a client, once, and say what it answers.
    Test {
        /// The client.
        #[arg(long, value_name = "CLIENT_ID")]
        client: ClientId,
    },
}

impl Which {
    fn query(&self) -> EventQuery {
        EventQuery {
            client: self.client.clone(),
            member: self.member,
            since: self.since,
            until: self.until,
            is_dead: self.dead,
        }
    }

    fn is_anything(&self) -> bool {
        self.client.is_some()
            || self.member.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.dead
    }
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let file = options
        .config
        .context("--config is missing: name the configuration file")?;
    let (config, _) = Config::load(Some(&file), &Environment::of_process()?)?;
    if let Command::Test { client } = &options.command {
        return test(&config, client).await;
    }
    let (store, _) = app::open_store(&config).await?;
    let now = app::now(&store).await?;
    match options.command {
        Command::Test { .. } => {}
        Command::List(which) => {
            for (guid, event) in store.events(&which.query(), which.limit).await? {
                println!("{}", line(guid, &event));
            }
        }
        Command::Show { event: guid } => {
            let event = store.event(guid).await?;
            let event = event.with_context(|| format!("there is no event {guid} (any more)"))?;
            show(guid, &event);
        }
        Command::Replay { events, which } => {
            let events = match (events.is_empty(), which.is_anything()) {
                (false, false) => events,
                (true, true) => {
                    let found = store.events(&which.query(), which.limit).await?;
                    found.into_iter().map(|(guid, _)| guid).collect()
                }
                (false, true) => bail!(
                    "name events, or say which with --client, --member, --since, --until or --dead; not both"
                ),
                (true, false) => bail!(
                    "name events, or say which with --client, --member, --since, --until or --dead"
                ),
            };
            let mut replayed = 0;
            for guid in events {
                match store.replay_event(guid, now).await? {
                    Replayed::Owed => replayed += 1,
                    Replayed::Waiting => println!("{guid} is on its way already"),
                    Replayed::Unknown => println!("{guid} is not there (any more)"),
                }
            }
            println!("{replayed} sent again");
        }
    }
    Ok(())
}

/// Sends a test event to every endpoint of a client.
async fn test(config: &Config, client: &ClientId) -> anyhow::Result<()> {
    let found = config.clients.iter().find(|it| it.id == *client);
    let found = found.with_context(|| {
        let known: Vec<&str> = config.clients.iter().map(|it| it.id.as_str()).collect();
        let known = known.join(", ");
        format!("there is no client {client} in the configuration; it has: {known}")
    })?;
    if found.webhooks.is_empty() {
        bail!("{client} has no [[clients.webhooks]]: nothing is told to it");
    }
    let webhooks = app::webhooks(config)?;
    let sources = app::Sources::real();
    let mut failed = 0;
    for endpoint in &found.webhooks {
        let message = Message::test(sources.random.as_ref());
        let answered = webhooks
            .deliver(endpoint, &message, sources.clocks.of_day())
            .await;
        let is_taken = answered.delivery == Delivery::Delivered;
        failed += usize::from(!is_taken);
        let url = printable(endpoint.url.as_str(), 200);
        let status = answered
            .status
            .map_or("no response".to_owned(), |it| it.to_string());
        let verdict = if is_taken { "taken" } else { "not taken" };
        println!("{url}: {verdict}, {status} {}", answered.text);
    }
    if failed > 0 {
        bail!(
            "{failed} of {} endpoints did not take it",
            found.webhooks.len()
        );
    }
    Ok(())
}

fn state(event: &KeptEvent) -> String {
    match (event.delivered_at, event.dead_at) {
        (Some(at), _) => format!("delivered {at}"),
        (_, Some(at)) => format!("dead {at}"),
        (None, None) => format!("due {}", event.due_at),
    }
}

fn line(guid: EventGuid, event: &KeptEvent) -> String {
    let (kind, member) = (event.kind.name(), &event.member);
    let tries = event.attempt;
    format!(
        "{guid}  {}  {}  {kind}  {}  {}  tries {tries}",
        event.happened_at,
        member.client,
        member.guid,
        state(event)
    )
}

fn show(guid: EventGuid, event: &KeptEvent) {
    let member = &event.member;
    println!("event     {guid}");
    println!("kind      {}", event.kind.name());
    println!("client    {}", member.client);
    println!("member    {} (revision {})", member.guid, member.revision);
    println!("status    {}", member.status.name());
    println!("happened  {}", event.happened_at);
    if let Some(at) = event.replayed_at {
        println!("replayed  {at}");
    }
    println!("now       {}", state(event));
    println!("tries     {}", event.attempt);
    for DeliveryTry {
        at,
        duration_ms,
        status,
        answer,
    } in &event.tries
    {
        let status = status.map_or("no response".to_owned(), |it| it.to_string());
        println!("  {at}  {duration_ms} ms  {status}  {answer}");
    }
}
