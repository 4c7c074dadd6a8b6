//! A field of a request, declared once: its name, how it is read, its limits, the error message, and its
//! description.
//!
//! A request is a type made by [`request!`](crate::http::body::request). A field is read only where a
//! handler asks for it, so a field without a use is not refused either.

use std::fmt;
use std::marker::PhantomData;

use serde_json::{Map, Value, json};
use thiserror::Error;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{RefOr, Required, Schema};

use crate::http::problem::{self, Problem};

/// The name of a field and its place; only a declaration makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// A field at the top of a request.
    pub fn top(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// A field of the object of this name.
    pub fn part(&self, key: &str) -> Self {
        Self(format!("{self}.{key}"))
    }

    /// An entry of the list of this name.
    pub fn entry(&self, nth: usize) -> Self {
        Self(format!("{self}[{nth}]"))
    }

    /// Its key, without its place.
    pub fn key(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }

    /// The error that it is not what it must be.
    pub fn must_be(&self, expected: impl Into<String>) -> FieldError {
        FieldError::Wrong(self.clone(), expected.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What is wrong with a field.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// It is required; the second part is the remedy.
    #[error("{0} is missing: {1}.")]
    Missing(Name, &'static str),
    /// It is of another type or form, or over its limit; the second part is what it must be.
    #[error("{0} must be {1}.")]
    Wrong(Name, String),
    /// It is an object that is read strictly and has an unknown field.
    #[error("{0} may have {list} and nothing else.", list = .1.join(", "))]
    Overfull(Name, Vec<String>),
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let kind = match error {
            FieldError::Missing(..) => problem::Kind::Missing,
            FieldError::Wrong(..) | FieldError::Overfull(..) => problem::Kind::Malformed,
        };
        Self::new(kind, error.to_string())
    }
}

/// Finds what was sent under a key, and its full name.
pub type Find<'a> = dyn Fn(&'static str) -> (Name, Option<Value>) + 'a;

/// A field as it was sent, to be read as a `K`.
pub struct Field<K> {
    name: Name,
    sent: Option<Value>,
    kind: PhantomData<K>,
}

impl<K: Kind> Field<K> {
    /// Finds it.
    pub fn find(key: &'static str, find: &Find) -> Self {
        let (name, sent) = find(key);
        let kind = PhantomData;
        Self { name, sent, kind }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it has a value.
    pub fn is_given(&self) -> bool {
        self.value().is_some()
    }

    fn value(&self) -> Option<&Value> {
        let is_empty_text = |value: &Value| K::EMPTY_IS_ABSENT && value == "";
        let sent = self.sent.as_ref();
        sent.filter(|value| !value.is_null() && !is_empty_text(value))
    }

    /// Its value; absent and null are the same.
    pub fn read(&self) -> Result<Option<K::Value>, FieldError> {
        let value = self.value();
        value.map(|value| K::read(value, &self.name)).transpose()
    }

    /// Its value, which is required.
    pub fn required(&self) -> Result<K::Value, FieldError> {
        self.read()?.ok_or_else(|| K::wrong(&self.name))
    }

    /// The change of a field that can be removed: `None` if it was not sent, `Some(None)` if it is null
    /// or an empty text.
    pub fn change(&self) -> Result<Option<Option<K::Value>>, FieldError> {
        match self.sent {
            None => Ok(None),
            Some(_) => self.read().map(Some),
        }
    }

    /// Whether it is required.
    pub fn missing(&self, remedy: &'static str) -> FieldError {
        FieldError::Missing(self.name.clone(), remedy)
    }
}

/// Schemas by their names, as utoipa collects them.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// What a field may hold: how it is read and described.
pub trait Kind {
    /// What is read.
    type Value;
    /// Whether an empty text counts as absent, like null.
    const EMPTY_IS_ABSENT: bool = false;

    /// What it must be, after "must be".
    fn expected() -> String;

    /// Reads what was sent; it is not null.
    fn read(value: &Value, name: &Name) -> Result<Self::Value, FieldError>;

    /// Its JSON schema.
    fn schema() -> Value;

    /// The schemas that its own refers to.
    fn schemas(_: &mut Schemas) {}

    /// The error that it is not what it must be.
    fn wrong(name: &Name) -> FieldError {
        name.must_be(Self::expected())
    }
}

/// A declared field, for the description.
pub struct Described {
    key: &'static str,
    about: &'static str,
    is_required: bool,
    example: Option<Value>,
    schema: Value,
    /// Adds the schemas that its own refers to.
    pub schemas: fn(&mut Schemas),
}

impl Described {
    /// A field of this kind, with its documentation.
    pub fn new<K: Kind>(
        key: &'static str,
        about: &'static str,
        is_required: bool,
        example: Option<Value>,
    ) -> Self {
        let (schema, schemas) = (K::schema(), K::schemas);
        Self {
            key,
            about,
            is_required,
            example,
            schema,
            schemas,
        }
    }
}

/// A declared request, or a part of one.
pub trait Request: utoipa::ToSchema + Sized {
    /// Its description.
    const ABOUT: &'static str;
    /// What a list of them is called.
    const MANY: &'static str;

    /// Takes its fields.
    fn find(find: &Find) -> Self;

    /// Every field.
    fn described() -> Vec<Described>;

    /// The only fields it may have, if it is read strictly.
    fn only(&self) -> Result<Option<Vec<String>>, FieldError>;

    /// The keys of every field, for an object that may have no others.
    fn declared(&self) -> Result<Vec<String>, FieldError> {
        let all = Self::described().into_iter();
        Ok(all.map(|field| field.key.to_owned()).collect())
    }
}

/// A text of the documentation, without the spaces that its lines begin with.
fn text(documentation: &str) -> String {
    let lines: Vec<&str> = documentation.trim().lines().map(str::trim).collect();
    lines.join("\n")
}

/// A request's schema.
pub fn schema<R: Request>() -> RefOr<Schema> {
    let mut required = Vec::new();
    let mut properties = Map::new();
    for field in R::described() {
        let mut property = match field.is_required {
            true => field.schema,
            false => nullable(field.schema),
        };
        property["description"] = text(field.about).into();
        property["example"] = field.example.into();
        required.extend(field.is_required.then_some(field.key));
        properties.insert(field.key.to_owned(), property);
    }
    to_schema(json!({
        "type": "object", "description": text(R::ABOUT), "required": required, "properties": properties,
    }))
}

/// The parameters of a query that has a request's fields.
pub fn parameters<R: Request>() -> Vec<Parameter> {
    let parameter = |field: Described| {
        ParameterBuilder::new()
            .name(field.key)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(text(field.about)))
            .schema(Some(to_schema(field.schema)))
            .example(field.example)
            .build()
    };
    R::described().into_iter().map(parameter).collect()
}

/// The schema of a field of this kind, which may be null.
pub fn property<K: Kind>(about: &str) -> RefOr<Schema> {
    let mut property = nullable(K::schema());
    property["description"] = about.into();
    to_schema(property)
}

/// A schema in utoipa's form.
fn to_schema(schema: Value) -> RefOr<Schema> {
    serde_json::from_value(schema).expect("a schema")
}

/// A property's schema that takes null as well.
fn nullable(mut schema: Value) -> Value {
    match schema.get("type") {
        Some(kind) if schema.get("enum").is_none() => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({"oneOf": [schema, {"type": "null"}]}),
    }
}

/// Declares requests: first the fields, each as `key: Kind` and perhaps ` = example`, then groups of
/// fields that are declared elsewhere and read with them. Doc comments become descriptions. The root
/// object, after `in`, is for the description only: its fields are found next to it and without it as
/// well (CONTRACT.md 1.2). An item of a list also says what the list is called and, if it is read
/// strictly, which fields it may have.
macro_rules! request {
    ($($(#[doc = $about:literal])*
    $name:ident $(in $root:ident $(($must:ident))?: $of:ident $of_it:literal)? $(, $many:literal $(, $only:path)?)? {
        $($(#[doc = $doc:literal])* $key:ident $(($required:ident))?: $kind:ty $(= $example:expr)?,)*
        $(..$group:ident: $part:ident,)*
    })*) => { $(
        $(#[doc = $about])*
        pub struct $name {
            $(#[doc = $of_it] pub $root: $of,)?
            $($(#[doc = $doc])* pub $key: $crate::http::body::Field<$kind>,)*
            $(#[doc = "Declared there."] pub $group: $part,)*
        }

        const _: () = {
            use utoipa::openapi::path::{Parameter, ParameterIn};
            use utoipa::openapi::{RefOr, Schema};
            use $crate::http::body::{self, Described, FieldError, Find, Request, Schemas};

            impl Request for $name {
                const ABOUT: &'static str = concat!($($about, "\n"),*);
                const MANY: &'static str = concat!($($many)?);

                fn find(find: &Find) -> Self {
                    Self {
                        $($root: $of::find(find),)?
                        $($key: body::Field::find(body::key(stringify!($key)), find),)*
                        $($group: $part::find(find),)*
                    }
                }

                fn described() -> Vec<Described> {
                    let fields = [
                        $(Described::new::<body::Object<$of>>(
                            stringify!($root), $of_it, !stringify!($($must)?).is_empty(), None,
                        ),)?
                        $(Described::new::<$kind>(
                            body::key(stringify!($key)),
                            concat!($($doc, "\n"),*),
                            !stringify!($($required)?).is_empty(),
                            None$(.or(Some(serde_json::json!($example))))?,
                        ),)*
                    ];
                    fields.into_iter()$(.chain($part::described()))*.collect()
                }

                fn only(&self) -> Result<Option<Vec<String>>, FieldError> {
                    let only: &[fn(&Self) -> Result<Vec<String>, FieldError>] = &[$($($only)?)?];
                    only.first().map(|only| only(self)).transpose()
                }
            }

            impl utoipa::PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    body::schema::<Self>()
                }
            }

            impl utoipa::ToSchema for $name {
                fn schemas(schemas: &mut Schemas) {
                    Self::described().iter().for_each(|field| (field.schemas)(schemas));
                }
            }

            impl utoipa::IntoParams for $name {
                fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                    body::parameters::<Self>()
                }
            }
        };
    )* };
}
pub(crate) use request;

/// A key as it is sent: a keyword of Rust is written `r#word` in a declaration.
pub fn key(written: &'static str) -> &'static str {
    written.strip_prefix("r#").unwrap_or(written)
}
