//! Versions of data that is stored in a binary layout of our own.

/// Why stored bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Another version of this program wrote them.
    #[error("its layout has the version {0}, which this program does not know")]
    Version(u32),
    /// They are something else.
    #[error("it is not what was to be stored here")]
    Malformed,
}
