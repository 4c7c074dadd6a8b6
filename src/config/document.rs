//! One TOML document with overrides from the environment, in which every value has its place.
//!
//! The parser marks each value with its byte range in the text. Values from the environment get
//! one-byte ranges behind the end of the text, one per variable, so a range alone tells where a
//! value came from and one way of reporting serves both.
//!
//! Reading finds all faults, not only the first: what is wrong is taken out, what is missing gets the
//! example value of the reference file, and the rest is read again. The settings of such a document are
//! checked but never used.

use std::cell::LazyCell;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::fault::{ConfigError, Fault, Place};
use super::repair::{Repair, example, without_comments};

/// The prefix of the variables that override settings.
pub const PREFIX: &str = "GUICHET__";

/// One environment variable that overrides one setting.
pub struct Override {
    /// The variable's name.
    pub name: String,
    /// The setting's value, as TOML or as bare text.
    pub value: String,
}

/// The file that explains the keys of a document, every one with a value or an example.
#[derive(Clone, Copy)]
pub struct Reference {
    /// Its name, for messages.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// The most faults that are looked for.
const MOST: usize = 100;

/// A document that was read, with the place of each value.
pub struct Document {
    file: String,
    text: String,
    variables: Vec<String>,
    keys: Vec<(Range<usize>, String)>,
    reference: Reference,
    faults: Vec<Fault>,
    /// The keys whose values are not those that were written.
    replaced: Vec<String>,
}

impl Document {
    /// Reads `text`, which is called `file` in messages, with `overrides`. The faults are in
    /// [`Self::faults`].
    ///
    /// # Errors
    ///
    /// [`ConfigError::Faults`] if reading cannot go on: it is not TOML, or it has too many faults to
    /// list.
    pub fn read<T: DeserializeOwned>(
        file: &str,
        text: &str,
        overrides: &[Override],
        reference: Reference,
    ) -> Result<(T, Document), ConfigError> {
        let mut document = Document {
            file: file.to_owned(),
            text: text.to_owned(),
            variables: overrides.iter().map(|o| o.name.clone()).collect(),
            keys: Vec::new(),
            reference,
            faults: Vec::new(),
            replaced: Vec::new(),
        };
        let examples = LazyCell::new(|| without_comments(reference.text));
        let mut bare = vec![false; overrides.len()];
        let mut repairs: Vec<Repair<'_>> = Vec::new();
        loop {
            let mut root = match document.merge(text, overrides, &bare) {
                Ok(root) => root,
                Err(fault) => return Err(ConfigError::Faults(vec![fault])),
            };
            document.keys.clear();
            index("", root.get_ref(), &mut document.keys);
            for repair in &repairs {
                repair.apply(root.get_mut());
            }
            let error = match T::deserialize(Deserializer::from(root)) {
                Ok(value) => return Ok((value, document)),
                Err(error) => error,
            };
            // `token=12345` is a number in TOML, but the person meant a text: if a number has the wrong
            // type, the text is tried.
            let variable = error.span().and_then(|span| document.variable(span.start));
            match variable {
                Some(i) if !bare[i] && is_wrong_type(error.message()) => {
                    bare[i] = true;
                    continue;
                }
                _ => {}
            }
            let repair = document.note(&error, &examples);
            match repair.filter(|repair| !repairs.contains(repair)) {
                Some(repair) if document.faults.len() < MOST => repairs.push(repair),
                _ => return Err(ConfigError::Faults(document.faults)),
            }
        }
    }

    /// The faults of the document alone.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether `key` and everything under it is as it was written.
    pub fn is_as_written(&self, key: &str) -> bool {
        !self
            .replaced
            .iter()
            .any(|replaced| is_within(replaced, key) || is_within(key, replaced))
    }

    /// Whether `key` and everything else in its section is as it was written.
    pub fn is_section_as_written(&self, key: &str) -> bool {
        let section = |key: &str| key.rfind('.').map(|dot| key[..dot].to_owned());
        let own = section(key);
        let is_beside = |replaced: &String| own.is_some() && section(replaced) == own;
        self.is_as_written(key) && !self.replaced.iter().any(is_beside)
    }

    /// Where the setting of the full name `key` was written, if it was.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        let is_it = |(_, path): &&(Range<usize>, String)| path == key;
        let (span, _) = self.keys.iter().rfind(is_it)?;
        Some(self.place(span.start))
    }

    /// A fault of the setting of the full name `key`, placed at its section if the setting was not
    /// written.
    pub fn fault_of(&self, key: &str, problem: impl Into<String>) -> Fault {
        let mut nearest = key;
        let place = loop {
            if let Some(place) = self.place_of(nearest) {
                break place;
            }
            match nearest.rfind(['.', '[']) {
                Some(end) => nearest = &nearest[..end],
                None => break self.place(0),
            }
        };
        Fault {
            place,
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    fn fault(&self, span: Range<usize>, problem: impl Into<String>) -> Fault {
        Fault {
            place: self.place(span.start),
            key: self.key(span.start),
            problem: problem.into(),
        }
    }

    fn merge<'t>(
        &self,
        text: &'t str,
        overrides: &'t [Override],
        bare: &[bool],
    ) -> Result<Spanned<DeTable<'t>>, Fault> {
        let root = DeTable::parse(text).map_err(|error| {
            let problem = format!("is not TOML: {}; correct the line", error.message());
            let place = self.place(error.span().unwrap_or(0..0).start);
            Fault {
                place,
                key: String::new(),
                problem,
            }
        })?;
        let span = root.span();
        let mut root = root.into_inner();
        for (i, variable) in overrides.iter().enumerate() {
            let at = self.text.len() + 1 + i;
            let value = if bare[i] {
                DeValue::String(variable.value.as_str().into())
            } else {
                value_of(&variable.value, at)
            };
            self.insert(&mut root, &variable.name, Spanned::new(at..at + 1, value))?;
        }
        Ok(Spanned::new(span, root))
    }

    fn insert<'t>(
        &self,
        root: &mut DeTable<'t>,
        name: &str,
        value: Spanned<DeValue<'t>>,
    ) -> Result<(), Fault> {
        let span = value.span();
        let refuse = |problem: &str| Fault {
            place: Place::Variable(name.to_owned()),
            key: String::new(),
            problem: problem.to_owned(),
        };
        if value.get_ref().is_table() {
            return Err(refuse(
                "sets a whole section; set its keys one by one, as GUICHET__SECTION__KEY",
            ));
        }
        let path = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
        let mut segments: Vec<String> = path.split("__").map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return Err(refuse(
                "does not name a setting; write it as GUICHET__SECTION__KEY or GUICHET__KEY",
            ));
        }
        let last = segments.pop().unwrap_or_default();
        let mut table = root;
        for segment in segments {
            let entry = table
                .entry(Spanned::new(span.clone(), segment.into()))
                .or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
            let DeValue::Table(next) = entry.get_mut() else {
                return Err(refuse(
                    "reaches into a value that is not a section; lists are set whole, as in \
                     '[\"a\", \"b\"]', and a secret inside one is read from a variable of your own \
                     choice with `…_env = \"NAME\"` beside it in the file",
                ));
            };
            table = next;
        }
        table.insert(Spanned::new(span, last.into()), value);
        Ok(())
    }

    fn variable(&self, offset: usize) -> Option<usize> {
        let i = offset.checked_sub(self.text.len() + 1)?;
        (i < self.variables.len()).then_some(i)
    }

    fn place(&self, offset: usize) -> Place {
        if let Some(i) = self.variable(offset) {
            return Place::Variable(self.variables[i].clone());
        }
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The narrowest key whose name or value covers `offset`.
    fn key(&self, offset: usize) -> String {
        self.keys
            .iter()
            .filter(|(span, _)| span.contains(&offset))
            .min_by_key(|(span, path)| (span.len(), std::cmp::Reverse(path.len())))
            .map(|(_, path)| path.clone())
            .unwrap_or_default()
    }

    /// Records the parser's error, and returns how to go on without the faulty part.
    fn note<'t>(&mut self, error: &toml::de::Error, examples: &'t str) -> Option<Repair<'t>> {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        if message.starts_with("unknown field ") {
            self.faults.push(self.explain(span.clone(), message));
            return Some(Repair::Remove(span));
        }
        if let Some(rest) = message.strip_prefix("missing field ") {
            let mut fault = self.explain(span.clone(), message);
            // The document itself has no place: its range is empty.
            let table = (!span.is_empty()).then_some(span);
            if table.is_none() {
                fault.key.clear();
            }
            let name = quoted(rest);
            let dot = if fault.key.is_empty() { "" } else { "." };
            fault.key = format!("{}{dot}{name}", fault.key);
            let path = fault.key.clone();
            // A part that was taken out has been reported already.
            if !self.replaced.contains(&path) {
                self.faults.push(fault);
                self.replaced.push(path.clone());
            }
            let nowhere = self.text.len() + 1 + self.variables.len();
            let value = moved(example(examples, &path)?, nowhere);
            return Some(Repair::Insert {
                table,
                name: name.to_owned(),
                value,
            });
        }
        let fault = self.explain(span.clone(), message);
        self.replaced.push(fault.key.clone());
        self.faults.push(fault);
        let covers = |range: &&Range<usize>| range.contains(&span.start);
        let ranges = self.keys.iter().map(|(range, _)| range);
        let narrowest = ranges.filter(covers).min_by_key(|range| range.len());
        narrowest.cloned().map(Repair::Remove)
    }

    /// Our message for a parser's error. Values that the parser quotes are left out, because they may be
    /// part of a secret.
    fn explain(&self, span: Range<usize>, message: &str) -> Fault {
        let see = self.reference.name;
        let problem = if let Some(rest) = message.strip_prefix("unknown field ") {
            let known = rest
                .split_once(", expected ")
                .map_or("", |(_, known)| known);
            let known = known.trim_start_matches("one of ");
            format!("there is no such key; remove it or use one of {known} ({see})")
        } else if message.starts_with("missing field ") {
            format!("is missing; add it ({see} explains it)")
        } else if is_wrong_type(message) {
            let wanted = message.rsplit_once(", expected ").map_or("", |(_, w)| w);
            let wanted = match wanted {
                "a sequence" => "a list in square brackets",
                "a map" => "a section with keys of its own",
                "a boolean" => "true or false",
                "i64" => "a whole number",
                "" | "a string" => "text in quotes",
                wanted => wanted,
            };
            format!("has the wrong type; write {wanted} here ({see})")
        } else {
            message.to_owned()
        };
        self.fault(span, problem)
    }
}

/// The first thing in backticks.
fn quoted(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or_default()
}

/// Whether `key` is `other` or under it.
fn is_within(key: &str, other: &str) -> bool {
    let rest = key.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn is_wrong_type(message: &str) -> bool {
    message.starts_with("invalid type: ") || message == "wanted string or table"
}

/// `text` as TOML, else as bare text, with every part of it at `at`.
fn value_of(text: &str, at: usize) -> DeValue<'_> {
    match DeValue::parse(text) {
        Ok(value) => moved(value, at).into_inner(),
        Err(_) => DeValue::String(text.into()),
    }
}

/// `value` with every part of it at `at`.
fn moved(value: Spanned<DeValue<'_>>, at: usize) -> Spanned<DeValue<'_>> {
    let here = at..at + 1;
    let value = match value.into_inner() {
        DeValue::Array(items) => DeValue::Array(
            items
                .into_iter()
                .map(|item| moved(item, at))
                .collect::<DeArray>(),
        ),
        DeValue::Table(table) => {
            let entry = |(key, value): (Spanned<_>, _)| {
                (
                    Spanned::new(here.clone(), key.into_inner()),
                    moved(value, at),
                )
            };
            DeValue::Table(table.into_iter().map(entry).collect())
        }
        scalar => scalar,
    };
    Spanned::new(here, value)
}

/// Lists the ranges of all names and values under `table`, with their full names.
fn index(path: &str, table: &DeTable<'_>, keys: &mut Vec<(Range<usize>, String)>) {
    for (key, value) in table {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.get_ref());
        keys.push((key.span(), path.clone()));
        index_value(&path, value, keys);
    }
}

fn index_value(path: &str, value: &Spanned<DeValue<'_>>, keys: &mut Vec<(Range<usize>, String)>) {
    keys.push((value.span(), path.to_owned()));
    match value.get_ref() {
        DeValue::Table(table) => index(path, table, keys),
        DeValue::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                index_value(&format!("{path}[{i}]"), item, keys);
            }
        }
        _ => {}
    }
}
