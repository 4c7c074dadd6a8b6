//! What a schema says, flattened: every field by its path, with what may stand there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Every field of a schema by its path: `` is the whole, `.members[].guid` a guid of a list.
pub type Shape = BTreeMap<String, Field>;

/// What may stand in one field.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// Names of JSON types, without `null`; none if anything may stand there.
    pub types: BTreeSet<String>,
    /// Whether `null` may.
    pub nullable: bool,
    /// Whether it has to be there when the object around it is.
    pub required: bool,
    /// The only texts that may, if they are listed.
    pub values: Option<BTreeSet<String>>,
}

/// An OpenAPI document, version 3.0 or 3.1.
#[derive(Clone, Copy)]
pub struct Document<'a>(pub &'a Value);

impl<'a> Document<'a> {
    /// What a value refers to, or the value itself.
    ///
    /// # Panics
    ///
    /// If it refers to nothing.
    pub fn resolve(self, mut value: &'a Value) -> &'a Value {
        while let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            let found = self.0.pointer(pointer);
            value = found.unwrap_or_else(|| panic!("{reference} leads nowhere"));
        }
        value
    }

    /// The fields of a schema.
    pub fn shape(self, schema: &'a Value) -> Shape {
        let schema = self.resolve(schema);
        let mut shape = Shape::from([(String::new(), Field::of(schema))]);
        let required = texts(&schema["required"]).unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            for (path, mut field) in self.shape(property) {
                field.required = if path.is_empty() {
                    required.contains(name)
                } else {
                    field.required
                };
                shape.insert(format!(".{name}{path}"), field);
            }
        }
        if schema["items"].is_object() {
            let items = self.shape(&schema["items"]).into_iter();
            shape.extend(items.map(|(path, field)| (format!("[]{path}"), field)));
        }
        for part in list(&schema["allOf"]) {
            for (path, field) in self.shape(part) {
                shape.entry(path).or_default().and(field);
            }
        }
        for alternatives in ["oneOf", "anyOf"] {
            let alternatives = list(&schema[alternatives]).map(|one| self.shape(one));
            let Some(either) = alternatives.reduce(either) else {
                continue;
            };
            for (path, field) in either {
                shape.entry(path).or_default().and(field);
            }
        }
        shape
    }
}

impl Field {
    /// What a schema says about its own value.
    fn of(schema: &Value) -> Self {
        let mut types = match &schema["type"] {
            Value::String(only) => BTreeSet::from([only.clone()]),
            several => texts(several).unwrap_or_default(),
        };
        if types.is_empty() && schema["properties"].is_object() {
            types.insert("object".to_owned());
        }
        if types.is_empty() && schema["items"].is_object() {
            types.insert("array".to_owned());
        }
        let may_be_null = types.remove("null");
        Self {
            types,
            nullable: may_be_null || schema["nullable"] == true,
            required: false,
            values: texts(&schema["enum"]),
        }
    }

    /// Whether only `null` may stand there.
    fn is_null(&self) -> bool {
        self.nullable && self.types.is_empty()
    }

    /// Another part says something about the same field, and both hold.
    fn and(&mut self, other: Self) {
        self.types.extend(other.types);
        self.nullable |= other.nullable;
        self.required |= other.required;
        self.values = self.values.take().or(other.values);
    }

    /// Another alternative says something about the same field, and either may hold.
    fn or(&mut self, other: Self) {
        self.types.extend(other.types);
        self.nullable |= other.nullable;
        self.required &= other.required;
        self.values = match (self.values.take(), other.values) {
            (Some(mut all), Some(more)) => {
                all.extend(more);
                Some(all)
            }
            _ => None,
        };
    }
}

/// The fields of either of two; those of one alone are not required.
fn either(mut one: Shape, other: Shape) -> Shape {
    // The alternative that is only `null` says nothing about fields, nor about texts.
    let is_null = |shape: &Shape| shape.len() == 1 && shape[""].is_null();
    if is_null(&one) || is_null(&other) {
        let mut kept = if is_null(&one) { other } else { one };
        kept.entry(String::new()).or_default().nullable = true;
        return kept;
    }
    for (path, field) in &mut one {
        field.required &= other.contains_key(path);
    }
    for (path, mut field) in other {
        match one.get_mut(&path) {
            Some(known) => known.or(field),
            None => {
                field.required = false;
                one.insert(path, field);
            }
        }
    }
    one
}

/// The items of a list, or nothing.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The texts of a list; none if there is no list.
fn texts(value: &Value) -> Option<BTreeSet<String>> {
    let items = value.as_array()?.iter().filter_map(Value::as_str);
    Some(items.map(str::to_owned).collect())
}
