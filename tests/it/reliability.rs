//! What happens when something fails (docs/RELIABILITY.md): each line names tests that there are, and each failure says
//! what becomes of every leg of a flow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::bounds::tests;
use crate::support::package_folder;

const LEGS: [&str; 6] = [
    "mint",
    "open",
    "return",
    "outcome",
    "API reads",
    "deliveries",
];

#[test]
fn every_failure_says_what_becomes_of_each_leg_and_which_test_holds_it() {
    let document = package_folder().join("docs/RELIABILITY.md");
    let document = fs::read_to_string(document).expect("docs/RELIABILITY.md");
    let known = tests();
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let rows = document
        .lines()
        .skip_while(|line| {
            *line != "| failure | leg | what happens | heals by itself | tested by |"
        })
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [failure, legs, _, _, held_by] = cells[..] else {
            panic!("not five cells: {row}");
        };
        for leg in legs.split(", ") {
            assert!(LEGS.contains(&leg), "no leg of a flow: {leg}");
            let is_new = told.entry(failure).or_default().insert(leg);
            assert!(is_new, "{failure}: {leg} twice");
        }
        let tests: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(known.contains(test), "there is no test {test}: {failure}");
        }
    }
    assert!(told.len() > 20, "only {} failures", told.len());
    for (failure, legs) in told {
        assert_eq!(legs.len(), LEGS.len(), "{failure}: {legs:?}");
    }
}
