//! `guichet demo`: everything on this machine, in one process.
//!
//! It writes an ordinary configuration into its data folder and loads it like `serve` does, so that the
//! demo runs the same code as production.

mod access;
mod folder;
mod parts;

use std::path::PathBuf;

use anyhow::Context;
use guichet_sandbox::{BankClient, PlatformCredentials, Sandbox, Settings};
use secrecy::SecretString;

use access::DemoAccess;
use folder::DataFolder;
use parts::{Addresses, BANK_CLIENT, CLIENT, Secrets};

use crate::app;
use crate::config::{Config, Environment, LogFilter, LogFormat};
use crate::serve::{Listeners, descriptors};
use crate::telemetry;

#[derive(clap::Args)]
pub(super) struct Options {
    /// Keep everything in this folder; without it a temporary one is used and removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use this store instead of a SQLite file, such as redis://127.0.0.1:6379/.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Have every flow with OAuth confirmed by the app, which has a tick box for that.
    #[arg(long)]
    confirm: bool,
    /// Print one line of JSON when ready, and nothing else.
    #[arg(long)]
    json: bool,
    /// The first of the ports: gateway +0, bank +1, app +2, operator +9. 0 takes free ones.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port_base: u16,
    /// What is logged to standard error: a level such as info, or guichet=debug,info.
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: LogFilter,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let sums = telemetry::install(LogFormat::Text, &options.log)?;
    descriptors::raise();
    let shutdown = super::signal::on_signal();
    let addresses = Addresses::bind(options.port_base)?;
    let sources = app::Sources::real();
    let secrets = Secrets::draw(sources.random.as_ref());
    let data = DataFolder::open(options.data.as_deref())?;
    let config_file = data.write(
        &addresses,
        &secrets,
        options.store.as_deref(),
        options.confirm,
        sources.random.as_ref(),
    )?;
    let (config, _) = Config::load(
        Some(&config_file),
        &Environment::of(std::iter::empty::<(String, String)>()),
    )?;
    let (server, warnings) = app::build(config, sources).await?;
    for risk in warnings {
        tracing::warn!("{risk}");
    }
    let gateway = server.app.gateway.clone();
    let access = DemoAccess::open(&gateway).await?;

    let settings = Settings {
        confirms: options.confirm,
        ..sandbox_settings(&addresses, &secrets, &access)
    };
    let listeners = guichet_sandbox::Listeners {
        bank: addresses.bank,
        app: addresses.app,
    };
    let sandbox = Sandbox::start(listeners, settings, shutdown.clone()).await?;
    let listeners = Listeners {
        public: addresses.gateway,
        operator: addresses.operator,
    };
    let running = tokio::spawn(server.run(listeners, shutdown.clone(), sums));

    let urls = [
        &addresses.gateway_url,
        &addresses.bank_url,
        &addresses.app_url,
        &addresses.operator_url,
    ];
    match options.json {
        true => println!("{}", access.to_json(urls)),
        false => println!("{}", access.to_text(urls)),
    }
    let served = running.await.context("the gateway was cut off")?;
    shutdown.cancel();
    sandbox.stopped.await.context("the sandbox was cut off")??;
    served
}

fn sandbox_settings(addresses: &Addresses, secrets: &Secrets, access: &DemoAccess) -> Settings {
    let gateway = addresses.gateway_url.origin().ascii_serialization();
    let institutions = guichet_sandbox::institutions();
    let redirect_uris = institutions
        .iter()
        .filter(|institution| institution.supports_oauth())
        .map(|institution| {
            format!(
                "{gateway}/oauth/redirect_from/{CLIENT}/{}",
                institution.code
            )
        })
        .collect();
    Settings {
        bank_url: addresses.bank_url.clone(),
        app_url: addresses.app_url.clone(),
        gateway_url: addresses.gateway_url.clone(),
        clients: vec![BankClient {
            id: BANK_CLIENT.to_owned(),
            secret: SecretString::from(secrets.bank.clone()),
            name: "Demo Budget".to_owned(),
            redirect_uris,
        }],
        institutions,
        platform: PlatformCredentials {
            client_id: CLIENT.to_owned(),
            api_key: SecretString::from(access.api_key.expose().to_owned()),
        },
        user_guid: access.user.guid.to_string(),
        aggregator_secret: SecretString::from(secrets.aggregator_signing.clone()),
        aggregator_key: SecretString::from(secrets.aggregator_key.clone()),
        webhook_secret: SecretString::from(secrets.webhook_signing.clone()),
        slow_token: Settings::SLOW_TOKEN,
        confirms: false,
    }
}
