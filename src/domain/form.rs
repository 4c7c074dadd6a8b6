//! How values are written in stored records: compact guids, whole milliseconds, and other values as their
//! text. Each is for serde's `with`; `option` is for values that may be absent.

use jiff::Timestamp;

/// A value that has one written form in stored records.
pub trait Kept: Sized {
    /// The form: a text, or a number.
    type Form: serde::Serialize + serde::de::DeserializeOwned;

    /// Writes it.
    fn to_form(&self) -> Self::Form;

    /// Reads it; `None` if the form belongs to something else.
    fn from_form(form: Self::Form) -> Option<Self>;
}

impl Kept for Timestamp {
    type Form = i64;

    fn to_form(&self) -> i64 {
        self.as_millisecond()
    }

    fn from_form(form: i64) -> Option<Self> {
        Timestamp::from_millisecond(form).ok()
    }
}

/// Writes a value in its form.
pub fn serialize<T: Kept, S: serde::Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&value.to_form(), to)
}

/// Reads a value in its form.
pub fn deserialize<'de, T: Kept, D: serde::Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let form = serde::Deserialize::deserialize(from)?;
    T::from_form(form).ok_or_else(|| serde::de::Error::custom("a value of another form"))
}

/// The same for what may be absent.
pub mod option {
    use super::Kept;

    /// Writes a value in its form, or nothing.
    pub fn serialize<T: Kept, S: serde::Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&value.as_ref().map(Kept::to_form), to)
    }

    /// Reads a value in its form, or nothing.
    pub fn deserialize<'de, T: Kept, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let form: Option<T::Form> = serde::Deserialize::deserialize(from)?;
        form.map(|form| {
            T::from_form(form).ok_or_else(|| serde::de::Error::custom("a value of another form"))
        })
        .transpose()
    }
}

/// Whether a field has its default value; then it is left out.
pub fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
