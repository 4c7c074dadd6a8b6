//! How reading goes on in a document with faults: without what is wrong, with examples for what is
//! missing.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One change to a tree.
#[derive(Clone, Debug)]
pub enum Repair<'t> {
    /// Takes out the entry at that place (its name or value is there), or the element of a list.
    Remove(Range<usize>),
    /// Adds a value to the table at that place, which has none of that name.
    Insert {
        /// The table; `None` for the document itself.
        table: Option<Range<usize>>,
        /// The name.
        name: String,
        /// The value.
        value: Spanned<DeValue<'t>>,
    },
}

/// Two repairs are one if they do the same thing in the same place.
impl PartialEq for Repair<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Remove(one), Self::Remove(another)) => one == another,
            (
                Self::Insert { table, name, .. },
                Self::Insert {
                    table: another,
                    name: of_another,
                    ..
                },
            ) => table == another && name == of_another,
            _ => false,
        }
    }
}

impl<'t> Repair<'t> {
    /// Changes the tree under `root`.
    pub fn apply(&self, root: &mut DeTable<'t>) {
        match self {
            Self::Remove(span) => drop(remove(root, span)),
            Self::Insert { table, name, value } => {
                let into = |table: &mut DeTable<'t>| {
                    let is_free = !table.keys().any(|key| key.get_ref() == name);
                    if is_free {
                        table.insert(
                            Spanned::new(value.span(), name.clone().into()),
                            value.clone(),
                        );
                    }
                    is_free
                };
                match table {
                    Some(span) => within_table(root, span, &into),
                    None => into(root),
                };
            }
        }
    }
}

/// Takes out the entry at that place, at any depth in `table`; returns whether it was found.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let found = table
        .iter()
        .find(|(key, value)| key.span() == *span || value.span() == *span)
        .map(|(key, _)| key.get_ref().clone().into_owned());
    if let Some(name) = found {
        return table.remove(name.as_str()).is_some();
    }
    table
        .iter_mut()
        .any(|(_, value)| remove_within(value, span))
}

fn remove_within(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(items) => {
            if items.iter().any(|item| item.span() == *span) {
                let kept = std::mem::replace(items, DeArray::new()).into_iter();
                *items = kept
                    .filter(|item| item.span() != *span)
                    .collect::<DeArray<'_>>();
                return true;
            }
            items.iter_mut().any(|item| remove_within(item, span))
        }
        _ => false,
    }
}

/// Passes the tables at that place to `into`, until it accepts one; returns whether it did.
fn within_table<'t>(
    table: &mut DeTable<'t>,
    span: &Range<usize>,
    into: &impl Fn(&mut DeTable<'t>) -> bool,
) -> bool {
    table
        .iter_mut()
        .any(|(_, value)| within_value(value, span, into))
}

fn within_value<'t>(
    value: &mut Spanned<DeValue<'t>>,
    span: &Range<usize>,
    into: &impl Fn(&mut DeTable<'t>) -> bool,
) -> bool {
    let is_it = value.span() == *span;
    match value.get_mut() {
        DeValue::Table(table) => (is_it && into(table)) || within_table(table, span, into),
        DeValue::Array(items) => items.iter_mut().any(|item| within_value(item, span, into)),
        _ => false,
    }
}

/// The text with the commented-out settings included.
pub fn without_comments(text: &str) -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with([' ', '#']) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

/// The value that the reference's `text` shows for a key such as `clients[1].name`.
pub fn example<'t>(text: &'t str, key: &str) -> Option<Spanned<DeValue<'t>>> {
    let root = DeTable::parse(text).ok()?;
    let span = root.span();
    let mut value = Spanned::new(span, DeValue::Table(root.into_inner()));
    let names = key
        .split('.')
        .map(|name| name.split('[').next().unwrap_or(name));
    for name in names {
        if let DeValue::Array(items) = value.get_ref() {
            value = items.iter().next()?.clone();
        }
        let DeValue::Table(table) = value.into_inner() else {
            return None;
        };
        value = table.get(name)?.clone();
    }
    Some(value)
}
