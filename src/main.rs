//! Guichet. 
fn main() {}
