//! End to end in Chromium: the demo as a person uses it, and the gateway alone where a test needs
//! its clock or a bank that misbehaves.

mod app;
mod confirm;
mod demo;
mod duplicates;
mod endings;
mod gallery;
mod incidents;
mod keyboard;
mod links;
mod looks;
mod privacy;
mod returning;
mod standard;
mod steps;
mod strict;
