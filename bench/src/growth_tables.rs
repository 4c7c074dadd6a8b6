//! The figures of [`growth`](super::growth) as Markdown tables: medians of the rounds, empty and full.

use std::fmt::Write as _;
use std::time::Duration;

use super::fill::Part;
use super::generator::LEGS;
use super::growth::{Figures, LOOKUPS, Memory, Round, Shared, Swept};
use super::table::{median, megabytes, micros, millis};

/// What each part of the store costs.
pub fn parts(parts: &[Part]) -> String {
    let mut text =
        "| | number | bytes each | MB | seconds to fill |\n|---|---|---|---|---|\n".to_owned();
    for part in parts {
        let each = part.bytes / part.count.max(1) as u64;
        let (count, took) = (part.count, part.took.as_secs());
        line(
            &mut text,
            part.name,
            &[
                count.to_string(),
                each.to_string(),
                megabytes(part.bytes),
                took.to_string(),
            ],
        );
    }
    text
}

/// Times and CPU of each leg.
pub fn legs(rounds: &[Vec<Round>; 2]) -> String {
    compared(rounds, &LEGS, 0)
}

/// Times and CPU of each look-up.
pub fn lookups(rounds: &[Vec<Round>; 2]) -> String {
    compared(rounds, &LOOKUPS, LEGS.len())
}

fn compared(rounds: &[Vec<Round>; 2], names: &[&str], from: usize) -> String {
    let mut text = "Empty → full (times).\n\n\
         | | p50, ms | p95, ms | p99, ms | gateway CPU, µs | Redis CPU, µs |\n\
         |---|---|---|---|---|---|\n"
        .to_owned();
    for (at, name) in names.iter().enumerate() {
        let pair = |of: fn(&Figures) -> Duration, written: fn(Duration) -> String| {
            let [empty, full] = [0, 1].map(|site| median(&rounds[site], |it| of(&it[from + at])));
            if empty.is_zero() {
                return "–".to_owned();
            }
            let times = full.as_secs_f64() / empty.as_secs_f64();
            format!("{} → {} ({times:.2})", written(empty), written(full))
        };
        let cells = [
            pair(|it| it.percentiles[0], millis),
            pair(|it| it.percentiles[1], millis),
            pair(|it| it.percentiles[2], millis),
            pair(|it| it.cpu, micros),
            pair(|it| it.redis, micros),
        ];
        line(&mut text, name, &cells);
    }
    text
}

/// One gateway, two, …
pub fn shared(rows: &[Vec<Shared>; 2]) -> String {
    let mut text =
        "| gateways | flows/s | gateways' CPU a flow, µs | Redis CPU, µs | commands | trips | file, bytes a flow | \
         received | sent |\n|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (at, all) in rows.iter().enumerate() {
        let mut cells = vec![
            format!("{:.0}", median(all, |one| one.flows_per_second)),
            micros(median(all, |one| one.cpu)),
            micros(median(all, |one| one.redis)),
            format!("{:.1}", median(all, |one| one.commands)),
            format!("{:.1}", median(all, |one| one.trips)),
        ];
        cells.extend((0..3).map(|which| format!("{:.0}", median(all, |one| one.bytes[which]))));
        line(&mut text, &(at + 1).to_string(), &cells);
    }
    text
}

/// How large gateways and stores are.
pub fn memory(sites: &[Memory]) -> String {
    let mut text = "| | gateway idle, MB | loaded, MB | store, MB | Redis resident, MB |\n\
         |---|---|---|---|---|\n"
        .to_owned();
    for (name, it) in ["empty", "full"].iter().zip(sites) {
        let cells = [it.idle, it.loaded, it.store, it.resident].map(megabytes);
        line(&mut text, name, &cells);
    }
    text
}

/// What a sweep costs, and what flows notice of it.
pub fn sweeps(sites: &[Swept], links: usize) -> String {
    let mut text = format!(
        "{links} links whose deadline has passed; each leg's p50 / p99 in ms without the sweep → beside it.\n\n\
         | | seconds | gateway CPU a link, µs | Redis CPU, µs | {} |\n|---|---|---|---{}|\n",
        LEGS.join(" | "),
        "|---".repeat(LEGS.len())
    );
    let each = u32::try_from(links).unwrap_or(u32::MAX).max(1);
    for (name, it) in ["empty", "full"].iter().zip(sites) {
        let mut cells = vec![
            format!("{:.1}", it.took.as_secs_f64()),
            micros(it.used.gateway / each),
            micros(it.used.redis / each),
        ];
        let both = |it: &[Duration; 3]| format!("{} / {}", millis(it[0]), millis(it[2]));
        let legs = it.alone.iter().zip(&it.beside);
        cells.extend(legs.map(|(alone, beside)| format!("{} → {}", both(alone), both(beside))));
        line(&mut text, name, &cells);
    }
    text
}

fn line(text: &mut String, name: &str, cells: &[String]) {
    writeln!(text, "| {name} | {} |", cells.join(" | ")).expect("a text takes everything");
}
