//! `guichet grants export`, `list` and `thaw`.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::opened::{Access, clients, failed, open};
use super::row;
use crate::config::Config;
use crate::domain::id::{ClientId, MemberGuid};
use crate::domain::user::User;
use crate::flow::Gateway;
use crate::flow::export::{self, Exported, Held};
use crate::printable::printable;

#[derive(clap::Args)]
pub(super) struct Options {
    /// Of this client; of all unless given.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<ClientId>,
    /// Into this new file, which only you may read; to standard output unless given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do it: freeze them, and write their tokens in clear.
    #[arg(long)]
    yes_in_clear: bool,
}

/// How many members were, and were not, exported.
#[derive(Default)]
struct Counts {
    exported: usize,
    in_doubt: usize,
    refused: usize,
    unreadable: usize,
    unnamed: usize,
    with_credentials: usize,
}

pub(super) async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let clients = clients(&config, options.client.as_ref())?;
    if !options.yes_in_clear {
        let gateway = open(config, Access::Reads).await?;
        let mut would = 0;
        each(&gateway, &clients, async |_, held| {
            would += usize::from(is_live(&held));
            Ok(())
        })
        .await?;
        bail!(
            "this would freeze {would} grants, so that no gateway here refreshes them any more, and write their tokens \
             in clear; nothing was changed. If that is what you want, add --yes-in-clear"
        );
    }
    let mut output = Output::open(options.output.as_deref())?;
    let gateway = open(config, Access::Writes).await?;
    let mut counts = Counts::default();
    each(&gateway, &clients, async |user, held| {
        match held.access.token {
            Some(_) => {
                let exported = export::export(&gateway, user, &held).await;
                counts.add(&held, exported.map_err(failed)?, &mut output)
            }
            None => {
                counts.with_credentials += 1;
                Ok(())
            }
        }
    })
    .await?;
    output.keep()?;
    counts.tell();
    match counts.unreadable + counts.unnamed {
        0 => Ok(()),
        left => bail!("{left} grants were not exported: see above, then run this again"),
    }
}

/// Whether it is a token set that the institution did not refuse.
fn is_live(held: &Held) -> bool {
    let token = held.access.token.as_ref();
    token.is_some_and(|token| token.refused_at.is_none() && token.other_login_at.is_none())
}

impl Counts {
    fn add(&mut self, held: &Held, exported: Exported, output: &mut Output) -> anyhow::Result<()> {
        let member = &held.member.guid;
        match exported {
            Exported::Grant { grant, is_in_doubt } => {
                output.write(&row::write(&grant))?;
                self.exported += 1;
                if is_in_doubt {
                    self.in_doubt += 1;
                    eprintln!(
                        "{member}: the outcome of its last refresh is unknown, so its refresh token may be used up"
                    );
                }
            }
            Exported::Nothing => {}
            Exported::Refused => self.refused += 1,
            Exported::Unreadable(why) => {
                self.unreadable += 1;
                eprintln!("{member}: could not be opened: {why}");
            }
            Exported::Unnamed => {
                self.unnamed += 1;
                let user = held.member.user;
                eprintln!(
                    "{member}: its user {user} has no id, by which it is found again: give it one (PUT /users/{user})"
                );
            }
        }
        Ok(())
    }

    fn tell(&self) {
        let Self {
            exported,
            in_doubt,
            refused,
            unreadable,
            unnamed,
            with_credentials,
        } = self;
        eprintln!("exported and frozen {exported}, of which {in_doubt} in doubt");
        eprintln!(
            "not exported: {unreadable} could not be opened, {unnamed} have a user without id, {refused} were refused \
             by their institution, {with_credentials} connect by credentials"
        );
    }
}

/// Where grants are written.
struct Output(Option<File>);

impl Output {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path);
        let making = || format!("cannot make {}: name a new file", path.display());
        Ok(Self(Some(file.with_context(making)?)))
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        let written = match &mut self.0 {
            Some(file) => file.write_all(line.as_bytes()),
            None => stdout().write_all(line.as_bytes()),
        };
        written.context(
            "a grant could not be written; what was frozen stays so: export again, or guichet grants thaw",
        )
    }

    /// Waits until everything is on the disk.
    fn keep(self) -> anyhow::Result<()> {
        let kept = match self.0 {
            Some(file) => file.sync_all(),
            None => stdout().flush(),
        };
        kept.context("the grants could not be written to the end: export again")
    }
}

/// Goes through the members of these clients that have something to be pulled with, each once: again and again, until a
/// pass finds no more, because pages move while others delete users.
async fn each(
    gateway: &Gateway,
    clients: &[ClientId],
    mut work: impl AsyncFnMut(&User, Held) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut seen: HashSet<MemberGuid> = HashSet::new();
    for client in clients {
        loop {
            let before = seen.len();
            for nth in 1.. {
                let (users, is_last) = export::page(gateway, client, nth).await.map_err(failed)?;
                for (user, members) in users {
                    for held in members {
                        if seen.insert(held.member.guid) {
                            work(&user, held).await?;
                        }
                    }
                }
                if is_last {
                    break;
                }
            }
            if seen.len() == before {
                break;
            }
        }
    }
    Ok(())
}

/// Lists the grants of these clients.
pub(super) async fn list(gateway: &Gateway, clients: &[ClientId]) -> anyhow::Result<()> {
    each(gateway, clients, async |user, held| {
        let Held { member, access } = held;
        let Some(token) = access.token else {
            return Ok(());
        };
        let state = match (token.frozen_at, token.refused_at) {
            (Some(at), _) => format!("frozen {at}, exported: guichet grants thaw"),
            (None, Some(at)) => format!("refused {at}"),
            (None, None) if token.other_login_at.is_some() => "of another person".to_owned(),
            (None, None) if token.running.is_some() => "being refreshed".to_owned(),
            (None, None) if token.doubt.is_some() => "in doubt".to_owned(),
            (None, None) if !token.is_renewable => "no refresh token".to_owned(),
            (None, None) => "live".to_owned(),
        };
        let id = printable(user.id.as_deref().unwrap_or("-"), 255);
        let status = member.status.name();
        let (guid, client, institution) = (member.guid, member.client, member.institution);
        println!("{guid}  {client}  {id}  {institution}  {status}  {state}");
        Ok(())
    })
    .await
}

/// Thaws these members, and those of these clients.
pub(super) async fn thaw(
    gateway: &Gateway,
    mut members: Vec<MemberGuid>,
    clients: &[ClientId],
) -> anyhow::Result<()> {
    let is_named = clients.is_empty();
    each(gateway, clients, async |_, held| {
        members.push(held.member.guid);
        Ok(())
    })
    .await?;
    let mut thawed = 0;
    for member in members {
        match export::thaw(gateway, member).await.map_err(failed)? {
            true => thawed += 1,
            false if is_named => println!("{member} was not frozen"),
            false => {}
        }
    }
    println!("{thawed} thawed");
    Ok(())
}
