//! The processes of one measurement: bank, store, sink and the gateway, on free ports, in a folder of
//! their own. All are ended when they are dropped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guichet_bench::links::Registration;

use super::authorization_server::{CLIENT, SECRET};

/// A process that is killed when it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_owned();
        let child = command.spawn();
        Ok(Self(child.with_context(|| {
            format!("cannot start {}", name.display())
        })?))
    }

    /// Starts this program in one of its other roles; where it listens.
    pub fn helper(arguments: &[&str]) -> anyhow::Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = Self::start(command.args(arguments).stdout(Stdio::piped()))?;
        let mut line = String::new();
        let said = process.0.stdout.take().context("no output")?;
        BufReader::new(said).read_line(&mut line)?;
        let address = line.trim().parse();
        Ok((
            process,
            address.with_context(|| format!("{arguments:?} did not start"))?,
        ))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A Redis server, and its address. It appends to its file, once a second to the disk; or, if it does not append, it
/// reads what was saved in the folder first.
pub async fn redis(folder: &Path, appends: bool) -> anyhow::Result<(Process, String)> {
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ])
        .args(["--appendonly", if appends { "yes" } else { "no" }])
        .args(["--appendfsync", "everysec", "--dir"])
        .arg(folder)
        .stdout(Stdio::null());
    let process = Process::start(&mut command)?;
    let address = format!("redis://127.0.0.1:{port}/");
    let client = redis::Client::open(address.as_str())?;
    // It takes connections while it reads, and answers when it has read all.
    within(Duration::from_secs(300), async || {
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
            return false;
        };
        let answer: redis::RedisResult<u64> =
            redis::cmd("DBSIZE").query_async(&mut connection).await;
        answer.is_ok()
    })
    .await
    .context("redis-server did not start")?;
    Ok((process, address))
}

/// Waits until that is so.
pub async fn within(limit: Duration, mut is_so: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so().await {
        ensure!(begun.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// What a gateway is to be started with.
pub struct Wanted<'a> {
    /// The program.
    pub program: &'a Path,
    /// A folder for its files.
    pub folder: &'a Path,
    /// `sqlite:…` or `redis://…`.
    pub store: &'a str,
    /// The bank.
    pub bank: SocketAddr,
    /// Who takes every event and every job, if anybody does.
    pub sink: Option<SocketAddr>,
    /// The value of `Authorization` of its client, if the store has a key of it already.
    pub authorization: Option<String>,
}

/// A gateway that is ready.
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// The value of `Authorization` of its client.
    pub authorization: String,
    /// From its start to its first 200 of `/readyz`.
    pub start: Duration,
}

impl Gateway {
    /// Starts it.
    pub async fn start(wanted: &Wanted<'_>) -> anyhow::Result<Self> {
        let address: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
        let operator: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
        let institutions = wanted.folder.join("institutions");
        fs::create_dir_all(&institutions)?;
        fs::write(institutions.join("bench.toml"), institution(wanted.bank))?;
        let configuration = wanted.folder.join("guichet.toml");
        fs::write(&configuration, settings(address, operator, wanted))?;

        let guichet = |arguments: &[&str]| {
            let mut command = Command::new(wanted.program);
            command.args(arguments).arg("--config").arg(&configuration);
            command.current_dir(wanted.folder);
            command
        };
        let authorization = match &wanted.authorization {
            Some(known) => known.clone(),
            None => {
                let created = guichet(&["keys", "create", "--client", "bench"]).output();
                let created = created
                    .with_context(|| format!("cannot start {}", wanted.program.display()))?;
                let said = String::from_utf8(created.stdout)?;
                let key = said.split_whitespace().last().context("no API key")?;
                format!("Basic {}", STANDARD.encode(format!("bench:{key}")))
            }
        };

        let log = fs::File::create(wanted.folder.join("guichet.log"))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let begun = Instant::now();
        let process = Process::start(guichet(&["serve"]).stdout(Stdio::null()).stderr(log))?;
        let ready = format!("http://{operator}/readyz");
        let is_ready = async || {
            let response = http.get(&ready).send().await;
            response.is_ok_and(|response| response.status().is_success())
        };
        within(Duration::from_secs(20), is_ready)
            .await
            .context("the gateway did not start")?;
        let start = begun.elapsed();
        Ok(Self {
            process,
            address,
            authorization,
            start,
        })
    }

    /// Creates users `u0`, `u1`, ….
    pub async fn create_users(&self, users: usize) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let to = format!("http://{}/users", self.address);
        for user in 0..users {
            let request = http
                .post(&to)
                .body(format!(r#"{{"user":{{"id":"u{user}"}}}}"#));
            let response = request
                .header("authorization", &self.authorization)
                .header("content-type", "application/json")
                .send()
                .await?;
            ensure!(
                response.status().is_success(),
                "no user: {}",
                response.status()
            );
        }
        Ok(())
    }
}

/// The guid of the institution that every gateway has.
const INSTITUTION: &str = "INS-0b6c9c3a-6f2e-4b57-9a55-0d1f7f6f2c11";

/// The one registration that every gateway has.
pub fn registration() -> anyhow::Result<Registration> {
    Ok(Registration {
        client: "bench".parse()?,
        institution: "bench".parse()?,
        institution_guid: INSTITUTION.parse()?,
        name: "Bench Bank".to_owned(),
    })
}

fn institution(bank: SocketAddr) -> String {
    format!(
        r#"guid = "{INSTITUTION}"
code = "bench"
name = "Bench Bank"
supports_oauth = true

[oauth]
authorization_endpoint = "http://{bank}/authorize"
token_endpoint = "http://{bank}/token"
client_authentication = "client_secret_post"
scopes = ["accounts"]
pkce = "required"
"#
    )
}

fn settings(address: SocketAddr, operator: SocketAddr, wanted: &Wanted<'_>) -> String {
    let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
    let (aggregator, webhooks) = match wanted.sink {
        None => (String::new(), String::new()),
        Some(sink) => (
            format!(
                r#"
[aggregator]
url = "http://{sink}/jobs"
secret = "{secret}"
key = "0000000000000000000000000000000000000000000000000000000000000000"

[webhooks]
allow_hosts = ["{sink}"]
"#
            ),
            format!(
                r#"
[[clients.webhooks]]
url = "http://{sink}/events"
events = ["member.created", "member.updated", "member.deleted", "connection_status.changed", "aggregation.finished", "oauth_state.finished"]
secret = "{secret}"
"#
            ),
        ),
    };
    let limits = ["mints", "reads", "writes", "deletes"].map(|kind| {
        format!("{kind}_per_client_per_second = 1000000\n{kind}_per_user_per_second = 999999\n")
    });
    format!(
        r#"public_url = "http://{address}"

[listen]
address = "{address}"
operator = "{operator}"
drain_seconds = 0
connections_per_source = 8000

[store]
url = "{store}"

[seal]
keys = [{{ id = "1", key = "{key}" }}]

[limits]
mints_per_member_per_minute = 1000000
{limits}{aggregator}
[[clients]]
id = "bench"
name = "Bench"
{webhooks}
[[clients.registrations]]
institution = "bench"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
"#,
        store = wanted.store,
        key = STANDARD.encode([9; 32]),
        limits = limits.concat(),
    )
}
