//! The change to another seal key: every envelope in the store is sealed under the active key, so that the others can go.
//!
//! ```text
//! pass:  look through everything ─▶ open ─▶ seal anew ─▶ put it in the old one's place, if that is still there
//!          ▲                                                │ no: its record is read again
//!          └──── until a pass finds nothing to do ◀─────────┘
//! ```
//!
//! It runs beside gateways that serve. What is done already is told by the envelopes themselves, so it may be ended at any
//! moment, and the next run does the rest. A pass may miss an envelope that moves to another record meanwhile (the tokens of
//! a deleted member, say), so there are at least two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Gateway, seal_contexts, timeline};
use crate::domain::id::{ClientId, JobGuid, MemberGuid};
use crate::seal::{self, Context, SealError};
use crate::steps::record::Key;
use crate::steps::sealed::{Content, SEALED_KINDS};
use crate::store::{self, Found, StoreError};

/// How many records are sealed anew side by side.
const SIDE_BY_SIDE: usize = 32;

/// How many passes there are at least: what moved during the first is seen in the second.
const LEAST: u32 = 2;

/// After how many passes it is clear that others keep sealing under other keys.
const MOST: u32 = 10;

/// How often a record that others keep changing is tried in one pass.
const TRIES: u32 = 5;

/// How many records that could not be opened are named.
const NAMED: usize = 100;

/// Why there was no change to another seal key.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// No gateway has started with the active key: those that run could not open what is sealed under it.
    #[error(
        "no gateway has started with the seal key {0:?} yet, so none could open what is sealed under it. Remedy: put it \
         first in seal.keys of every gateway, restart them all, and then run this again"
    )]
    Unstarted(String),
    /// Records keep being sealed under other keys.
    #[error(
        "records keep being sealed under another key than {0:?}. Remedy: put it first in seal.keys of every gateway, \
         restart them all, and then run this again"
    )]
    Undone(String),
    /// The store failed.
    #[error("not everything is sealed anew; run this again, and it does the rest")]
    Store(#[from] StoreError),
}

/// What a pass has found and done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Which it is, from 1.
    pub number: u32,
    /// How many records it has looked at.
    pub records: u64,
    /// How many of them it has sealed anew.
    pub resealed: u64,
    /// How many it left to the next pass, because others kept changing them.
    pub changing: u64,
    /// How many it left under each key that is not the active one, by the key's id.
    pub left: BTreeMap<String, u64>,
    /// How many could not be opened, by what they are.
    pub unopened: BTreeMap<&'static str, u64>,
    /// The first of those: what it is, its key, and why.
    pub named: Vec<String>,
}

/// What became of one record.
enum Fate {
    /// There was nothing to do.
    Done,
    /// It was sealed anew.
    Resealed,
    /// Others keep changing it.
    Changing(BTreeSet<String>),
    /// Something in it does not open.
    Unopened(BTreeSet<String>, String),
}

/// Seals everything under the active key; the last pass. `tell` hears of each batch.
///
/// # Errors
///
/// [`RotateError`]. What was sealed anew by then stays so.
pub async fn rotate(
    gateway: &Arc<Gateway>,
    mut tell: impl FnMut(&Pass),
) -> Result<Pass, RotateError> {
    let active = gateway.sealer.active_key();
    let known = gateway.store.seal_keys().await?;
    if !known.keys.contains_key(active) {
        return Err(RotateError::Unstarted(active.to_owned()));
    }
    for number in 1..=MOST {
        timeline::agree(gateway).await;
        let pass = run(gateway, number, &mut tell).await?;
        if number >= LEAST && pass.resealed == 0 && pass.changing == 0 {
            return Ok(pass);
        }
    }
    Err(RotateError::Undone(active.to_owned()))
}

/// One pass.
async fn run(
    gateway: &Arc<Gateway>,
    number: u32,
    tell: &mut impl FnMut(&Pass),
) -> store::Result<Pass> {
    let mut pass = Pass {
        number,
        ..Pass::default()
    };
    let see = async |batch: Vec<Found>| {
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            let mut sealing = JoinSet::new();
            for found in batch.by_ref().take(SIDE_BY_SIDE) {
                let (gateway, key) = (gateway.clone(), found.key.clone());
                sealing.spawn(async move { (key, seal_anew(&gateway, found).await) });
            }
            for (key, fate) in sealing.join_all().await {
                pass.count(&key, fate?);
            }
        }
        tell(&pass);
        Ok(())
    };
    gateway.store.each_sealed(see).await?;
    Ok(pass)
}

impl Pass {
    fn count(&mut self, key: &Key, fate: Fate) {
        self.records += 1;
        let ids = match fate {
            Fate::Done => return,
            Fate::Resealed => {
                self.resealed += 1;
                return;
            }
            Fate::Changing(ids) => {
                self.changing += 1;
                ids
            }
            Fate::Unopened(ids, why) => {
                let mut kinds = SEALED_KINDS.iter();
                let kind = kinds.find(|(letter, _)| *letter == key.kind());
                let kind = kind.map_or("record", |(_, name)| *name);
                *self.unopened.entry(kind).or_default() += 1;
                if self.named.len() < NAMED {
                    self.named.push(format!("{kind} {}: {why}", key.as_str()));
                }
                ids
            }
        };
        for id in ids {
            *self.left.entry(id).or_default() += 1;
        }
    }
}

/// Seals everything in a record under the active key. That something does not open counts only if nobody has changed it
/// meanwhile.
async fn seal_anew(gateway: &Gateway, mut found: Found) -> store::Result<Fate> {
    for _ in 0..TRIES {
        let anew = Anew::of(gateway, &mut found).await?;
        if anew.envelopes.is_empty() && anew.failure.is_none() {
            return Ok(Fate::Done);
        }
        let is_written = !anew.envelopes.is_empty();
        if is_written {
            let (store, now) = (&gateway.store, gateway.now());
            let is_done = store.reseal(&found, anew.envelopes, now).await?;
            if is_done && anew.failure.is_none() {
                return Ok(Fate::Resealed);
            }
        }
        let Some(now) = gateway.store.sealed_record(&found).await? else {
            return Ok(Fate::Done);
        };
        if let Some(why) = anew
            .failure
            .filter(|_| !is_written && now.record == found.record)
        {
            return Ok(Fate::Unopened(anew.left, why));
        }
        found = now;
    }
    let left = Anew::of(gateway, &mut found).await?.left;
    Ok(Fate::Changing(left))
}

/// What a record's envelopes become.
#[derive(Default)]
struct Anew {
    /// Those of other keys, each as it was and sealed under the active key.
    envelopes: Vec<(Vec<u8>, Vec<u8>)>,
    /// The ids of those keys.
    left: BTreeSet<String>,
    /// Why one of them does not open.
    failure: Option<String>,
}

impl Anew {
    async fn of(gateway: &Gateway, found: &mut Found) -> store::Result<Self> {
        let mut anew = Self::default();
        let Some(record) = &mut found.record else {
            anew.failure = Some("it cannot be read".to_owned());
            return Ok(anew);
        };
        for (content, envelope) in record.envelopes() {
            let id = seal::key_id(envelope);
            if id == Some(gateway.sealer.active_key()) {
                continue;
            }
            anew.left.extend(id.map(str::to_owned));
            match reseal(gateway, &found.key, &content, envelope).await? {
                Ok(new) => anew.envelopes.push((envelope.to_vec(), new)),
                Err(why) => anew.failure = Some(why),
            }
        }
        Ok(anew)
    }
}

/// One envelope, sealed under the active key; or why it does not open.
async fn reseal(
    gateway: &Gateway,
    key: &Key,
    content: &Content,
    envelope: &[u8],
) -> store::Result<Result<Vec<u8>, String>> {
    let anew = |context: &Context<'_>| -> Result<Vec<u8>, String> {
        let resealed = gateway
            .sealer
            .reseal(gateway.random.as_ref(), context, envelope);
        resealed.map_err(|error: SealError| error.to_string())
    };
    let nameless = || Err("its key names nothing".to_owned());
    // Of what several may be kept for one member, something else stands behind the member.
    let (first, rest) = key.id().split_once('/').unwrap_or((key.id(), ""));
    let member = || MemberGuid::from_compact(first);
    Ok(match content {
        Content::Attempt(id) => anew(&seal_contexts::attempt(id)),
        Content::HeldResponse => anew(&seal_contexts::held_response(key.id())),
        Content::AttemptResponse(id) => anew(&seal_contexts::attempt_response(id)),
        Content::CompletionHandle(id) => anew(&seal_contexts::completion_handle(id)),
        Content::HeldTokenSet(client, member) => {
            anew(&seal_contexts::token_set(client, &member.to_string()))
        }
        Content::TokenSet(client) => match member() {
            Ok(member) => anew(&seal_contexts::token_set(client, &member.to_string())),
            Err(_) => nameless(),
        },
        Content::Access => match member() {
            Ok(guid) => match connected(gateway, guid).await? {
                Some((client, true)) => anew(&seal_contexts::token_set(&client, &guid.to_string())),
                Some((client, false)) => {
                    anew(&seal_contexts::credentials(&client, &guid.to_string()))
                }
                None => Err("its member is not there".to_owned()),
            },
            Err(_) => nameless(),
        },
        Content::ChallengeAnswers(client) => match JobGuid::from_compact(first) {
            Ok(job) => anew(&seal_contexts::challenge_answers(client, &job.to_string())),
            Err(_) => nameless(),
        },
        Content::Report(client) => anew(&seal_contexts::report(client, key.id())),
        Content::StoredResponse => match first.parse::<ClientId>() {
            Ok(client) => anew(&seal_contexts::stored_response(&client, rest)),
            Err(_) => nameless(),
        },
    })
}

/// Whose a member is, and whether it is connected by OAuth.
async fn connected(gateway: &Gateway, guid: MemberGuid) -> store::Result<Option<(ClientId, bool)>> {
    let Some(owner) = gateway.store.owner_of_member(guid).await? else {
        return Ok(None);
    };
    let member = gateway.store.member(owner.user, guid).await?;
    Ok(member.map(|member| (member.client, member.is_oauth)))
}
