//! Comments that name a section of docs/CONTRACT.md: the section exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::package_folder;

/// The numbers of the page's sections.
fn sections() -> BTreeSet<String> {
    let page = package_folder().join("docs/CONTRACT.md");
    let page = fs::read_to_string(page).expect("docs/CONTRACT.md");
    let headings = page.lines().filter(|line| line.starts_with("##"));
    let numbers = headings.filter_map(|heading| heading.split(' ').nth(1));
    numbers.map(str::to_owned).collect()
}

/// The sections that a source names: the numbers after `CONTRACT.md`, of which there may be several
/// ("1.2, 1.4 and 2.4"), on the next line too.
fn named(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        let comment = line
            .strip_prefix("//")
            .map(|it| it.trim_start_matches(['/', '!']));
        comment.unwrap_or(line)
    });
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let mut named = Vec::new();
    for (index, _) in words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.ends_with("CONTRACT.md"))
    {
        for word in words[index + 1..].iter().filter(|word| **word != "and") {
            if !word.starts_with(|first: char| first.is_ascii_digit()) {
                break;
            }
            let number = word.trim_end_matches(|last: char| !last.is_ascii_digit());
            named.push(number.to_owned());
            if !["", ","].contains(&&word[number.len()..]) {
                break;
            }
        }
    }
    named
}

/// Every reference below the folder, with the file it is in.
fn references(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            references(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let sections = named(&text).into_iter();
            found.extend(sections.map(|section| (path.display().to_string(), section)));
        }
    }
}

#[test]
fn every_section_that_a_comment_names_exists() {
    let sections = sections();
    let mut found = Vec::new();
    for folder in ["src", "sandbox/src", "tests/it"] {
        references(&package_folder().join(folder), &mut found);
    }
    let unknown: Vec<_> = found
        .iter()
        .filter(|(_, section)| !sections.contains(section))
        .collect();
    assert!(unknown.is_empty(), "docs/CONTRACT.md has no {unknown:?}");
    assert!(found.len() > 60, "only {} references", found.len());
}

#[test]
fn references_are_read_in_every_form() {
    let mark = "CONTRACT.md";
    for (text, expected) in [
        ("/// A status ({mark} 3).", &["3"][..]),
        ("/// The fields ({mark}\n    /// 1.2). A field", &["1.2"]),
        ("//! JSON ({mark} 1.1\n//! and 2.1).", &["1.1", "2.1"]),
        (
            "//! ({mark} 1.2, 1.4 and 6.1). 7 more",
            &["1.2", "1.4", "6.1"],
        ),
        ("// {mark} 2.2 and two of ours", &["2.2"]),
        ("// See docs/{mark}, which has 5.", &[]),
    ] {
        assert_eq!(named(&text.replace("{mark}", mark)), expected, "{text}");
    }
}
