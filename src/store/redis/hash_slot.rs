//! The hash slots of a cluster: which one a key is in.

use crc::{CRC_16_XMODEM, Crc};

/// How many hash slots a cluster has.
pub(super) const HASH_SLOTS: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The hash slot of a key: of what is between its first braces, if that is anything, else of all of it.
///
/// Redis Cluster specification, "Hash tags".
pub(super) fn hash_slot(key: &[u8]) -> u16 {
    let tag = || {
        let begin = key.iter().position(|byte| *byte == b'{')? + 1;
        let behind = key.get(begin..)?;
        let length = behind.iter().position(|byte| *byte == b'}')?;
        behind.get(..length).filter(|tag| !tag.is_empty())
    };
    CRC.checksum(tag().unwrap_or(key)) % HASH_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_hash_slot_that_the_specification_says() {
        // The specification's own vector, and its examples of tags.
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        assert_eq!(hash_slot(b"foo"), 12_182);
        for (one, same) in [
            ("{user1000}.following", "user1000"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
        ] {
            assert_eq!(hash_slot(one.as_bytes()), hash_slot(same.as_bytes()));
        }
        let whole = CRC.checksum(b"foo{}{bar}") % HASH_SLOTS;
        assert_eq!(hash_slot(b"foo{}{bar}"), whole);
    }
}
