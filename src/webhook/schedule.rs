//! When a delivery that was not taken is tried again.

use std::time::Duration;

use crate::domain::event::DELIVERY_TRIES;
use crate::domain::random::{self, Random};

/// The gaps after the first try, the second, and so on, in seconds: 23 h 53 min in all. Short at
/// first for a receiver that restarts, long at last for one that has to be repaired.
const GAPS: [u64; 11] = [
    5,
    30,
    2 * 60,
    5 * 60,
    15 * 60,
    30 * 60,
    60 * 60,
    2 * 60 * 60,
    4 * 60 * 60,
    6 * 60 * 60,
    10 * 60 * 60,
];

const _: () = assert!(GAPS.len() + 1 == DELIVERY_TRIES as usize);

/// How long to wait after the `attempt`-th try, counted from 1; `None` after the last one.
///
/// Up to a tenth is added or taken away by chance, so that what failed together is not tried again
/// together.
pub fn next_try(attempt: u32, random: &dyn Random) -> Option<Duration> {
    let nth = usize::try_from(attempt.saturating_sub(1)).ok()?;
    let gap = Duration::from_secs(*GAPS.get(nth)?);
    let chance = f64::from(u32::from_le_bytes(random::bytes(random))) / f64::from(u32::MAX);
    Some(gap.mul_f64(0.9 + 0.2 * chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn gaps(byte: u8) -> Vec<Duration> {
        let gap = |attempt| next_try(attempt, &Always(byte));
        (1..=DELIVERY_TRIES).map_while(gap).collect()
    }

    #[test]
    fn twelve_tries_take_about_a_day() {
        for (byte, hours) in [(0x00, 21.5), (0x80, 23.9), (0xff, 26.3)] {
            let gaps = gaps(byte);
            assert_eq!(gaps.len(), 11);
            let total: Duration = gaps.iter().sum();
            assert!(
                (total.as_secs_f64() / 3600.0 - hours).abs() < 0.1,
                "{total:?}"
            );
        }
        assert_eq!(next_try(DELIVERY_TRIES, &Always(0)), None);
        assert_eq!(next_try(u32::MAX, &Always(0)), None);
    }

    #[test]
    fn gaps_grow_and_differ_by_chance() {
        let (least, most) = (gaps(0x00), gaps(0xff));
        assert!(least.is_sorted() && most.is_sorted());
        for (least, most) in least.iter().zip(&most) {
            assert!((most.as_secs_f64() / least.as_secs_f64() - 1.1 / 0.9).abs() < 0.001);
        }
    }
}
