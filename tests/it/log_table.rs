//! `docs/LOGGING.md` lists every line that the server writes, with its level and the fields that are its
//! own: none is missing there, and none is there that is written no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::layers::source::read_tree;
use crate::support::package_folder;

/// What the lines of one level and message have: whether they are summed up, and which fields.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    is_summed: bool,
    fields: BTreeSet<String>,
}

type Lines = BTreeMap<(String, String), Line>;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What stands between the parentheses that open before `rest`, argument by argument.
fn arguments(rest: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut is_text) = (0, false);
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if is_text => {
                let last = arguments.last_mut().expect("one");
                last.push(character);
                last.extend(characters.next());
                continue;
            }
            '"' => is_text = !is_text,
            '(' | '[' | '{' if !is_text => depth += 1,
            ')' if !is_text && depth == 0 => break,
            ')' | ']' | '}' if !is_text => depth -= 1,
            ',' if !is_text && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().expect("one").push(character);
    }
    let trimmed = arguments.iter().map(|it| it.trim().to_owned());
    trimmed.filter(|it| !it.is_empty()).collect()
}

/// The lines that this code writes.
fn written(code: &str, lines: &mut Lines) {
    for level in LEVELS {
        let call = format!("{level}!(");
        for (at, _) in code.match_indices(&call) {
            let before = &code[..at];
            if before.ends_with(|it: char| it.is_alphanumeric() || it == '_') {
                continue;
            }
            assert!(before.ends_with("tracing::"), "write tracing::{call}…)");
            let mut arguments = arguments(&code[at + call.len()..]);
            let message = arguments.pop().expect("a message");
            let message = message
                .strip_prefix('"')
                .and_then(|it| it.strip_suffix('"'))
                .unwrap_or_else(|| panic!("a line ends with its message, not {message}"));
            let line = lines
                .entry((level.to_owned(), message.to_owned()))
                .or_default();
            for argument in arguments {
                if argument.starts_with("target:") {
                    line.is_summed |= argument.contains("STRANGERS");
                    continue;
                }
                let name = argument.split('=').next().expect("a name").trim();
                let name = name.trim_start_matches(['%', '?']);
                line.fields.insert(name.to_owned());
            }
        }
    }
}

/// The table of the document.
fn documented() -> Lines {
    const HEAD: &str = "| level | line | its own fields | when |";
    let file = package_folder().join("docs/LOGGING.md");
    let document = fs::read_to_string(file).expect("docs/LOGGING.md");
    let rows = document.lines().skip_while(|line| *line != HEAD).skip(2);
    // A heading stands in a row of its own.
    let mut lines = Lines::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let quoted = |cell: &str| -> Vec<String> {
            let quoted = cell.split('`').skip(1).step_by(2);
            quoted.map(str::to_owned).collect()
        };
        assert_eq!(cells.len(), 4, "{row}");
        if cells[1].starts_with("**") {
            continue;
        }
        let [level] = &quoted(cells[0])[..] else {
            panic!("one level: {row}");
        };
        let line = Line {
            is_summed: cells[0].ends_with("summed"),
            fields: quoted(cells[2]).into_iter().collect(),
        };
        let [message] = &quoted(cells[1])[..] else {
            panic!("one message: {row}");
        };
        let earlier = lines.insert((level.clone(), message.clone()), line);
        assert!(earlier.is_none(), "twice: {row}");
    }
    lines
}

#[test]
fn every_line_is_in_the_table_with_its_level_and_fields_and_every_row_is_a_line() {
    let mut lines = Lines::new();
    for file in ["src/lib.rs", "src/main.rs", "sandbox/src/lib.rs"] {
        for module in read_tree(&package_folder().join(file), vec![]) {
            written(&module.code, &mut lines);
        }
    }
    assert!(lines.len() > 50, "{}", lines.len());
    let mut documented = documented();
    let mut faults = Vec::new();
    for (name, line) in lines {
        match documented.remove(&name) {
            None => faults.push(format!("not in the table: {name:?} {line:?}")),
            Some(told) if told != line => {
                faults.push(format!("{name:?} is {line:?}, the table says {told:?}"));
            }
            Some(_) => {}
        }
    }
    let gone = documented.keys();
    faults.extend(gone.map(|name| format!("in the table, but written nowhere: {name:?}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_line_is_read_with_its_fields_whatever_stands_in_them() {
    let mut lines = Lines::new();
    let code = r#"
        tracing::warn!(target: STRANGERS, %error, size = f(1, "a, )"), why = *it, "told, (so)");
        tracing::error_span!("no line");
        tracing::info!(
            ?line,
            "told, (so)"
        );
    "#;
    written(code, &mut lines);
    let fields = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
    let name = |level: &str| (level.to_owned(), "told, (so)".to_owned());
    let expected = [
        (
            name("warn"),
            Line {
                is_summed: true,
                fields: fields(&["error", "size", "why"]),
            },
        ),
        (
            name("info"),
            Line {
                is_summed: false,
                fields: fields(&["line"]),
            },
        ),
    ];
    assert_eq!(lines, Lines::from(expected));
}
