//! The commands. Each is a file; this one parses and chooses the exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | it worked |
//! | 1 | it failed while running |
//! | 2 | the command line is wrong |
//! | 3 | the configuration or an institution file is wrong |
//! | 4 | the store cannot be used |

mod check;
mod client_keys;
mod config_file;
mod consents;
#[cfg(feature = "demo")]
mod demo;
mod events;
mod grants;
mod institution;
mod keys;
mod openapi;
mod pages;
mod rotate;
mod serve;
mod signal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;
use crate::store::StoreError;
use crate::telemetry;

/// The self-hosted OAuth gateway for connecting people's bank accounts.
#[derive(Parser)]
#[command(name = "guichet", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine: gateway, sandbox bank, demo app. Nothing else is needed.
    #[cfg(feature = "demo")]
    Demo(Box<demo::Options>),
    /// Run the gateway.
    Serve(serve::Options),
    /// Say what is wrong with a configuration, and what is risky; changes nothing.
    Check(check::Options),
    /// API keys of the configured clients; everything sealed anew under another seal key; keys that clients have at
    /// institutions.
    Keys(keys::Options),
    /// The events that were told to clients, or could not be: list, show, send again, test.
    Events(events::Options),
    /// The consents that end soon.
    Consents(consents::Options),
    /// Grants that come from another gateway, or go to one: import, export, list, thaw.
    Grants(grants::Options),
    /// An institution: check its file, draft one, and what an operator decides about it.
    Institution(institution::Options),
    /// Write every page in every language into a folder, to look at.
    Pages(pages::Options),
    /// Print the description of the API, the same as GET /openapi.json.
    Openapi,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Dropped last, after the runtime and its tasks.
    let _last_lines = telemetry::AtEnd;
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider is already installed");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("guichet: the runtime cannot be started: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            #[cfg(feature = "demo")]
            Command::Demo(options) => demo::run(*options).await,
            Command::Serve(options) => serve::run(options).await,
            Command::Check(options) => check::run(options).await,
            Command::Keys(options) => keys::run(options).await,
            Command::Events(options) => events::run(options).await,
            Command::Consents(options) => consents::run(options).await,
            Command::Grants(options) => grants::run(options).await,
            Command::Institution(options) => institution::run(options).await,
            Command::Pages(options) => pages::run(&options),
            Command::Openapi => openapi::run(),
        }
    });
    // All that has to end has ended. What is left may be a thread that waits for the answer to a name.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::flush();
            eprintln!("guichet: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let mut causes = error.chain();
    if causes.any(|cause| cause.is::<ConfigError>()) {
        return 3;
    }
    if error.chain().any(|cause| cause.is::<StoreError>()) {
        return 4;
    }
    1
}
