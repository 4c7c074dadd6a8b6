//! `guichet grants import`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::opened::{Access, failed, open};
use super::row::{self, Fault, LINE_LIMIT};
use crate::cli::signal;
use crate::config::Config;
use crate::domain::grant::Grant;
use crate::domain::member::StatusReason;
use crate::flow::import::{self, ImportError, ImportOptions, Imported, Verified};
use crate::flow::{Gateway, Internal, WebhookChoice};

/// How many rows are worked on at a time: as many calls as a gateway makes at one institution without a person.
const AT_ONCE: usize = 4;

/// After how many rows it is said how far it is.
const SAY_EVERY: usize = 100;

/// How many faults are shown; the others are counted.
const SHOWN: usize = 50;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The file; - for standard input.
    file: PathBuf,
    /// Do it. Without this nothing is changed.
    #[arg(long)]
    yes: bool,
    /// Refresh each grant once, after it is kept: so each is known to work, and its old tokens are used up.
    #[arg(long)]
    verify: bool,
    /// Start no aggregation.
    #[arg(long)]
    skip_aggregation: bool,
    /// Send no webhooks for what is imported. Later changes send theirs.
    #[arg(long)]
    skip_webhook: bool,
}

/// A row that can be read.
struct Row {
    line: usize,
    grant: Grant,
}

/// What is wrong with rows, said as it is found.
#[derive(Default)]
struct Faults {
    shown: usize,
    /// How many rows have one.
    rows: usize,
}

impl Faults {
    fn add(&mut self, line: usize, faults: &[Fault]) {
        self.rows += 1;
        for fault in faults {
            self.shown += 1;
            match self.shown {
                ..=SHOWN => eprintln!("line {line}: {fault}"),
                nth if nth == SHOWN + 1 => eprintln!("more faults are only counted"),
                _ => {}
            }
        }
    }
}

/// How many rows ended how.
#[derive(Default)]
struct Counts {
    new: usize,
    there: usize,
    refused: usize,
    unverified: usize,
}

pub(super) async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let mut faults = Faults::default();
    let rows = read(&options.file, &mut faults)?;
    if rows.is_empty() && faults.rows == 0 {
        bail!("{} has no rows", options.file.display());
    }
    let access = match options.yes {
        true => Access::Seals,
        false => Access::Reads,
    };
    let gateway = open(config, access).await?;
    let rows = without_repeated(&gateway, rows, &mut faults);
    let total = rows.len() + faults.rows;
    let ended = match options.yes {
        false => look(&gateway, rows, &mut faults).await,
        true => import(&gateway, rows, &options, &mut faults).await,
    };
    // A refresh goes on whatever becomes of who asked for it.
    gateway.tasks.close();
    gateway.tasks.wait().await;
    let Counts {
        new,
        there,
        refused,
        unverified,
    } = ended?;
    let faulty = faults.rows;
    match options.yes {
        false => {
            println!("would be imported {new}, already there {there}, faulty {faulty}");
            println!("nothing was changed; --yes imports");
        }
        true => println!(
            "imported {new}, already there {there}, refused {refused}, not verified {unverified}, faulty {faulty}"
        ),
    }
    let open = faulty + refused + unverified;
    match (open, options.yes) {
        (0, _) => Ok(()),
        (_, false) => bail!("{faulty} of {total} rows are faulty: correct or remove them"),
        (_, true) => bail!(
            "{open} of {total} rows are not in as they should be: see above, then run this again; what is in is found"
        ),
    }
}

/// Reads the rows of the file, without those that are faulty.
fn read(file: &Path, faults: &mut Faults) -> anyhow::Result<Vec<Row>> {
    let reading = || format!("cannot read {}", file.display());
    let mut input: Box<dyn BufRead> = match file.to_str() {
        Some("-") => Box::new(BufReader::new(std::io::stdin())),
        _ => Box::new(BufReader::new(File::open(file).with_context(reading)?)),
    };
    let mut rows = Vec::new();
    for line in 1.. {
        let mut text = Zeroizing::new(Vec::new());
        let most = LINE_LIMIT as u64 + 1;
        let length = (&mut input).take(most).read_until(b'\n', &mut text);
        if length.with_context(reading)? == 0 {
            break;
        }
        if text.len() > LINE_LIMIT && !text.ends_with(b"\n") {
            skip_line(&mut input).with_context(reading)?;
            let why = format!("is longer than {LINE_LIMIT} bytes: write one grant a line");
            faults.add(line, &[Fault::of_line(why)]);
            continue;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        match row::read(&text) {
            Ok(grant) => rows.push(Row { line, grant }),
            Err(found) => faults.add(line, &found),
        }
    }
    Ok(rows)
}

/// Goes on after the end of the line.
fn skip_line(input: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let held = input.fill_buf()?;
        let end = held.iter().position(|byte| *byte == b'\n');
        let (length, is_end) = match end {
            Some(at) => (at + 1, true),
            None => (held.len(), held.is_empty()),
        };
        input.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

/// Takes out rows whose grant stands in the file before.
fn without_repeated(gateway: &Gateway, rows: Vec<Row>, faults: &mut Faults) -> Vec<Row> {
    let mut known = HashMap::new();
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        let marks = import::marks(gateway, &row.grant);
        match marks.iter().find_map(|mark| known.get(mark)) {
            Some(first) => {
                let why = format!("is the same grant as line {first}: remove one of them");
                faults.add(row.line, &[Fault::of_line(why)]);
            }
            None => {
                known.extend(marks.map(|mark| (mark, row.line)));
                kept.push(row);
            }
        }
    }
    kept
}

/// Says what would become of the rows.
async fn look(
    gateway: &Arc<Gateway>,
    rows: Vec<Row>,
    faults: &mut Faults,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let gateway = gateway.clone();
    let find = move |row: Row| {
        let gateway = gateway.clone();
        async move { import::find(&gateway, &row.grant).await }
    };
    each(rows, find, |line, found| {
        match found {
            Ok(None) => counts.new += 1,
            Ok(Some(_)) => counts.there += 1,
            Err(error) => faults.add(line, &[fault(error)?]),
        }
        Ok(())
    })
    .await?;
    Ok(counts)
}

/// Imports the rows.
async fn import(
    gateway: &Arc<Gateway>,
    rows: Vec<Row>,
    options: &Options,
    faults: &mut Faults,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let how = ImportOptions {
        verify: options.verify,
        skip_aggregation: options.skip_aggregation,
        webhooks: match options.skip_webhook {
            true => WebhookChoice::Skip,
            false => WebhookChoice::Send,
        },
    };
    let gateway = gateway.clone();
    let import = move |row: Row| {
        let gateway = gateway.clone();
        async move { import::import(&gateway, &row.grant, how).await }
    };
    each(rows, import, |line, imported| {
        match imported {
            Ok(imported) => counts.add(line, &imported),
            Err(error) => faults.add(line, &[fault(error)?]),
        }
        Ok(())
    })
    .await?;
    Ok(counts)
}

impl Counts {
    fn add(&mut self, line: usize, imported: &Imported) {
        let member = imported.member;
        match imported.verified {
            Some(Verified::Refused(reason)) => {
                self.refused += 1;
                let reason = reason.map_or("", StatusReason::name);
                eprintln!(
                    "line {line}: {member} is kept, and IMPAIRED {reason}: the institution refused its refresh token; the person has to connect again"
                );
                return;
            }
            Some(Verified::Later(at)) => {
                self.unverified += 1;
                eprintln!(
                    "line {line}: {member} is kept; the institution could not be asked, or its response was lost; tried again after {at}"
                );
                return;
            }
            Some(Verified::NotRenewable) => {
                eprintln!("line {line}: {member} has no refresh_token, so it was not verified");
            }
            Some(Verified::Works) | None => {}
        }
        match imported.is_new {
            true => self.new += 1,
            false => self.there += 1,
        }
    }
}

/// What is wrong with a row that was not imported.
///
/// # Errors
///
/// The failure, where it is not the row's.
fn fault(error: ImportError) -> Result<Fault, Internal> {
    match error {
        ImportError::Internal(error) => Err(error),
        ImportError::Unfit(unfit) => Ok(Fault {
            field: unfit.field().to_owned(),
            why: unfit.to_string(),
        }),
        other => Ok(Fault::of_line(other.to_string())),
    }
}

/// Works on all rows, a few at a time, and says how far it is. At a signal what has begun is finished, and nothing new is
/// begun.
async fn each<T, F>(
    rows: Vec<Row>,
    work: impl Fn(Row) -> F,
    mut done: impl FnMut(usize, T) -> Result<(), Internal>,
) -> anyhow::Result<()>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let stop = signal::on_signal();
    let total = rows.len();
    let mut rows = rows.into_iter();
    let mut tasks = JoinSet::new();
    let mut ended = 0;
    loop {
        while tasks.len() < AT_ONCE && !stop.is_cancelled() {
            let Some(row) = rows.next() else { break };
            let line = row.line;
            let work = work(row);
            tasks.spawn(async move { (line, work.await) });
        }
        let Some(joined) = tasks.join_next().await else {
            break;
        };
        let (line, outcome) = joined?;
        let told = done(line, outcome);
        told.map_err(|error| failed(error).context(format!("line {line}; run this again")))?;
        ended += 1;
        if ended % SAY_EVERY == 0 {
            println!("{ended} of {total}");
        }
    }
    if ended < total {
        bail!("stopped after {ended} of {total} rows: run this again; what is in is found");
    }
    Ok(())
}
