//! The strict bank: what is right is let through, each thing that is wrong is refused by its name, and each knob
//! bites.

mod bites;
mod bites_tokens;
mod certificates;
mod client;
mod encrypted;
mod flow;
mod knobs;
mod proofs;
mod signed;
mod tokens;
