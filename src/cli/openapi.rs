//! `guichet openapi`: the description of the API.

use std::io::Write;

use crate::http;

pub(super) fn run() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(http::DESCRIPTION.text.as_bytes())?;
    Ok(out.flush()?)
}
