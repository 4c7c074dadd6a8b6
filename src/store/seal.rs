//! Sealing at rest.
