//! Identifiers: typed, prefixed, parsed at the edge.
//!
//! Everything that belongs to one user is in that user's [`Partition`], and every guid of that user has
//! the partition in the low half of its first byte. So a member, an OAuth state or a job is found from
//! its guid alone, and one atomic step can change all of them.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::digest::{Digest, digest};
use super::form::Kept;
use super::random::{self, Random};

/// How many partitions there are. This never changes: existing links, states and guids name theirs.
pub const PARTITIONS: u8 = 16;

/// The part of the store that holds everything of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u8);

impl Partition {
    /// All partitions, in order.
    pub fn all() -> impl Iterator<Item = Partition> {
        (0..PARTITIONS).map(Partition)
    }

    /// Reads the two lower-case hexadecimal digits that a link token, a state and an attempt begin with.
    pub fn parse(text: &str) -> Option<Partition> {
        let [b'0', digit] = text.as_bytes() else {
            return None;
        };
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(Partition(value))
    }

    /// The partition as an index below [`PARTITIONS`].
    pub fn index(self) -> u8 {
        self.0
    }

    fn of_uuid(uuid: Uuid) -> Partition {
        Partition(uuid.as_bytes()[0] & 0x0f)
    }

    fn stamp(self, bytes: &mut [u8; 16]) {
        bytes[0] = (bytes[0] & 0xf0) | self.0;
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

/// Text that is not an identifier of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct InvalidId {
    /// The form of a valid one, for the person who sent it.
    pub expected: &'static str,
}

macro_rules! guid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The letters that the written form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The partition that this guid's record is in.
            pub fn partition(&self) -> Partition {
                Partition::of_uuid(self.0)
            }

            /// The 22 characters a store keeps instead of the written form.
            pub fn compact(&self) -> String {
                URL_SAFE_NO_PAD.encode(self.0.as_bytes())
            }

            /// Reads what [`Self::compact`] wrote.
            pub fn from_compact(text: &str) -> Result<Self, InvalidId> {
                URL_SAFE_NO_PAD
                    .decode(text)
                    .ok()
                    .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                    .map(Self)
                    .ok_or(InvalidId { expected: concat!("a compact ", $prefix, " guid") })
            }
        }

        impl Kept for $name {
            type Form = String;

            fn to_form(&self) -> String {
                self.compact()
            }

            fn from_form(form: String) -> Option<Self> {
                Self::from_compact(&form).ok()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0.hyphenated())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = InvalidId {
                    expected: concat!($prefix, " followed by a UUID, such as ", $prefix, "68e96dd6-eabd-42d3-9f05-416897f0746c"),
                };
                let hyphenated = text.strip_prefix(Self::PREFIX).filter(|rest| rest.len() == 36);
                hyphenated
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or(invalid)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

guid!(
    /// The client's end user.
    UserGuid, "USR-"
);
guid!(
    /// One user's relationship with one institution.
    MemberGuid, "MBR-"
);
guid!(
    /// The public name of a window: the OAuth state that member services poll.
    OauthStateGuid, "OAS-"
);
guid!(
    /// An order to pull one member's data.
    JobGuid, "JOB-"
);
guid!(
    /// A bank, as the API names it.
    InstitutionGuid, "INS-"
);
guid!(
    /// A field of an institution's sign-in, or a question it asks during one.
    CredentialGuid, "CRD-"
);
guid!(
    /// One event for one client; the `webhook-id` of its deliveries.
    EventGuid, "EVT-"
);

fn random_uuid(random: &dyn Random, partition: Option<Partition>) -> Uuid {
    let mut bytes: [u8; 16] = random::bytes(random);
    if let Some(partition) = partition {
        partition.stamp(&mut bytes);
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl UserGuid {
    /// A new user, in a random partition.
    pub fn new(random: &dyn Random) -> Self {
        let byte: [u8; 1] = random::bytes(random);
        Self(random_uuid(random, Some(Partition(byte[0] % PARTITIONS))))
    }
}

impl InstitutionGuid {
    /// A new institution.
    pub fn new(random: &dyn Random) -> Self {
        Self(random_uuid(random, None))
    }
}

impl MemberGuid {
    /// A new member of a user in `partition`.
    pub fn new(random: &dyn Random, partition: Partition) -> Self {
        Self(random_uuid(random, Some(partition)))
    }
}

impl UserGuid {
    /// The user that a request creates: the same however often it is processed.
    pub fn of_request(request: &Digest) -> Self {
        let image = digest("user", &request.to_text());
        Self(uuid_of_image(&image, Partition(image[0] & 0x0f)))
    }
}

impl MemberGuid {
    /// The member that a request creates: the same however often it is processed.
    pub fn of_request(request: &Digest, partition: Partition) -> Self {
        let image = digest("member", &request.to_text());
        Self(uuid_of_image(&image, partition))
    }
}

/// A version 8 UUID made of a digest.
fn uuid_of_image(image: &[u8; 32], partition: Partition) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&image[..16]);
    partition.stamp(&mut bytes);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl JobGuid {
    /// A new job for a user in `partition`.
    pub fn new(random: &dyn Random, partition: Partition) -> Self {
        Self(random_uuid(random, Some(partition)))
    }
}

impl CredentialGuid {
    /// A new guid for a question to a user in `partition`.
    pub fn new(random: &dyn Random, partition: Partition) -> Self {
        Self(random_uuid(random, Some(partition)))
    }

    /// The guid of this field's or question's option with that `value`: a version 8 UUID made of both, so
    /// that it need not be stored.
    pub fn of_option(self, value: &str) -> Self {
        let image = digest("option", &format!("{self}{value}"));
        Self(uuid_of_image(&image, self.partition()))
    }
}

impl EventGuid {
    /// A new event about a user in `partition`.
    pub fn new(random: &dyn Random, partition: Partition) -> Self {
        Self(random_uuid(random, Some(partition)))
    }
}

impl OauthStateGuid {
    /// The one with that digest.
    pub(super) fn of_image(image: &[u8; 32], partition: Partition) -> Self {
        Self(uuid_of_image(image, partition))
    }

    /// A placeholder while a window is read whose key is not known yet.
    pub fn nameless() -> Self {
        Self(Uuid::nil())
    }
}

/// The id of one attempt: two digits of partition and 22 characters of its state's digest.
///
/// It is part of the binding cookie and of the outcome page's address, and does not reveal the state.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AttemptId(String);

impl AttemptId {
    /// The one with that digest.
    pub(super) fn of_image(image: &[u8; 32], partition: Partition) -> Self {
        let name = URL_SAFE_NO_PAD.encode(&image[..16]);
        Self(format!("{partition}{name}"))
    }

    /// The attempt's partition.
    pub fn partition(&self) -> Partition {
        Partition::parse(&self.0[..2]).expect("checked when the id was made")
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters: the part of the cookie's name that tells attempts apart.
    pub fn cookie_part(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kept for AttemptId {
    type Form = String;

    fn to_form(&self) -> String {
        self.0.clone()
    }

    fn from_form(form: String) -> Option<Self> {
        form.parse().ok()
    }
}

impl FromStr for AttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let base64url = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_';
        let well_formed = text.len() == 24
            && text.as_bytes().iter().all(base64url)
            && Partition::parse(&text[..2]).is_some();
        well_formed.then(|| Self(text.to_owned())).ok_or(InvalidId {
            expected: "an attempt",
        })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
                    return Err(InvalidId { expected: $expected });
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// An API customer, by the name the configuration gives it.
    ClientId, "1 to 64 letters, digits, '-' or '_'"
);
name!(
    /// An aggregator, by the name the configuration gives it.
    AggregatorName, "1 to 64 letters, digits, '-' or '_'"
);
name!(
    /// An institution's readable name, such as `mx_bank_oauth`.
    InstitutionCode, "1 to 64 letters, digits, '-' or '_'"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::Random;
    use crate::domain::secret::{AuthorizationState, LinkToken};

    struct Counting(std::sync::Mutex<u8>);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let mut next = self.0.lock().expect("not poisoned");
            for byte in bytes {
                *byte = *next;
                *next = next.wrapping_add(37);
            }
        }
    }

    #[test]
    fn what_belongs_to_a_user_lives_in_the_users_partition() {
        let random = Counting(std::sync::Mutex::new(3));
        for _ in 0..64 {
            let user = UserGuid::new(&random);
            let token = LinkToken::new(&random, user.partition());
            let state = AuthorizationState::new(&random, user.partition());
            assert_eq!(
                MemberGuid::new(&random, user.partition()).partition(),
                user.partition()
            );
            assert_eq!(
                JobGuid::new(&random, user.partition()).partition(),
                user.partition()
            );
            assert_eq!(OauthStateGuid::of(&token).partition(), user.partition());
            assert_eq!(AttemptId::of(&state).partition(), user.partition());
        }
    }

    #[test]
    fn guids_survive_writing_and_compacting() {
        let random = Counting(std::sync::Mutex::new(9));
        let member = MemberGuid::new(&random, Partition(7));
        assert_eq!(member.to_string().parse(), Ok(member));
        assert_eq!(MemberGuid::from_compact(&member.compact()), Ok(member));
    }

    #[test]
    fn only_the_published_form_is_a_guid() {
        for wrong in [
            "",
            "MBR-",
            "68e96dd6-eabd-42d3-9f05-416897f0746c",
            "USR-68e96dd6-eabd-42d3-9f05-416897f0746c",
            "MBR-68e96dd6eabd42d39f05416897f0746c",
            "mbr-68e96dd6-eabd-42d3-9f05-416897f0746c",
            "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c ",
            "MBR-{8e96dd6-eabd-42d3-9f05-416897f0746c",
        ] {
            assert!(
                wrong.parse::<MemberGuid>().is_err(),
                "{wrong:?} was accepted"
            );
        }
    }

    #[test]
    fn an_attempt_id_is_24_characters_of_base64url() {
        assert!("00aaaaaaaaaaaaaaaaaaaaaa".parse::<AttemptId>().is_ok());
        for wrong in [
            "",
            "00",
            "gg aaaaaaaaaaaaaaaaaaaaa",
            "ffaaaaaaaaaaaaaaaaaaaaaa",
            "é0aaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(
                wrong.parse::<AttemptId>().is_err(),
                "{wrong:?} was accepted"
            );
        }
    }
}
