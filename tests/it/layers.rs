//! Imports run downwards only. The tables of `docs/ARCHITECTURE.md` say what that means, and these
//! tests read them there: what the document says is what holds.

pub mod circles;
pub mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::support::package_folder;
use circles::circles;
use source::{Module, read, read_tree};

/// Which row of the table a part of the crate is in, counted from the top.
type Rows = BTreeMap<String, usize>;

/// Who reaches what only through whom: `http` and the worker ask the verbs, and those the store.
const ONLY_THROUGH_FLOW: [&str; 2] = ["http", "worker"];

/// The rows of the document's table that follows `heading`, cell by cell, without its two head lines.
fn table(document: &str, head: &str) -> Vec<Vec<String>> {
    let lines = document.lines().skip_while(|line| *line != head).skip(2);
    let rows: Vec<Vec<String>> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "ARCHITECTURE.md has no table {head:?}");
    rows
}

/// What is written between back-ticks in a cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn document() -> String {
    let file = package_folder().join("docs/ARCHITECTURE.md");
    fs::read_to_string(file).expect("docs/ARCHITECTURE.md")
}

fn rows() -> Rows {
    let mut rows = Rows::new();
    for (number, row) in table(&document(), "| layer | is there to |")
        .iter()
        .enumerate()
    {
        for part in quoted(&row[0]) {
            let earlier = rows.insert(part.clone(), number);
            assert!(earlier.is_none(), "{part} is in two rows");
        }
    }
    rows
}

/// Where a crate may be named, as module paths with slashes.
fn confinement() -> BTreeMap<String, Vec<String>> {
    let rows = table(&document(), "| only in | because |");
    rows.iter()
        .flat_map(|row| {
            let (crates, places) = row[0].split_once(" in ").expect("crates in places");
            let places = quoted(places);
            quoted(crates)
                .into_iter()
                .map(move |name| (name, places.clone()))
        })
        .collect()
}

fn crate_modules() -> Vec<Module> {
    let source = package_folder().join("src");
    let mut modules = read_tree(&source.join("lib.rs"), Vec::new());
    modules.extend(read_tree(&source.join("main.rs"), vec!["main".to_owned()]));
    modules
}

/// Which part of the crate a path leads to, when it leads to one.
fn part<'a>(module: &Module, name: &'a [String]) -> Option<&'a str> {
    let first = name.iter().position(|segment| segment != "super");
    let climbed = first.unwrap_or(name.len());
    let leads_to = match name[0].as_str() {
        "crate" | "guichet" => name.get(1),
        "super" if climbed == module.path.len() => name.get(climbed),
        _ => None,
    };
    leads_to.map(String::as_str)
}

/// What is wrong with a module's imports, in words.
fn faults(module: &Module, rows: &Rows) -> BTreeSet<String> {
    let Some(own) = module.path.first() else {
        return BTreeSet::new();
    };
    let mut faults = BTreeSet::new();
    for name in &module.names {
        let Some(used) = part(module, name).filter(|used| *used != own) else {
            continue;
        };
        let both = rows.get(own).zip(rows.get(used));
        let runs_down = both.is_some_and(|(own, used)| own < used);
        if !runs_down {
            let module = module.path.join("::");
            faults.insert(format!("{module} may not use {}", name.join("::")));
        }
    }
    faults
}

/// How a module reaches the store past the verbs: by a path, or by the field of the gateway.
fn ways_past_flow(module: &Module) -> BTreeSet<String> {
    let own = module.path.first().map_or("", String::as_str);
    if !ONLY_THROUGH_FLOW.contains(&own) {
        return BTreeSet::new();
    }
    let paths = module.names.iter();
    let paths = paths.filter(|name| part(module, name) == Some("store"));
    let paths = paths.map(|name| name.join("::"));
    let fields = module.code.split(".store").skip(1);
    let fields = fields.filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
    let fields = fields.map(|_| "gateway.store".to_owned());
    let module = module.path.join("::");
    let ways = paths.chain(fields);
    ways.map(|way| format!("{module} may not use {way}"))
        .collect()
}

/// Crates that a module names outside their places.
fn strays(module: &Module, confinement: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let place = module.path.join("/");
    let is_within =
        |allowed: &String| place == *allowed || place.starts_with(&format!("{allowed}/"));
    let mut strays = BTreeSet::new();
    for name in &module.names {
        let path = name.join("::");
        for (confined, places) in confinement {
            let names_it = path.starts_with(&format!("{confined}::")) || path == *confined;
            let is_own_module = module.children.contains(confined);
            if names_it && !is_own_module && !places.iter().any(is_within) {
                strays.insert(format!("{place} may not use {path}"));
            }
        }
    }
    strays
}

fn module_named(path: &[&str], code: &str) -> Module {
    read(
        code,
        path.iter().map(|segment| (*segment).to_owned()).collect(),
    )
}

#[test]
fn imports_run_downwards_only() {
    let rows = rows();
    let faults: BTreeSet<String> = crate_modules()
        .iter()
        .flat_map(|module| faults(module, &rows))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn http_and_worker_reach_the_store_through_flow() {
    let modules = crate_modules();
    let ways: BTreeSet<String> = modules.iter().flat_map(ways_past_flow).collect();
    assert!(ways.is_empty(), "{ways:#?}");
    for (path, code) in [
        (&["worker"][..], "use crate::store::Store;\n"),
        (
            &["http", "show"],
            "fn f() {\n    state.gateway\n        .store\n        .probe();\n}\n",
        ),
    ] {
        let found = ways_past_flow(&module_named(path, code));
        assert_eq!(found.len(), 1, "{path:?} {code:?} {found:?}");
    }
    let honest = module_named(
        &["http", "ops"],
        "fn f() {\n    error.store_is_away();\n}\n",
    );
    assert!(ways_past_flow(&honest).is_empty());
}

#[test]
fn no_module_uses_itself_by_way_of_another_in_its_folder() {
    let circles = circles(&crate_modules());
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_planted_circle_is_caught() {
    let planted = [
        // Of two, by whatever name.
        (
            &[
                (&["flow"][..], "pub mod open;\nmod retry;\n"),
                (&["flow", "open"], "use super::retry::Again;\n"),
                (
                    &["flow", "retry"],
                    "fn f() {\n    crate::flow::open::open();\n}\n",
                ),
            ][..],
            &["flow: open -> retry", "flow: retry -> open"][..],
        ),
        // Of three, one of them in a folder of its own.
        (
            &[
                (&["http"], "mod auth;\nmod body;\nmod json;\n"),
                (&["http", "auth"], "use super::body::Fields;\n"),
                (&["http", "body"], "mod sent;\n"),
                (
                    &["http", "body", "sent"],
                    "use crate::http::json::{self, answer};\n",
                ),
                (&["http", "json"], "use super::auth::Caller;\n"),
            ],
            &[
                "http: auth -> body",
                "http: body -> json",
                "http: json -> auth",
            ],
        ),
        // By way of the folder's own file: an item of its own, and one that it passes on.
        (
            &[
                (
                    &["oauth"],
                    "mod transport;\nuse transport::Transport;\npub struct Client;\n",
                ),
                (&["oauth", "transport"], "use super::Client;\n"),
            ],
            &["oauth: mod -> transport", "oauth: transport -> mod"],
        ),
        (
            &[
                (
                    &["oauth"],
                    "mod code;\nmod scrub;\npub use code::{Code, LIMIT as MOST};\n",
                ),
                (&["oauth", "code"], "use super::scrub::Scrubber;\n"),
                (&["oauth", "scrub"], "use super::Code;\n"),
            ],
            &["oauth: code -> scrub", "oauth: scrub -> code"],
        ),
    ];
    for (files, expected) in planted {
        let mut modules = vec![module_named(&[], "mod flow;\nmod http;\nmod oauth;\n")];
        modules.extend(files.iter().map(|(path, code)| module_named(path, code)));
        let found = circles(&modules);
        let expected = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(found, expected, "{files:?}");
    }
}

#[test]
fn what_a_folder_declares_and_passes_on_is_no_circle() {
    let honest = [
        (
            &["flow"][..],
            "pub mod mint;\nmod open;\npub use open::Arrival;\npub struct Gateway;\n",
        ),
        (&["flow", "mint"], "use super::{Arrival, Gateway};\n"),
        (
            &["flow", "open"],
            "use super::Gateway;\n#[cfg(test)]\nmod tests {\n    use super::super::mint;\n}\n",
        ),
    ];
    let modules: Vec<Module> = honest
        .iter()
        .map(|(path, code)| module_named(path, code))
        .collect();
    assert_eq!(circles(&modules), BTreeSet::new());
}

#[test]
fn the_table_has_every_part_of_the_crate() {
    let parts: BTreeSet<String> = crate_modules()
        .iter()
        .filter_map(|module| module.path.first().cloned())
        .collect();
    let listed: BTreeSet<String> = rows().into_keys().collect();
    assert_eq!(parts, listed);
}

#[test]
fn crates_stay_where_they_belong() {
    let confinement = confinement();
    let modules = crate_modules();
    let strays: BTreeSet<String> = modules
        .iter()
        .flat_map(|module| strays(module, &confinement))
        .collect();
    assert!(strays.is_empty(), "{strays:#?}");
    // A row that nothing obeys is a row that says nothing.
    for confined in confinement.keys() {
        let is_used = modules.iter().any(|module| {
            let nowhere = BTreeMap::from([(confined.clone(), Vec::new())]);
            !self::strays(module, &nowhere).is_empty()
        });
        assert!(is_used, "nothing uses {confined}");
    }
}

#[test]
fn a_planted_edge_is_caught() {
    let rows = rows();
    let planted = [
        (&["store"][..], "use crate::flow::Gateway;\n"),
        (
            &["domain", "member"],
            "use crate::{\n    domain::id, store::Store,\n};\n",
        ),
        (
            &["flow", "open"],
            "fn f() {\n    crate::http::page::show();\n}\n",
        ),
        (&["http", "nexus"], "use crate::worker;\n"),
        (&["worker"], "use crate::http::limits::Limits;\n"),
        (&["oauth", "exchange"], "use super::super::store::Store;\n"),
        (&["webhook"], "use super::aggregator::Aggregator;\n"),
    ];
    for (path, code) in planted {
        let found = faults(&module_named(path, code), &rows);
        assert_eq!(found.len(), 1, "{path:?} {code:?} {found:?}");
    }
}

#[test]
fn honest_edges_and_tests_are_not_complained_about() {
    let rows = rows();
    let honest = [
        (
            &["http", "nexus"][..],
            "use crate::flow::access;\nuse super::body::Fields;\n",
        ),
        (&["store"], "/// [`crate::flow`] uses it.\nmod redis;\n"),
        (
            &["store", "sqlite"],
            "#[cfg(test)]\nmod tests {\n    use crate::flow::Gateway;\n    fn f() {}\n}\n",
        ),
        (
            &["seal"],
            "#[cfg(test)]\nuse crate::flow::Gateway;\nuse crate::domain::id;\n",
        ),
        (
            &["oauth", "exchange"],
            "#[cfg(test)]\nmod tests;\n\nuse crate::domain::id;\n",
        ),
    ];
    for (path, code) in honest {
        let found = faults(&module_named(path, code), &rows);
        assert!(found.is_empty(), "{path:?} {code:?} {found:?}");
    }
    // What follows a test's item is read again.
    let after = "#[cfg(test)]\nmod tests;\n\nuse crate::flow::Gateway;\n";
    assert_eq!(faults(&module_named(&["store"], after), &rows).len(), 1);
}

#[test]
fn a_planted_crate_is_caught() {
    let confinement = confinement();
    let planted = [
        (&["flow", "mint"][..], "use axum::http::StatusCode;\n"),
        (&["store", "sqlite"], "use redis::{Cmd};\n"),
        (&["store", "redis"], "fn f(row: &rusqlite::Row<'_>) {}\n"),
        (&["http", "browser"], "use oauth2::CsrfToken;\n"),
        (&["oauth"], "use aws_lc_rs::{aead, digest};\n"),
        (&["domain", "secret"], "use rand::Rng;\n"),
        (&["flow"], "use std::{env, fs};\n"),
        (&["worker"], "fn f() {\n    std::env::var(\"A\");\n}\n"),
        (&["cli", "serve"], "use guichet_sandbox::Sandbox;\n"),
    ];
    for (path, code) in planted {
        let found = strays(&module_named(path, code), &confinement);
        assert_eq!(found.len(), 1, "{path:?} {code:?} {found:?}");
    }
    let child = module_named(&["store"], "mod redis;\nuse redis::RedisStore;\n");
    assert!(
        strays(&child, &confinement).is_empty(),
        "its own module, not the crate"
    );
}
