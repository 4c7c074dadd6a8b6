//! The doubles themselves, tried: a test that leans on a bent ruler proves nothing.

mod bank;
mod browser;
mod receiver;
mod redis;
mod strict_bank;
