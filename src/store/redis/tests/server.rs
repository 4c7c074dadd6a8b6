//! A `redis-server` of a test's own, durable as production should be, gone when the test is.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A running server.
pub(super) struct Server {
    port: u16,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts an empty one on a free port, as `GUICHET_TEST_REDIS` or `redis-server`.
    pub(super) async fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = spawn(port, &folder);
        let server = Self {
            port,
            folder,
            child,
        };
        server.wait().await;
        server
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends it as a crash would.
    pub(super) fn kill(&mut self) {
        // A server that has already ended is as dead as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal, such as `STOP`.
    pub(super) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill starts").success(), "{signal}");
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again with what it had written.
    pub(super) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.folder);
        self.wait().await;
    }

    /// Sends a command on a connection of its own.
    pub(super) async fn query<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.expect(words[0])
    }

    /// One line of `INFO`, as a number.
    pub(super) async fn info(&self, section: &str, name: &str) -> i64 {
        let info: String = self.query(&["INFO", section]).await;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .expect(name);
        line.trim().parse().expect(name)
    }

    async fn wait(&self) {
        let client = redis::Client::open(self.url()).expect("an address");
        let answers = async || -> redis::RedisResult<()> {
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").query_async(&mut connection).await
        };
        let begun = std::time::Instant::now();
        while let Err(error) = answers().await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/test says where the server program is"
)]
fn spawn(port: u16, folder: &TempDir) -> Child {
    let program = std::env::var_os("GUICHET_TEST_REDIS").unwrap_or("redis-server".into());
    #[rustfmt::skip]
    let settings = [
        "--port", &port.to_string(),
        "--bind", "127.0.0.1",
        "--dir", &folder.path().to_string_lossy(),
        "--save", "",
        "--appendonly", "yes",
        "--appendfsync", "always",
        "--maxmemory-policy", "noeviction",
    ]
    .map(str::to_owned);
    Command::new(&program)
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
