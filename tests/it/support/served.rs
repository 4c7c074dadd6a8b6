//! The gateway as a process of its own, `guichet serve`, which can be killed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::gateway::{Backend, Setup, TestGateway, eventually};
use super::process::Guarded;
use super::redis::Redis;
use super::visitor::http;

/// A little more than a delivery stays with one worker, and than the deadline of a job here.
const HOLD: Duration = Duration::from_secs(91);

/// A gateway whose process can be killed; everything around it lives on.
pub struct Served {
    /// The bank, the receivers, and the way to ask. Its own gateway is stopped while a process runs.
    pub gateway: TestGateway,
    process: Option<Guarded>,
    environment: Vec<(&'static str, String)>,
    redis: Option<Redis>,
}

impl Served {
    /// `guichet serve` on a file or on a Redis of its own.
    pub async fn start(backend: Backend) -> Self {
        Self::with(backend, Setup::default()).await
    }

    /// The same, set up in another way than usual.
    pub async fn with(backend: Backend, setup: Setup) -> Self {
        let redis = (backend == Backend::Redis).then(Redis::start);
        let setup = Setup {
            store: redis.as_ref().map(Redis::url),
            ..setup
        };
        let environment = setup.environment.clone();
        let mut gateway = TestGateway::with(backend, setup).await;
        gateway.stop().await;
        let mut served = Self {
            gateway,
            process: None,
            environment,
            redis,
        };
        served.serve().await;
        served
    }

    /// Starts the program and waits until it serves.
    pub async fn serve(&mut self) {
        self.process = Some(process_of(&self.gateway, &self.environment).await);
    }

    /// What the process has logged so far.
    pub fn log(&self) -> String {
        self.process.as_ref().expect("a process runs").log()
    }

    /// The same, once that text is in it so many times: a line is written a moment after what it tells of.
    pub async fn log_with(&self, count: usize, text: &str) -> String {
        eventually(async || {
            let log = self.log();
            (log.matches(text).count() >= count).then_some(log)
        })
        .await
    }

    /// Stops the process; all that it has logged.
    pub async fn log_at_the_end(&self) -> String {
        self.terminate();
        eventually(async || {
            let log = self.log();
            let is_last = log.contains(": stopped") || log.contains("\"stopped\"");
            is_last.then_some(log)
        })
        .await
    }

    /// The folder of the store's server, where there is one.
    pub fn redis_folder(&self) -> Option<&Path> {
        self.redis.as_ref().map(Redis::folder)
    }

    async fn ready(&self) {
        self.is_ready(true).await;
    }

    /// Waits until the gateway says that it is ready, or that it is not.
    async fn is_ready(&self, expected: bool) {
        is_ready(&self.gateway, expected).await;
    }

    /// Asks the process to stop, as an operator would.
    pub fn terminate(&self) {
        self.process
            .as_ref()
            .expect("a process runs")
            .signal("TERM");
    }

    /// Kills the process as a crash would.
    pub fn kill(&mut self) {
        self.process.take().expect("a process runs").kill9();
    }

    /// Kills the process and starts the next.
    pub async fn kill_and_start(&mut self) {
        self.kill();
        self.serve().await;
    }

    /// Kills the process, and lets a gateway with a clock of the test's take over, after what the
    /// dead one had reserved is due again.
    pub async fn succeed(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
        self.gateway.restart().await;
        self.gateway.pass(HOLD);
    }

    /// Kills the store's server, and waits until the gateway has noticed: for a moment it says what it
    /// found before.
    pub async fn lose_redis(&mut self) {
        self.redis.as_mut().expect("a Redis").kill9();
        self.is_ready(false).await;
    }

    /// Starts the store's server again, and waits until the gateway has found it.
    pub async fn regain_redis(&mut self) {
        self.redis.as_mut().expect("a Redis").restart();
        self.ready().await;
    }
}

/// Starts the program in place of a gateway that was stopped, and waits until it serves.
pub async fn process_of(gateway: &TestGateway, environment: &[(&'static str, String)]) -> Guarded {
    let log = gateway.folder.path().join("serve.log");
    let variables = environment.iter();
    let variables = variables.map(|(name, value)| format!("{name}={value}").into());
    let program = env!("CARGO_BIN_EXE_guichet");
    let command: [OsString; 3] = [program.into(), "serve".into(), "--config".into()];
    let file = gateway.file().into_os_string();
    let arguments = variables.chain(command).chain([file]);
    // It becomes the program.
    let process = Guarded::start(Path::new("env"), arguments, &log, None);
    is_ready(gateway, true).await;
    process
}

/// Waits until the gateway says that it is ready, or that it is not.
async fn is_ready(gateway: &TestGateway, expected: bool) {
    let readiness = gateway.operator.join("readyz").expect("a path");
    eventually(async || {
        let response = http().get(readiness.clone()).send().await.ok()?;
        (response.status().is_success() == expected).then_some(())
    })
    .await;
}
