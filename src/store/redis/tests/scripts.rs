//! What the scripts may be: few lines, which know keys, times and bytes.

use crate::domain::event::EventKind;
use crate::domain::job::{JobFailure, JobStatus};
use crate::domain::member::ConnectionStatus;
use crate::domain::window::{Ending, ErrorReason};

const SCRIPTS: [&str; 3] = [
    include_str!("../load.lua"),
    include_str!("../apply.lua"),
    include_str!("../take.lua"),
];

/// Lines that do something.
fn code() -> Vec<&'static str> {
    let lines = SCRIPTS.into_iter().flat_map(str::lines).map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .collect()
}

#[test]
fn the_scripts_are_short() {
    let lines = code().len();
    assert!((60..=250).contains(&lines), "{lines} lines");
}

#[test]
fn the_scripts_know_no_status_policy_reason_or_event() {
    let mut words: Vec<String> = ["issued", "opened", "returned", "succeeded", "errored"]
        .into_iter()
        .chain(["single", "interstitial", "multi", "burn", "ignore"])
        .chain(Ending::ALL.into_iter().map(Ending::name))
        .chain(ErrorReason::ALL.into_iter().map(ErrorReason::name))
        .chain(EventKind::ALL.into_iter().map(EventKind::name))
        .chain(JobStatus::ALL.into_iter().map(JobStatus::name))
        .chain(JobFailure::ALL.iter().map(|failure| failure.name()))
        .map(str::to_lowercase)
        .collect();
    let statuses = ConnectionStatus::ALL.iter();
    words.extend(statuses.map(|status| status.name().to_lowercase()));
    for line in code() {
        let line = line.to_lowercase();
        let mut said = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        let known = said.find(|word| words.iter().any(|it| it == word));
        assert_eq!(known, None, "{line}");
    }
}
