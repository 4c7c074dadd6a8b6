//! Randomness as an argument, so that a test can choose the values.

/// A source of random bytes.
///
/// The production source is a cryptographically secure generator seeded by the operating system;
/// a test's source may be seeded.
pub trait Random: Send + Sync {
    /// Fills `bytes` with random values.
    fn fill(&self, bytes: &mut [u8]);
}

/// Draws `N` random bytes.
pub fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut drawn = [0; N];
    random.fill(&mut drawn);
    drawn
}
