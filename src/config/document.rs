//! One TOML document with the environment laid over it, in which every value knows its place.
//!
//! The parser marks each value with its byte range in the text. Values from the environment get
//! one-byte ranges behind the end of the text, one per variable, so a range alone tells where a
//! value came from and one way of reporting serves both.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::fault::{ConfigError, Fault, Place};

/// What leads the names of the variables that override settings.
pub const PREFIX: &str = "GUICHET__";

/// One environment variable that overrides one setting.
pub struct Override {
    /// The variable's name.
    pub name: String,
    /// The setting's value, as TOML or as bare text.
    pub value: String,
}

/// A document that was read: enough to say where each of its values stands.
pub struct Document {
    file: String,
    text: String,
    variables: Vec<String>,
    keys: Vec<(Range<usize>, String)>,
    reference: &'static str,
}

impl Document {
    /// Reads `text`, which is called `file` in messages, with `overrides` laid over it.
    ///
    /// `reference` names the file that documents the keys.
    pub fn read<T: DeserializeOwned>(
        file: &str,
        text: &str,
        overrides: &[Override],
        reference: &'static str,
    ) -> Result<(T, Document), ConfigError> {
        let mut document = Document {
            file: file.to_owned(),
            text: text.to_owned(),
            variables: overrides.iter().map(|o| o.name.clone()).collect(),
            keys: Vec::new(),
            reference,
        };
        let mut bare = vec![false; overrides.len()];
        loop {
            let root = document.merge(text, overrides, &bare)?;
            document.keys.clear();
            index("", root.get_ref(), &mut document.keys);
            let error = match T::deserialize(Deserializer::from(root)) {
                Ok(value) => return Ok((value, document)),
                Err(error) => error,
            };
            // `token=12345` is a number to TOML and a text to whoever set it: where the number is
            // of the wrong type, the text is tried.
            let variable = error.span().and_then(|span| document.variable(span.start));
            match variable {
                Some(i) if !bare[i] && is_wrong_type(error.message()) => bare[i] = true,
                _ => return Err(document.explain(&error)),
            }
        }
    }

    /// Where the setting of the full name `key` was written, if it was.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        let is_it = |(_, path): &&(Range<usize>, String)| path == key;
        let (span, _) = self.keys.iter().rfind(is_it)?;
        Some(self.place(span.start))
    }

    /// An [`ConfigError::Invalid`] for the setting of the full name `key`, placed at its section
    /// when nobody wrote it.
    pub fn invalid(&self, key: &str, problem: impl Into<String>) -> ConfigError {
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
        ConfigError::Invalid(Fault {
            place,
            key: key.to_owned(),
            problem: problem.into(),
        })
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
    ) -> Result<Spanned<DeTable<'t>>, ConfigError> {
        let root = DeTable::parse(text).map_err(|error| self.explain(&error))?;
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
    ) -> Result<(), ConfigError> {
        let span = value.span();
        let refuse = |problem: &str| {
            ConfigError::Invalid(Fault {
                place: Place::Variable(name.to_owned()),
                key: String::new(),
                problem: problem.to_owned(),
            })
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

    /// Our words for a parser's error. What the parser quotes of a value is left out: it may be
    /// part of a secret.
    fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
        let see = self.reference;
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let known = rest
                .split_once(", expected ")
                .map_or("", |(_, known)| known);
            let known = known.trim_start_matches("one of ");
            let problem = format!("there is no such key; remove it or use one of {known} ({see})");
            return ConfigError::UnknownKey(self.fault(span, problem));
        }
        if let Some(rest) = message.strip_prefix("missing field ") {
            let mut fault = self.fault(span, format!("is missing; add it ({see} explains it)"));
            let dot = if fault.key.is_empty() { "" } else { "." };
            fault.key = format!("{}{dot}{}", fault.key, quoted(rest));
            return ConfigError::MissingKey(fault);
        }
        if is_wrong_type(message) {
            let wanted = message.rsplit_once(", expected ").map_or("", |(_, w)| w);
            let wanted = match wanted {
                "a sequence" => "a list in square brackets",
                "a map" => "a section with keys of its own",
                "a boolean" => "true or false",
                "i64" => "a whole number",
                "" | "a string" => "text in quotes",
                wanted => wanted,
            };
            let problem = format!("has the wrong type; write {wanted} here ({see})");
            return ConfigError::WrongType(self.fault(span, problem));
        }
        if self.keys.is_empty() && self.variable(span.start).is_none() {
            let problem = format!("is not TOML: {message}; correct the line");
            return ConfigError::Syntax(self.fault(span, problem));
        }
        ConfigError::Invalid(self.fault(span, message))
    }
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
