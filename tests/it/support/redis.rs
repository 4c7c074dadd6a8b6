//! A real `redis-server`, started for the tests: durable as production should be, on a free
//! port, with a folder of its own that goes when it goes.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use super::process::{Guarded, free_port};
use super::program;

/// Databases per server, and so the number of tests that can share one.
const DATABASES: u16 = 1024;

/// A running server. Tests that only need a store take [`Redis::fresh_database`] of the
/// [`Redis::shared`] one; tests that stop it start their own.
pub struct Redis {
    port: u16,
    folder: PathBuf,
    /// A shared server is never dropped, so its guardian removes the folder.
    shared: bool,
    server: Option<Guarded>,
    databases_given: AtomicU16,
}

impl Redis {
    /// The server all tests of this binary share, started by the first that asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(true))
    }

    /// Starts a server of one's own, empty.
    ///
    /// # Panics
    ///
    /// If `redis-server` (or what `GUICHET_TEST_REDIS` names) cannot be started.
    pub fn start() -> Self {
        Self::start_with(false)
    }

    fn start_with(shared: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("guichet-redis-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let mut redis = Self {
            port: free_port(),
            folder,
            shared,
            server: None,
            databases_given: AtomicU16::new(0),
        };
        redis.restart();
        redis
    }

    /// The address of database 0, as a client takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Where it keeps its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sends one command, as words with spaces between; the server's reply, as it is written.
    ///
    /// # Panics
    ///
    /// When it refuses it.
    pub fn command(&self, words: &str) -> String {
        let response = self.exchange(words).expect("the server answers");
        assert!(!response.starts_with('-'), "{words}: {response}");
        response
    }

    /// The address of a database that no other test uses.
    ///
    /// # Panics
    ///
    /// When all 1023 have been given out.
    pub fn fresh_database(&self) -> String {
        let database = self.databases_given.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(database < DATABASES, "more tests than databases");
        format!("{}{database}", self.url())
    }

    /// Kills the server as a crash would; its data stays for [`Redis::restart`].
    pub fn kill9(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill9();
        }
    }

    /// Starts the server again, on the same port with the data it had written; a running one
    /// is stopped first.
    pub fn restart(&mut self) {
        drop(self.server.take());
        let log = self.folder.join("redis.log");
        let port = self.port.to_string();
        let databases = DATABASES.to_string();
        let folder = self.folder.to_string_lossy();
        #[rustfmt::skip]
        let arguments = [
            "--port", &port,
            "--bind", "127.0.0.1",
            "--dir", &folder,
            "--databases", &databases,
            "--save", "",
            "--appendonly", "yes",
            "--appendfsync", "always",
            "--maxmemory-policy", "noeviction",
        ];
        let server = Guarded::start(
            &program("GUICHET_TEST_REDIS", "redis-server"),
            arguments,
            &log,
            self.shared.then_some(self.folder.as_path()),
        );
        server.wait_for(|| self.serves(server.pid()).then_some(()));
        self.server = Some(server);
    }
}

impl Redis {
    /// Whether process `pid` replies on the port and has read its data. Asking for the process rules out
    /// a stranger that took the port first.
    fn serves(&self, pid: u32) -> bool {
        let Ok(info) = self.exchange("INFO") else {
            return false;
        };
        let says = |fact: &str| info.lines().any(|line| line == fact);
        says(&format!("process_id:{pid}")) && says("loading:0")
    }
}

impl Redis {
    fn exchange(&self, words: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.write_all(format!("{words}\r\nQUIT\r\n").as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.take());
        // Left behind in the worst case: a few kilobytes in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
