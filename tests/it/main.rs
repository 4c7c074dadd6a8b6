//! The integration tests, in one binary: real sockets, real stores, a real browser, and
//! doubles that stand for the institution and for the receiver of webhooks.

mod doubles;
mod support;
