//! `guichet institution report`: what an institution's service desk asks for, about one attempt that failed.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::app;
use crate::config::{Config, Environment};
use crate::domain::support_code::SupportCode;
use crate::flow::report::{self, Report};
use crate::oauth::Call;
use crate::printable::printable;
use crate::seal::Sealer;
use crate::store::KeptReport;

/// How long a line may be, in characters.
const LINE: usize = 4_000;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The code at the end of the page that the person saw.
    #[arg(value_name = "SUPPORT-CODE")]
    code: SupportCode,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let (config, _) = Config::load(Some(&options.config), &Environment::of_process()?)?;
    let sealer = Sealer::new(app::key_ring(&config)?);
    let (store, _) = app::open_store(&config).await?;
    let (code, now) = (options.code, app::now(&store).await?);
    let Some(kept) = store.report(code, now).await? else {
        bail!(
            "there is no report of {code}. One is kept for {} days (store.keep_reports_days), of attempts that the \
             institution or the gateway ended; the log's lines with support_code={code} say what became of others",
            config.store.keep_reports.as_secs() / (24 * 60 * 60)
        );
    };
    let report = report::open(&sealer, code, &kept);
    let report = report.with_context(|| format!("the report of {code} was found"))?;
    let mut clients = config.clients.iter();
    let client = clients.find(|client| client.id == kept.client);
    let registration = client.and_then(|client| client.registration(&kept.institution));
    let (client_id, redirect_uri) = match registration {
        Some(it) => (it.client_id.as_str(), it.redirect_uri.as_str()),
        None => ("(no longer configured)", "(no longer configured)"),
    };
    show(code, &kept, &report, [client_id, redirect_uri]);
    Ok(())
}

fn show(code: SupportCode, kept: &KeptReport, report: &Report, registration: [&str; 2]) {
    let [client_id, redirect_uri] = registration;
    let line = |text: &str| println!("{}", printable(text, LINE));
    line(&format!("support code  {code}"));
    line(&format!("ended         {}", kept.ended_at));
    line(&format!("institution   {}", kept.institution));
    line(&format!("client        {}", kept.client));
    line(&format!("client_id     {client_id}"));
    line(&format!("redirect_uri  {redirect_uri}"));
    line(&format!("reason        {}", report.reason));
    line(&format!("detail        {}", report.detail));
    if report.calls.is_empty() {
        line("calls         none");
    }
    for call in &report.calls {
        let Call {
            method,
            address,
            at,
            duration_ms,
            status,
            headers,
            body,
        } = call;
        let status = status.map_or("no response".to_owned(), |it| it.to_string());
        println!();
        line(&format!("{at}  {method} {address}"));
        line(&format!("  {status}, after {duration_ms} ms"));
        for (name, value) in headers {
            line(&format!("  {name}: {value}"));
        }
        line(&format!("  {body}"));
    }
}
