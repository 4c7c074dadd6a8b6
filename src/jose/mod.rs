//! Signed and encrypted tokens (JOSE): signing, verifying and decrypting, and keys as JSON (RFC 7515 to 7518).
//!
//! Only what a client of an authorization server needs, and nothing of what a token says: whoever reads claims judges them.
//!
//! ```text
//! key      a private key of ours, which signs        [`SigningKey`]
//! own_keys the private keys of ours at one place     [`OwnKeys`]
//! pem      a new private key for a file              [`new_key`]
//! jwk_set  public keys of somebody else              [`JwkSet`]
//! jws      a signed token, by one algorithm only     [`verify`], [`payload`]
//! jwe      an encrypted token for us                 [`DecryptionKey`], [`decrypt`]
//! proof    every algorithm is tried once at start    [`prove`]
//! ```
//!
//! **Which algorithm counts is never the token's own choice**: the caller names it, and a token of another one is refused
//! before a key is looked for. Keys come from the caller too: `jku`, `x5u`, `jwk` and `x5c` in a header are not read, and a
//! token with `crit` is refused, because nothing it could name is understood here.

mod compact;
mod jwe;
mod jwk_set;
mod jws;
mod key;
mod own_keys;
mod pem;
mod proof;

pub use compact::{JoseError, TOKEN_LIMIT};
pub use jwe::{DecryptionKey, decrypt};
pub use jwk_set::{InvalidJwkSet, JwkSet, MOST_KEYS};
pub use jws::{VerifyWith, payload, verify};
pub use key::{Head, InvalidKey, SigningKey};
pub use own_keys::{KnownKey, OwnKeys, UnusableKeys};
pub use pem::new_key;
pub use proof::{Unproven, prove};

#[cfg(test)]
pub use jwe::tests::{encrypted_of, for_us};
#[cfg(test)]
pub use proof::PROOF_KEY;
