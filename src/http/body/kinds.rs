//! The kinds of fields. They are read leniently where real clients are careless, and strictly where a
//! wrong value could pass for a right one.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::str::FromStr;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::field::{Field, FieldError, Kind, Name, Request, Schemas};
use crate::domain::connection_values;
use crate::domain::id::CredentialGuid;
use crate::domain::secret::CompletionHandle;
use crate::domain::user::NAME_LIMIT;
use crate::domain::window::{AuthStatus, ReferralSource};
use crate::flow::credentials::VALUE_LIMIT;

/// A name.
pub type Label = Text<NAME_LIMIT>;

/// The client's own name for something. It must not have the form of a guid of its kind `G`: paths accept
/// both, and the guid would win.
pub struct OwnName<G>(PhantomData<G>);

/// The longest `metadata`, in bytes.
const LONGEST_METADATA: usize = 4096;

/// The most texts by name.
const MOST_NAMES: usize = 20;

/// Defines for each kind the type of its value, what it must be, its schema and how it is read. With
/// `empty`, an empty text counts as absent, like null.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $([$($number:ident: $of:ty $(= $default:expr)?),*])? => $value:ty $(| $empty:ident)?:
        $expected:literal; $schema:tt; $parse:expr;)*) => { $(
        $(#[$doc])*
        pub struct $name $(<$(const $number: $of $(= { $default })?),*>)?;

        impl $(<$(const $number: $of),*>)? Kind for $name $(<$($number),*>)? {
            type Value = $value;
            const EMPTY_IS_ABSENT: bool = !stringify!($($empty)?).is_empty();

            fn expected() -> String {
                format!($expected)
            }

            fn read(value: &Value, name: &Name) -> Result<$value, FieldError> {
                let parse: fn(&Value) -> Option<$value> = $parse;
                parse(value).ok_or_else(|| Self::wrong(name))
            }

            fn schema() -> Value {
                json!($schema)
            }
        }
    )* };
}

kinds! {
    /// Any text.
    AnyText => String:
        "a string";
        {"type": "string"};
        |value| value.as_str().map(str::to_owned);

    /// A text of at most `MOST` bytes without control characters.
    Text[MOST: usize] => String:
        "a string of at most {MOST} bytes without control characters";
        {"type": "string", "maxLength": MOST};
        |value| short(value, 0, MOST);

    /// A name; an empty one counts as absent, like null.
    Filled => String | empty:
        "a string of at most {NAME_LIMIT} bytes without control characters";
        {"type": "string", "maxLength": NAME_LIMIT};
        |value| short(value, 0, NAME_LIMIT);

    /// A text of 1 to `MOST` bytes without control characters.
    Line[MOST: usize] => String:
        "a string of 1 to {MOST} bytes without control characters";
        {"type": "string", "maxLength": MOST};
        |value| short(value, 1, MOST);

    /// Free text, short because every event about its owner carries it.
    Metadata => String:
        "a string of at most {LONGEST_METADATA} bytes";
        {"type": "string", "maxLength": LONGEST_METADATA};
        |value| value.as_str().filter(|text| text.len() <= LONGEST_METADATA).map(str::to_owned);

    /// A list of texts; a single one may be sent without a list, and empty ones are ignored.
    Texts => Vec<String>:
        "a string or a list of strings";
        {"type": "array", "items": {"type": "string"}};
        |value| {
            let texts: Vec<String> = match value {
                Value::String(text) => vec![text.clone()],
                list => serde_json::from_value(list.clone()).ok()?,
            };
            Some(texts.into_iter().filter(|text| !text.is_empty()).collect())
        };

    /// Texts by names of somebody else's; the same as JSON text counts, because a query has no objects.
    TextsByName => BTreeMap<String, String>:
        "an object of at most {MOST_NAMES} strings";
        {"type": "object", "additionalProperties": {"type": "string", "maxLength": connection_values::VALUE_LIMIT}, "maxProperties": MOST_NAMES};
        |value| {
            let texts: BTreeMap<String, String> = match value {
                Value::String(text) => serde_json::from_str(text).ok()?,
                object => serde_json::from_value(object.clone()).ok()?,
            };
            (texts.len() <= MOST_NAMES).then_some(texts)
        };

    /// A boolean; a query's `true` and `false` count, and so do those words as JSON strings.
    Flag => bool:
        "true or false";
        {"type": "boolean"};
        |value| match value {
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            value => value.as_bool(),
        };

    /// A whole number. Its bounds are described here and checked where it is used: some depend on more
    /// than the request.
    Number[LEAST: u32 = 0, MOST: u32 = u32::MAX] => u32:
        "a whole number";
        {"type": "integer", "format": "int32", "minimum": LEAST, "maximum": (MOST < u32::MAX).then_some(MOST)};
        |value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64()?.try_into().ok(),
        };

    /// Where a person comes from.
    Source => ReferralSource:
        "BROWSER or APP";
        {"type": "string", "pattern": "^([Bb][Rr][Oo][Ww][Ss][Ee][Rr]|[Aa][Pp][Pp])$"};
        |value| match value.as_str()?.to_ascii_uppercase().as_str() {
            "BROWSER" => Some(ReferralSource::Browser),
            "APP" => Some(ReferralSource::App),
            _ => None,
        };

    /// The number of an OAuth state's status.
    StatusId => AuthStatus | empty:
        "1 (PENDING), 2 (SUCCESS) or 3 (ERRORED)";
        {"type": "integer", "format": "int32", "minimum": 1, "maximum": 3};
        |value| AuthStatus::from_id(value.as_str()?.parse().ok()?);

    /// Which field of a sign-in, or which question.
    FieldGuid => CredentialGuid:
        "the guid of a field, CRD- and a UUID";
        {"type": "string", "pattern": "^CRD-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"};
        |value| value.as_str()?.parse().ok();

    /// What confirms an authorization.
    Handle => CompletionHandle:
        "a completion handle, och_ and 45 characters";
        {"type": "string", "format": "password", "maxLength": 49};
        |value| CompletionHandle::parse(value.as_str()?);

    /// A value that a person typed or chose. How long it may be depends on its field, and is checked
    /// there.
    Secret => SecretString:
        "a string";
        {"type": "string", "format": "password", "maxLength": VALUE_LIMIT};
        |value| value.as_str().map(SecretString::from);
}

impl<const LEAST: u32, const MOST: u32> Field<Number<LEAST, MOST>> {
    /// The number, which must be within its bounds.
    pub fn bounded(&self) -> Result<Option<u32>, FieldError> {
        let number = self.read()?;
        match number {
            Some(number) if !(LEAST..=MOST).contains(&number) => {
                let expected = format!("a whole number from {LEAST} to {MOST}");
                Err(self.name().must_be(expected))
            }
            number => Ok(number),
        }
    }

    /// The number, if it is one within its bounds.
    pub fn within(&self) -> Option<u32> {
        let number = self.read().ok()?;
        number.filter(|number| (LEAST..=MOST).contains(number))
    }
}

fn short(value: &Value, least: usize, most: usize) -> Option<String> {
    let text = value.as_str()?;
    let fits = (least..=most).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

impl<G: FromStr> Kind for OwnName<G> {
    type Value = String;
    const EMPTY_IS_ABSENT: bool = true;

    fn expected() -> String {
        "a name of your own, not one like our guids".to_owned()
    }

    fn read(value: &Value, name: &Name) -> Result<String, FieldError> {
        let text = Filled::read(value, name)?;
        match text.parse::<G>() {
            Ok(_) => Err(Self::wrong(name)),
            Err(_) => Ok(text),
        }
    }

    fn schema() -> Value {
        Filled::schema()
    }
}

/// One of a few words.
pub trait Word: Copy + PartialEq {
    /// Every value and its word.
    fn all() -> Vec<(&'static str, Self)>;

    /// Every word.
    fn words() -> Vec<&'static str> {
        Self::all().into_iter().map(|(word, _)| word).collect()
    }

    /// What a word means.
    fn meaning(said: &Value) -> Option<Self> {
        let mut all = Self::all().into_iter();
        all.find_map(|(word, meaning)| (said == word).then_some(meaning))
    }
}

impl<W: Word> Kind for W {
    type Value = W;
    const EMPTY_IS_ABSENT: bool = true;

    fn expected() -> String {
        let words = W::words();
        let (last, others) = words.split_last().expect("a word");
        format!("{} or {last}", others.join(", "))
    }

    fn read(value: &Value, name: &Name) -> Result<W, FieldError> {
        W::meaning(value).ok_or_else(|| W::wrong(name))
    }

    fn schema() -> Value {
        json!({"type": "string", "enum": W::words()})
    }
}

/// A list of some of a few words, each counted once.
pub struct SomeOf<W>(PhantomData<W>);

impl<W: Word> Kind for SomeOf<W> {
    type Value = Vec<W>;

    fn expected() -> String {
        format!("a list of some of \"{}\"", W::words().join("\", \""))
    }

    fn read(value: &Value, name: &Name) -> Result<Vec<W>, FieldError> {
        let mut meant = Vec::new();
        for said in value.as_array().ok_or_else(|| Self::wrong(name))? {
            let meaning = W::meaning(said).ok_or_else(|| Self::wrong(name))?;
            if !meant.contains(&meaning) {
                meant.push(meaning);
            }
        }
        Ok(meant)
    }

    fn schema() -> Value {
        json!({"type": "array", "items": W::schema()})
    }
}

/// An object within a request.
pub struct Object<R>(PhantomData<R>);

impl<R: Request> Kind for Object<R> {
    type Value = R;

    fn expected() -> String {
        "an object".to_owned()
    }

    fn read(value: &Value, name: &Name) -> Result<R, FieldError> {
        let fields = value.as_object().ok_or_else(|| Self::wrong(name))?;
        let one = R::find(&|key| (name.part(key), fields.get(key).cloned()));
        let mut given = fields.iter().filter(|(_, value)| !value.is_null());
        match one.only()? {
            Some(only) if given.any(|(key, _)| !only.contains(key)) => {
                Err(FieldError::Overfull(name.clone(), only))
            }
            _ => Ok(one),
        }
    }

    fn schema() -> Value {
        json!({"$ref": format!("#/components/schemas/{}", R::name())})
    }

    fn schemas(schemas: &mut Schemas) {
        schemas.push((R::name().into_owned(), R::schema()));
        R::schemas(schemas);
    }
}

/// A list of `LEAST` to `MOST` objects. What is wrong is named by its place.
pub struct List<R, const LEAST: usize, const MOST: usize>(PhantomData<R>);

impl<R: Request, const LEAST: usize, const MOST: usize> Kind for List<R, LEAST, MOST> {
    type Value = Vec<R>;

    fn expected() -> String {
        match LEAST {
            0 => format!("a list of at most {MOST} {}", R::MANY),
            _ => format!("a list of {LEAST} to {MOST} {}", R::MANY),
        }
    }

    fn read(value: &Value, name: &Name) -> Result<Vec<R>, FieldError> {
        let list = value.as_array();
        let list = list.filter(|list| (LEAST..=MOST).contains(&list.len()));
        let list = list.ok_or_else(|| Self::wrong(name))?.iter().enumerate();
        list.map(|(nth, value)| Object::read(value, &name.entry(nth)))
            .collect()
    }

    fn schema() -> Value {
        let least = (LEAST > 0).then_some(LEAST);
        json!({"type": "array", "items": Object::<R>::schema(), "minItems": least, "maxItems": MOST})
    }

    fn schemas(schemas: &mut Schemas) {
        Object::<R>::schemas(schemas);
    }
}
