//! Circles of imports within the folders of the crate.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Module;

/// Which module uses which, each by its path in the crate.
type Uses = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// Every circle within a folder, as a line of text: the folder, and the modules that use each other.
///
/// What counts as one module of a folder is a file with everything below it. The folder's own file
/// (`mod.rs`) is one more, with what it does besides declaring its modules and passing on their items:
/// who uses what is passed on uses the module it comes from.
pub fn circles(modules: &[Module]) -> BTreeSet<String> {
    let by_path = modules.iter().map(|it| (it.path.as_slice(), it)).collect();
    let uses = uses(modules, &by_path);
    let folders = modules.iter().filter(|it| !it.children.is_empty());
    folders.flat_map(|it| circles_of(&it.path, &uses)).collect()
}

type ByPath<'a> = BTreeMap<&'a [String], &'a Module>;

fn uses(modules: &[Module], by_path: &ByPath<'_>) -> Uses {
    let used_by = |module: &Module| {
        let names = module.names.iter();
        let own = names.filter(|name| !module.passed_on.contains(name));
        own.filter_map(|name| home_of(module, name, by_path))
            .collect()
    };
    let uses = modules.iter().map(|it| (it.path.clone(), used_by(it)));
    uses.collect()
}

/// The module that has what `name` leads to, seen from `module`; none when it leads out of the crate.
fn home_of(module: &Module, name: &[String], by_path: &ByPath<'_>) -> Option<Vec<String>> {
    let mut at = module.path.clone();
    let mut rest = name;
    match name[0].as_str() {
        "crate" | "guichet" => at.clear(),
        "self" | "super" => {}
        child if module.children.iter().any(|it| it == child) => {}
        _ => return None,
    }
    while let [segment, further @ ..] = rest {
        let here = by_path.get(at.as_slice())?;
        match segment.as_str() {
            "crate" | "guichet" | "self" => {}
            "super" => drop(at.pop()?),
            child if here.children.iter().any(|it| it == child) => at.push(segment.clone()),
            item => {
                let passed_on = here.passed_on.iter();
                let mut of_item = passed_on.filter(|it| it.last().is_some_and(|it| it == item));
                return match of_item.next() {
                    Some(origin) => home_of(here, origin, by_path).or(Some(at)),
                    None => Some(at),
                };
            }
        }
        rest = further;
    }
    Some(at)
}

fn circles_of(folder: &[String], uses: &Uses) -> BTreeSet<String> {
    let node = |path: &[String]| -> Option<String> {
        let below = path.strip_prefix(folder)?;
        Some(below.first().map_or("mod", String::as_str).to_owned())
    };
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, used) in uses {
        let Some(user) = node(user) else { continue };
        let used = used.iter().filter_map(|it| node(it));
        let others = used.filter(|it| *it != user);
        edges.entry(user.clone()).or_default().extend(others);
    }
    let reach: BTreeMap<&String, BTreeSet<&String>> = edges
        .keys()
        .map(|from| (from, reached(from, &edges)))
        .collect();
    let leads = |from: &String, to: &String| reach.get(from).is_some_and(|it| it.contains(to));
    let circular = edges.keys().filter(|it| leads(it, it));
    circular
        .map(|it| {
            let circle: Vec<String> = edges[it]
                .iter()
                .filter(|other| leads(other, it))
                .cloned()
                .collect();
            format!("{}: {it} -> {}", folder.join("::"), circle.join(", "))
        })
        .collect()
}

/// What `from` leads to, itself only by way of another.
fn reached<'a>(from: &str, edges: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = edges[from].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(edges.get(module).into_iter().flatten());
        }
    }
    reached
}
