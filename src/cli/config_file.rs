//! Which configuration a command uses.

use std::path::PathBuf;

/// Which configuration to use.
#[derive(clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration file; guichet.default.toml documents it.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}
