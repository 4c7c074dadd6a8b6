//! `guichet institution check`: what is wrong with an institution's file, and what to write instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::json;

use crate::app::{self, Sources};
use crate::config::{Config, ConfigError, Environment, Warning, institutions};
use crate::domain::institution::{Institution, OAuth};
use crate::oauth::{
    Certificates, ClientKeys, Finding, Level, OAuthClient, ServerMetadata, compare,
};
use crate::outgoing::Outgoing;
use crate::printable::printable;

/// How long a certificate should still be good for.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a line may be, in characters.
const LINE: usize = 2_000;

/// The lists of algorithms that the institution signs with.
const SIGNING: [&str; 3] = [
    "id_token_signing_alg_values_supported",
    "userinfo_signing_alg_values_supported",
    "authorization_signing_alg_values_supported",
];

#[derive(clap::Args)]
pub(super) struct Options {
    /// The institution's file, or its code; a code needs --config.
    #[arg(value_name = "FILE|CODE")]
    what: String,
    /// The configuration file: whose institution it is, and the proxy that calls go through.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let file = Path::new(&options.what);
    let is_file = file.is_file() || options.what.ends_with(".toml");
    let config = match &options.config {
        Some(config) => Some(Config::load(Some(config), &Environment::of_process()?)?),
        None => None,
    };
    let outgoing = match &config {
        Some((config, _)) => app::outgoing(config)?,
        None => Outgoing::default(),
    };
    let mut findings = Vec::new();
    let institution = match is_file {
        true => lint(file, &mut findings)?,
        false => Some(configured(&options.what, config)?),
    };
    if let Some(institution) = &institution {
        check(institution, outgoing, &mut findings).await?;
    }
    let named = match &institution {
        Some(institution) => institution.code.to_string(),
        None => options.what.clone(),
    };
    let errors = findings.iter().filter(|it| it.level == Level::Error);
    let errors = errors.count();
    match options.json {
        true => println!("{}", in_json(&named, &findings)),
        false => findings.iter().for_each(|finding| {
            let (level, about) = (finding.level.name(), &finding.about);
            let line = format!("{level}: {about}: {}", finding.text);
            println!("{}", printable(&line, LINE));
        }),
    }
    if errors > 0 {
        bail!("{named}: {errors} errors");
    }
    Ok(())
}

fn in_json(named: &str, findings: &[Finding]) -> serde_json::Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "level": finding.level.name(),
            "about": finding.about,
            "text": printable(&finding.text, LINE),
        })
    });
    json!({ "institution": named, "findings": findings.collect::<Vec<_>>() })
}

/// The institution of that code.
fn configured(code: &str, config: Option<(Config, Vec<Warning>)>) -> anyhow::Result<Institution> {
    let (config, _) = config.with_context(|| {
        format!("{code} is not a file; to check the institution of that code, add --config FILE")
    })?;
    let mut institutions = config.institutions.into_iter();
    let found = institutions.find(|it| it.code.as_str() == code);
    found.with_context(|| format!("there is no institution {code}; see the institution files"))
}

/// The institution that the file describes, unless it is wrong.
fn lint(file: &Path, findings: &mut Vec<Finding>) -> anyhow::Result<Option<Institution>> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    match institutions::parse(&text, file) {
        Ok((institution, warnings)) => {
            let warnings = warnings.into_iter();
            findings.extend(
                warnings.map(|it| Finding::new(Level::Warning, about(&it.key), it.message)),
            );
            findings.push(good("file", "it can be used"));
            Ok(Some(institution))
        }
        Err(ConfigError::Faults(faults)) => {
            let faults = faults.into_iter().map(|fault| {
                let text = format!("{} ({})", fault.problem, fault.place);
                Finding::new(Level::Error, about(&fault.key), text)
            });
            findings.extend(faults);
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

/// The key that something is about; the whole file where there is none.
fn about(key: &str) -> &str {
    if key.is_empty() { "file" } else { key }
}

fn good(about: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding::new(Level::Good, about, text)
}

/// Everything that needs the institution.
async fn check(
    institution: &Institution,
    outgoing: Outgoing,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let Some(oauth) = &institution.oauth else {
        findings.push(good(
            "oauth",
            "there is none, so there is nothing more to check",
        ));
        return Ok(());
    };
    let random = Sources::real().random;
    let client = OAuthClient::new(
        outgoing,
        ClientKeys::default(),
        Certificates::default(),
        random,
    )?;
    let client = client.serving_this_machine()?;
    let metadata = discover(&client, oauth, findings).await;
    check_hosts(&client, oauth, findings).await;
    check_keys(&client, oauth, metadata.as_ref(), findings).await;
    findings.push(Finding::new(
        Level::NotChecked,
        "pushed authorization requests",
        match oauth.authorization.pushed_to {
            None => "the file has none, so none was tried",
            Some(_) => "none was tried, because that needs a client's registration",
        },
    ));
    Ok(())
}

/// Its metadata, held against the file.
async fn discover(
    client: &OAuthClient,
    oauth: &OAuth,
    findings: &mut Vec<Finding>,
) -> Option<ServerMetadata> {
    let Some(issuer) = &oauth.issuer else {
        findings.push(Finding::new(
            Level::NotChecked,
            "metadata",
            "the file has no oauth.issuer; if the institution publishes metadata, write issuer = \"…\", exactly as it is \
             there",
        ));
        return None;
    };
    let address = oauth.discovery.metadata_url.as_ref();
    match client.discover(issuer, address, &oauth.allow_hosts).await {
        Ok(found) => {
            findings.push(good("metadata", format!("read from {}", found.at)));
            let differences = compare(oauth, &found.metadata);
            if differences.is_empty() {
                findings.push(good("metadata", "the file agrees with it"));
            }
            findings.extend(differences);
            Some(found.metadata)
        }
        Err(error) => {
            let level = match error.is_absence() {
                true => Level::Warning,
                false => Level::Error,
            };
            let text = format!(
                "{error}; if the institution publishes metadata, write oauth.issuer exactly as it does, or the address as \
                 oauth.metadata_url"
            );
            findings.push(Finding::new(level, "metadata", text));
            None
        }
    }
}

/// Whether every host is reached, and how it proves its name.
async fn check_hosts(client: &OAuthClient, oauth: &OAuth, findings: &mut Vec<Finding>) {
    let mut hosts = BTreeMap::new();
    for (key, url) in oauth.endpoints() {
        let origin = url.origin().ascii_serialization();
        hosts.entry(origin).or_insert((key, url));
    }
    let now = Sources::real().clocks.of_day();
    for (origin, (key, url)) in hosts {
        let about = format!("oauth.{key}");
        match client.tls(url).await {
            Err(error) => {
                let text = format!("{origin} is not reached: {error}");
                findings.push(Finding::new(Level::Error, about, text));
            }
            Ok(None) => findings.push(good(about, format!("{origin} is reached, by plain http"))),
            Ok(Some(tls)) => {
                let version = tls.version;
                let text = format!("{origin} is reached, by TLS {version}");
                findings.push(good(&about, text));
                if let Some(certificate) = tls.certificate {
                    findings.push(end(about, &origin, certificate.ends_at, now));
                }
            }
        }
    }
}

fn end(about: String, origin: &str, ends_at: Timestamp, now: Timestamp) -> Finding {
    let text = format!("the certificate of {origin} ends at {ends_at}");
    if now + SOON < ends_at {
        return good(about, text);
    }
    let text = format!("{text}; ask the institution when it is replaced");
    Finding::new(Level::Warning, about, text)
}

/// Whether its keys can be read, and fit the algorithms that it signs with.
async fn check_keys(
    client: &OAuthClient,
    oauth: &OAuth,
    metadata: Option<&ServerMetadata>,
    findings: &mut Vec<Finding>,
) {
    const KEY: &str = "oauth.jwks_uri";
    let Some(address) = &oauth.discovery.jwks_uri else {
        findings.push(Finding::new(
            Level::NotChecked,
            "keys",
            "the file has no oauth.jwks_uri",
        ));
        return;
    };
    let keys = match client.published_keys(oauth).await {
        Ok(keys) => keys,
        Err(error) => {
            let text = format!("{address}: {error}");
            findings.push(Finding::new(Level::Error, KEY, text));
            return;
        }
    };
    let count = keys.iter().count();
    findings.push(match count {
        0 => Finding::new(
            Level::Error,
            KEY,
            format!("{address} has no key of a known form"),
        ),
        _ => good(KEY, format!("{address} has {count} keys")),
    });
    for list in SIGNING {
        let algorithms = metadata.and_then(|it| it.list(list));
        let Some(algorithms) = algorithms else {
            continue;
        };
        let unfit = algorithms
            .iter()
            .filter(|it| *it != "none" && !keys.verifies(it));
        let unfit: Vec<&str> = unfit.map(String::as_str).collect();
        if !unfit.is_empty() {
            let text = format!(
                "there is no key for {}, which the metadata's {list} has",
                unfit.join(", ")
            );
            findings.push(Finding::new(Level::Warning, KEY, text));
        }
    }
}
