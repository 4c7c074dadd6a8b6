//! `guichet pages`: the gallery.

use std::path::PathBuf;

use crate::http::gallery;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The folder to write into; made when missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let written = gallery::write(&options.out)?;
    println!(
        "{} files written; open {}",
        written.len(),
        options.out.join("index.html").display()
    );
    Ok(())
}
