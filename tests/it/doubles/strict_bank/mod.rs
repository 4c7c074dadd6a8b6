//! The strict bank: what is right is let through, each thing that is wrong is refused by its name, and each knob
//! bites.

mod client;
mod flow;
