//! `guichet openapi`: the description of the API.

use std::io::Write;

use crate::http::openapi;

pub(super) fn run() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(openapi::text().as_bytes())?;
    Ok(out.flush()?)
}
