//! Envelopes, as records hold them.
//!
//! What is sealed is kept as an [`Envelope`] and as nothing else: records have no other bytes. So a test finds every
//! field that holds one, and holds [`Record::envelopes`](super::record::Record::envelopes) to them.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// What `seal` made: nothing of the content can be read without a seal key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope(#[serde(with = "base64_text")] Vec<u8>);

impl From<Vec<u8>> for Envelope {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Envelope> for Vec<u8> {
    fn from(envelope: Envelope) -> Self {
        envelope.0
    }
}

impl Deref for Envelope {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// How it is written: in Base64, without padding.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD_NO_PAD.decode(text);
        bytes.map_err(|_| de::Error::custom("an envelope that is not Base64"))
    }
}
