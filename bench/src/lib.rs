//! What the programs of this crate share.

pub mod links;
pub mod measure;
