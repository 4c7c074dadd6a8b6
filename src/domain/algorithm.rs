//! The algorithms of JOSE that are used here, by their registered names (RFC 7518, RFC 8037).

use serde::{Deserialize, Serialize};

/// An algorithm that a token is signed with (RFC 7518 section 3.1, RFC 8037 section 3.1). `none` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
    /// HMAC with SHA-256, under the client secret.
    HS256,
    /// HMAC with SHA-384, under the client secret.
    HS384,
    /// HMAC with SHA-512, under the client secret.
    HS512,
}

impl SigningAlgorithm {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
        Self::HS256,
        Self::HS384,
        Self::HS512,
    ];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }

    /// Whether both sides have the same key: the client secret.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// How the key of an encrypted token is found (RFC 7518 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyManagement {
    /// It is encrypted with RSAES-OAEP, SHA-256 and MGF1 with SHA-256.
    #[serde(rename = "RSA-OAEP-256")]
    RsaOaep256,
    /// It is agreed on by Elliptic Curve Diffie-Hellman Ephemeral Static, without key wrapping.
    #[serde(rename = "ECDH-ES")]
    EcdhEs,
}

impl KeyManagement {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEs => "ECDH-ES",
        }
    }
}

/// How the content of an encrypted token is encrypted (RFC 7518 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContentEncryption {
    /// AES-GCM with a 128-bit key.
    #[serde(rename = "A128GCM")]
    A128Gcm,
    /// AES-GCM with a 256-bit key.
    #[serde(rename = "A256GCM")]
    A256Gcm,
}

impl ContentEncryption {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::A128Gcm => "A128GCM",
            Self::A256Gcm => "A256GCM",
        }
    }

    /// The length of its key, in bytes.
    pub fn key_length(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A256Gcm => 32,
        }
    }
}

/// How tokens for us are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// How the key is found.
    pub alg: KeyManagement,
    /// How the content is encrypted.
    pub enc: ContentEncryption,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_read_and_written_by_its_registered_name() {
        for algorithm in SigningAlgorithm::ALL {
            let quoted = format!("\"{}\"", algorithm.name());
            assert_eq!(serde_json::to_string(&algorithm).unwrap(), quoted);
            let read: SigningAlgorithm = serde_json::from_str(&quoted).unwrap();
            assert_eq!(read, algorithm);
        }
        for algorithm in [KeyManagement::RsaOaep256, KeyManagement::EcdhEs] {
            let quoted = format!("\"{}\"", algorithm.name());
            assert_eq!(serde_json::to_string(&algorithm).unwrap(), quoted);
        }
        for encryption in [ContentEncryption::A128Gcm, ContentEncryption::A256Gcm] {
            let quoted = format!("\"{}\"", encryption.name());
            assert_eq!(serde_json::to_string(&encryption).unwrap(), quoted);
        }
        for refused in ["none", "None", "rs256", "ES512", "RSA1_5", "dir", ""] {
            let quoted = format!("\"{refused}\"");
            assert!(serde_json::from_str::<SigningAlgorithm>(&quoted).is_err());
            assert!(serde_json::from_str::<KeyManagement>(&quoted).is_err());
            assert!(serde_json::from_str::<ContentEncryption>(&quoted).is_err());
        }
    }
}
