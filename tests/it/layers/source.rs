//! Rust source read just far enough to know what it imports: comments and test code are left
//! out, `mod` declarations are followed, and paths are taken apart, groups included.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the crate, without its tests.
pub struct Module {
    /// Where it is in the crate: empty for the root, `["store", "redis"]` for `store::redis`.
    pub path: Vec<String>,
    /// Every path its code names that has at least two segments.
    pub names: Vec<Vec<String>>,
    /// The paths that it re-exports (`pub use`).
    pub passed_on: Vec<Vec<String>>,
    /// Modules it declares, which hide crates of the same name.
    pub children: Vec<String>,
    /// Its code, without comments and tests.
    pub code: String,
}

/// Reads `file` as the module `path`, and every module below it that is not a test's.
///
/// # Panics
///
/// If a declared module has no file.
pub fn read_tree(file: &Path, path: Vec<String>) -> Vec<Module> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let module = read(&text, path);
    let folder = folder_of(file);
    let below = module.children.clone();
    let path = module.path.clone();
    let mut all = vec![module];
    for child in below {
        let beside = folder.join(format!("{child}.rs"));
        let file = if beside.exists() {
            beside
        } else {
            folder.join(&child).join("mod.rs")
        };
        all.extend(read_tree(&file, [path.as_slice(), &[child]].concat()));
    }
    all
}

/// The folder that the modules declared in `file` live in.
fn folder_of(file: &Path) -> PathBuf {
    let parent = file.parent().expect("a file is in a folder");
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => parent.to_owned(),
        Some(stem) => parent.join(stem),
    }
}

/// Reads the text of one module.
pub fn read(text: &str, path: Vec<String>) -> Module {
    let code = without_tests(text);
    let children = code.lines().filter_map(declared_module).collect();
    Module {
        names: names(&code),
        passed_on: passed_on(&code),
        path,
        children,
        code,
    }
}

/// `mod name;`, with whatever visibility.
fn declared_module(line: &str) -> Option<String> {
    let (visibility, rest) = line.trim().split_once("mod ")?;
    let is_declaration = visibility.is_empty() || visibility.starts_with("pub");
    let name = rest.strip_suffix(';')?;
    (is_declaration && name.chars().all(is_of_name)).then(|| name.to_owned())
}

/// The code without comments and without the items under `#[cfg(test)]`. The code is formatted, so an
/// item ends with its own indentation's `}` or with a `;` on its line.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed == "#[cfg(test)]" {
            let indentation = &line[..line.len() - trimmed.len()];
            let end = format!("{indentation}}}");
            for line in lines.by_ref() {
                let is_short_item = line.ends_with(';') && line.starts_with(indentation);
                let inside = line[..line.len().min(indentation.len() + 1)]
                    .trim()
                    .is_empty();
                if line == end || (is_short_item && !inside) {
                    break;
                }
            }
            continue;
        }
        if !trimmed.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Every path of a `pub use`, whatever its visibility.
fn passed_on(code: &str) -> Vec<Vec<String>> {
    let items = code.split("pub").skip(1).filter_map(|item| {
        let (visibility, uses) = item.split_once("use ")?;
        let is_visibility = visibility.trim().is_empty() || visibility.ends_with(") ");
        (is_visibility && !visibility.contains('\n')).then(|| uses.split(';').next())?
    });
    items.flat_map(names).collect()
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Every path of two or more segments, `a::{b, c::d}` being `a::b` and `a::c::d`.
fn names(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut before = ' ';
    let mut rest = code;
    while let Some(character) = rest.chars().next() {
        let starts = is_of_name(character) && !is_of_name(before) && before != ':';
        if starts {
            let (name, after) = name_at(rest);
            if after.starts_with("::") {
                expand(rest, &mut Vec::new(), &mut found);
            }
            before = name.chars().next_back().unwrap_or(character);
            rest = after;
        } else {
            before = character;
            rest = &rest[character.len_utf8()..];
        }
    }
    found
}

fn name_at(text: &str) -> (&str, &str) {
    let end = text.find(|character| !is_of_name(character));
    text.split_at(end.unwrap_or(text.len()))
}

/// Adds the paths that begin at `text`, each after `prefix`; gives what follows.
fn expand<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = expand(group, &mut prefix.clone(), found).trim_start();
            match group.strip_prefix(',') {
                Some(more) if more.trim_start().starts_with('}') => return more,
                Some(more) => group = more,
                None => return group.strip_prefix('}').unwrap_or(group),
            }
        }
    }
    let (name, after) = name_at(text);
    if !name.is_empty() {
        prefix.push(name.to_owned());
    }
    match after.strip_prefix("::") {
        Some(further) if !name.is_empty() => expand(further, prefix, found),
        _ => {
            if prefix.len() > 1 {
                found.push(prefix.clone());
            }
            // `use a::b as c`: the new name is no path.
            let renamed = after.trim_start().strip_prefix("as ");
            renamed.map_or(after, |renamed| name_at(renamed).1)
        }
    }
}
