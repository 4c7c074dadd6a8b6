//! The figures as Markdown tables: medians of the rounds.

use std::fmt::Write as _;
use std::time::Duration;

use super::generator::LEGS;
use super::rounds::{Measured, Plan, RedisCost, Row};

/// The median of what `of` takes from all of them.
pub fn median<M, T: Copy + PartialOrd>(all: &[M], of: impl Fn(&M) -> T) -> T {
    let mut values: Vec<T> = all.iter().map(of).collect();
    values.sort_by(|one, other| one.partial_cmp(other).expect("figures are numbers"));
    values[values.len() / 2]
}

/// In microseconds.
pub fn micros(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}

/// In milliseconds.
pub fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// In megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// CPU, Redis, speed, memory and start.
pub fn costs(rows: &[Row], measured: &[Vec<Measured>], plan: &Plan) -> String {
    let mut text = format!(
        "{} flows, {} people at once, median of {} rounds.\n\n\
         | | CPU a flow, µs | Redis CPU, µs | commands | trips | flows/s | idle, MB | loaded, MB | start, ms |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        plan.flows, plan.users, plan.rounds
    );
    for (row, all) in rows.iter().zip(measured) {
        let redis = |of: fn(RedisCost) -> f64| match all.iter().all(|one| one.redis.is_some()) {
            true => format!("{:.1}", median(all, |one| one.redis.map_or(0.0, of))),
            false => "–".to_owned(),
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.0} | {} | {} | {} |",
            row.name,
            micros(median(all, |one| one.cpu)),
            redis(|one| one.cpu.as_secs_f64() * 1e6),
            redis(|one| one.commands),
            redis(|one| one.trips),
            median(all, |one| one.flows_per_second),
            megabytes(median(all, |one| one.idle)),
            megabytes(median(all, |one| one.loaded)),
            millis(median(all, |one| one.start)),
        )
        .expect("a text takes everything");
    }
    text
}

/// p50, p95 and p99 of every leg.
pub fn times(rows: &[Row], measured: &[Vec<Measured>], plan: &Plan) -> String {
    let mut text = format!("p50 / p95 / p99 in ms, {} people at once.\n\n|", plan.users);
    for leg in LEGS {
        write!(text, " | {leg}").expect("a text takes everything");
    }
    writeln!(text, " |\n|---{}|", "|---".repeat(LEGS.len())).expect("a text takes everything");
    for (row, all) in rows.iter().zip(measured) {
        write!(text, "| {}", row.name).expect("a text takes everything");
        for leg in 0..LEGS.len() {
            let [p50, p95, p99] = [0, 1, 2].map(|at| millis(median(all, |one| one.legs[leg][at])));
            write!(text, " | {p50} / {p95} / {p99}").expect("a text takes everything");
        }
        text.push_str(" |\n");
    }
    text
}

/// What a bank that takes 200 ms costs.
pub fn slow_bank(rows: &[Row], measured: &[Vec<Measured>]) -> String {
    let mut text = "256 people at once, a token endpoint that takes 200 ms.\n\n\
         | | CPU a flow, µs | flows/s | callback p50 / p95 / p99, ms | loaded, MB |\n\
         |---|---|---|---|---|\n"
        .to_owned();
    for (row, all) in rows.iter().zip(measured).filter(|(_, all)| !all.is_empty()) {
        let [p50, p95, p99] = [0, 1, 2].map(|at| millis(median(all, |one| one.legs[2][at])));
        writeln!(
            text,
            "| {} | {} | {:.0} | {p50} / {p95} / {p99} | {} |",
            row.name,
            micros(median(all, |one| one.cpu)),
            median(all, |one| one.flows_per_second),
            megabytes(median(all, |one| one.loaded)),
        )
        .expect("a text takes everything");
    }
    text
}
