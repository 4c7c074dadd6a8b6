//! The fields of every kind of record, held against a list that names the number of the form.
//!
//! What derives `Deserialize` tells its deserializer the names of its fields. The one here notes them and goes
//! into one field after the other; it never gives a value.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::FORM;
use crate::domain::challenge::ImageOption;
use crate::domain::credential::FieldOption;
use crate::domain::job::Pulled;
use crate::steps::record::{KINDS, Key, Record};
use crate::steps::sealed::SEALED_KINDS;

#[test]
fn a_new_field_raises_the_form() {
    let found = Found::default();
    for kind in KINDS {
        let key = Key::found(&kind.to_string());
        found.look_into(&mut Vec::new(), &|fields| drop(Record::read(&key, fields)));
    }
    // They stand in a pair, and behind a `flatten`, where this does not look.
    found.look_into(&mut Vec::new(), &|fields| drop(Pulled::deserialize(fields)));
    found.look_into(&mut Vec::new(), &|fields| {
        drop(FieldOption::deserialize(fields))
    });
    found.look_into(&mut Vec::new(), &|fields| {
        drop(ImageOption::deserialize(fields))
    });
    let kinds: String = KINDS.iter().collect();
    let mut list = format!("form {FORM}, kinds {kinds}\n");
    for (name, fields) in found.names.into_inner() {
        let fields: Vec<_> = fields.into_iter().collect();
        list.push_str(&format!("{name}: {}\n", fields.join(" ")));
    }
    assert!(
        list == include_str!("fields.txt"),
        "a record has other fields than src/store/encoding/fields.txt says. If one was added, raise FORM in \
         src/store/encoding.rs: only then an older version keeps it. The list is now:\n{list}"
    );
}

/// A record of each kind that holds envelopes, with one, `AAAA`, in every field for them.
const SEALED: &[(char, &str)] = &[
    (
        'f',
        r#"{"client": "acme", "institution": "bank", "sealed": "AAAA", "ended_at": 0, "expires_at": 0}"#,
    ),
    ('g', r#"{"sealed": "AAAA"}"#),
    ('h', r#"{"sealed": "AAAA", "expires_at": 0}"#),
    (
        'i',
        r#"{"request": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "holder": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "ends_at": 0, "sealed_response": "AAAA"}"#,
    ),
    (
        'j',
        r#"{"job": {"guid": "JOB-00000000-0000-4000-8000-000000000001",
            "member": "MBR-00000000-0000-4000-8000-000000000001",
            "user": "USR-00000000-0000-4000-8000-000000000001", "client": "acme", "institution": "bank",
            "status": "QUEUED", "attempt": 0, "due_at": 0, "created_at": 0, "updated_at": 0},
            "sealed_answers": "AAAA"}"#,
    ),
    (
        'r',
        r#"{"client": "acme", "institution": "bank", "sealed": ["AAAA"], "since": 0, "due_at": 0,
            "code": {"attempt": "00AAAAAAAAAAAAAAAAAAAAAA", "response": "AAAA", "secrets": "AAAA"}}"#,
    ),
    (
        'w',
        r#"{"window": {"member": "AAAAAAAAAAAAAAAAAAAAAA", "user": "AAAAAAAAAAAAAAAAAAAAAA", "client": "acme",
            "status": "issued", "created": 0, "updated": 0, "deadline": 0},
            "attempts": [{"id": "00AAAAAAAAAAAAAAAAAAAAAA", "binding": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "sealed": "AAAA"}],
            "authorization": {"attempt": "00AAAAAAAAAAAAAAAAAAAAAA", "institution": "bank", "generation": 1, "handle": "AAAA",
            "response": "AAAA", "tokens": "AAAA"}}"#,
    ),
];

/// The ways to the fields of a kind of record that hold envelopes, each as the names along it.
fn envelopes_of(kind: char) -> BTreeSet<Vec<&'static str>> {
    let found = Found::default();
    let key = Key::found(&kind.to_string());
    found.look_into(&mut Vec::new(), &|fields| drop(Record::read(&key, fields)));
    found.envelopes.into_inner()
}

#[test]
fn the_envelope_in_every_field_that_holds_one_can_be_replaced() {
    for (kind, json) in SEALED {
        let key = Key::found(&kind.to_string());
        let record = Record::read(&key, &mut serde_json::Deserializer::from_str(json));
        let mut record = record.unwrap_or_else(|error| panic!("{kind}: {error}"));
        for (_, envelope) in record.envelopes() {
            *envelope = vec![255; 3].into();
        }
        let written = serde_json::to_value(&record).expect("JSON");
        for field in envelopes_of(*kind) {
            let place = field.iter().fold(&written, |value, name| {
                let value = &value[name];
                value.get(0).unwrap_or(value)
            });
            assert_eq!(
                place, "////",
                "{kind}, {field:?}: Record::envelopes leaves it out, or SEALED does"
            );
        }
    }
}

#[test]
fn the_kinds_of_records_that_hold_envelopes_are_listed() {
    let has_any = |kind: &&char| !envelopes_of(**kind).is_empty();
    let mut found: Vec<&char> = KINDS.iter().filter(has_any).collect();
    found.sort_unstable();
    let listed = SEALED_KINDS.iter().map(|(kind, _)| kind);
    assert_eq!(listed.collect::<Vec<_>>(), found);
    let tried = SEALED.iter().map(|(kind, _)| kind);
    assert_eq!(tried.collect::<Vec<_>>(), found);
}

/// What was found.
#[derive(Default)]
struct Found {
    /// The names of what a type is made of, by the type's name.
    names: RefCell<BTreeMap<&'static str, BTreeSet<&'static str>>>,
    /// How many parts there are at the end of the path.
    parts: RefCell<usize>,
    /// The names along the path.
    trail: RefCell<Vec<&'static str>>,
    /// The trails to envelopes.
    envelopes: RefCell<BTreeSet<Vec<&'static str>>>,
}

impl Found {
    /// Looks into what is at the end of the path, and into everything in it.
    fn look_into(&self, path: &mut Vec<usize>, read: &dyn Fn(Fields<'_>)) {
        self.parts.replace(0);
        self.trail.borrow_mut().clear();
        read(Fields { found: self, path });
        for part in 0..self.parts.take() {
            path.push(part);
            self.look_into(path, read);
            path.pop();
        }
    }
}

/// A deserializer that goes along a path, and ends with an error at its end.
#[derive(Clone, Copy)]
struct Fields<'a> {
    found: &'a Found,
    path: &'a [usize],
}

impl Fields<'_> {
    /// Notes the parts of a type; which of them is on the path, and the path from there on.
    fn part(
        self,
        name: &'static str,
        parts: &'static [&'static str],
    ) -> Option<(&'static str, Self)> {
        let mut names = self.found.names.borrow_mut();
        names.entry(name).or_default().extend(parts);
        let Some((part, path)) = self.path.split_first() else {
            self.found.parts.replace(parts.len());
            return None;
        };
        self.found.trail.borrow_mut().push(parts[*part]);
        Some((parts[*part], Self { path, ..self }))
    }
}

/// The end of the path.
#[derive(Debug)]
struct End;

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end")
    }
}

impl std::error::Error for End {}

impl de::Error for End {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = End;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, End> {
        Err(End)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, End> {
        if name == "Envelope" {
            let trail = self.found.trail.borrow().clone();
            self.found.envelopes.borrow_mut().insert(trail);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        visitor.visit_seq(Parts {
            fields: self,
            name: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, End> {
        let (name, fields) = self.part(name, fields).ok_or(End)?;
        visitor.visit_map(Parts {
            fields,
            name: Some(name),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, End> {
        let (name, fields) = self.part(name, variants).ok_or(End)?;
        visitor.visit_enum(Parts {
            fields,
            name: Some(name),
        })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct map identifier ignored_any
    }
}

/// One field, one variant, or one element.
struct Parts<'a> {
    fields: Fields<'a>,
    name: Option<&'static str>,
}

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = End;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, End> {
        seed.deserialize(self.fields).map(Some)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_> {
    type Error = End;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, End> {
        let name: StrDeserializer<'_, End> = self.name.take().ok_or(End)?.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, End> {
        seed.deserialize(self.fields)
    }
}

impl<'de> de::EnumAccess<'de> for Parts<'_> {
    type Error = End;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self), End> {
        let name: StrDeserializer<'_, End> = self.name.take().ok_or(End)?.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Parts<'_> {
    type Error = End;

    fn unit_variant(self) -> Result<(), End> {
        Err(End)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, End> {
        seed.deserialize(self.fields)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, End> {
        Err(End)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, End> {
        self.fields.deserialize_struct("a variant", fields, visitor)
    }
}
