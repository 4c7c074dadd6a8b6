//! Real `redis-server` processes, started for the tests: durable as production should be, on ports that stay
//! theirs, with a folder each that goes when they go.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::process::{Guarded, Port};
use super::program;

/// Databases per server, and so the number of tests that can share one.
const DATABASES: u16 = 1024;

/// How long a server may take to answer a command of a test.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server. Tests that only need a store take [`Redis::fresh_database`] of the [`Redis::shared`] one; tests that
/// stop it start their own.
pub struct Redis {
    port: Port,
    folder: PathBuf,
    arguments: Vec<String>,
    /// A shared server is never dropped, so its guardian removes the folder.
    shared: bool,
    server: Option<Guarded>,
    databases_given: AtomicU16,
}

impl Redis {
    /// The server all tests of this binary share, started by the first that asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(true, &[]))
    }

    /// Starts a server of one's own, empty.
    ///
    /// # Panics
    ///
    /// If `redis-server` (or what `GUICHET_TEST_REDIS` names) cannot be started.
    pub fn start() -> Self {
        Self::start_with(false, &[])
    }

    /// The same, with further arguments. One that is `shared` is never dropped.
    pub fn start_with(shared: bool, more: &[&str]) -> Self {
        let databases = DATABASES.to_string();
        #[rustfmt::skip]
        let durable = [
            "--save", "",
            "--databases", &databases,
            "--appendonly", "yes",
            "--appendfsync", "always",
            "--maxmemory-policy", "noeviction",
            // Replicas are there at once.
            "--repl-diskless-sync", "yes",
            "--repl-diskless-sync-delay", "0",
        ];
        let mut redis = Self::new(shared);
        let arguments = durable.iter().chain(more);
        redis.arguments = arguments.map(|&argument| argument.to_owned()).collect();
        redis.restart();
        redis
    }

    /// Starts a Sentinel with these lines of configuration.
    pub fn start_sentinel(lines: &str) -> Self {
        let mut sentinel = Self::new(false);
        let file = sentinel.folder.join("sentinel.conf");
        std::fs::write(&file, lines).expect("a file");
        let file = file.to_str().expect("a path of text").to_owned();
        sentinel.arguments = vec![file, "--sentinel".to_owned()];
        sentinel.restart();
        sentinel
    }

    fn new(shared: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("guichet-redis-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        Self {
            port: Port::take(),
            folder,
            arguments: Vec::new(),
            shared,
            server: None,
            databases_given: AtomicU16::new(0),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address of database 0, as a client takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port())
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

    /// Sends one command; the texts of the server's reply, without their lengths, or the error it says.
    pub fn ask(&self, words: &str) -> Result<Vec<String>, String> {
        let response = self.exchange(words).map_err(|error| error.to_string())?;
        if let Some(error) = response.strip_prefix('-') {
            return Err(error.trim().to_owned());
        }
        let lines = response
            .lines()
            .filter(|line| !line.starts_with(['$', '*']));
        let texts = lines.map(|line| line.trim_start_matches([':', '+']).trim().to_owned());
        Ok(texts.collect())
    }

    /// What it says of itself under that name.
    pub fn info(&self, section: &str, name: &str) -> Option<String> {
        let lines = self.ask(&format!("INFO {section}")).ok()?;
        let value = |line: &String| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
        lines.iter().find_map(value)
    }

    /// How often it has answered with that error, such as `MOVED`.
    pub fn errors(&self, code: &str) -> u64 {
        let count = self.info("errorstats", &format!("errorstat_{code}"));
        let count = count.and_then(|count| count.strip_prefix("count=")?.parse().ok());
        count.unwrap_or(0)
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

    /// Stops it in the middle of what it does, as a machine that hangs would: it takes connections and says
    /// nothing until [`Redis::resume`].
    pub fn pause(&self) {
        self.server.as_ref().expect("it runs").signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.as_ref().expect("it runs").signal("CONT");
    }

    /// Starts the server again, on the same port with the data it had written; a running one
    /// is stopped first.
    pub fn restart(&mut self) {
        drop(self.server.take());
        let log = self.folder.join("redis.log");
        let port = self.port().to_string();
        let folder = self.folder.to_string_lossy();
        let place = ["--port", &port, "--bind", "127.0.0.1", "--dir", &folder];
        let arguments = self.arguments.iter().map(String::as_str).chain(place);
        let server = Guarded::start(
            &program("GUICHET_TEST_REDIS", "redis-server"),
            arguments,
            &log,
            self.shared.then_some(self.folder.as_path()),
        );
        server.wait_for(|| self.serves(server.pid()).then_some(()));
        self.server = Some(server);
    }

    /// Whether process `pid` replies on the port and has read its data. Asking for the process rules out
    /// a stranger that took the port first.
    fn serves(&self, pid: u32) -> bool {
        let Ok(info) = self.exchange("INFO") else {
            return false;
        };
        let says = |fact: &str| info.lines().any(|line| line == fact);
        says(&format!("process_id:{pid}")) && !says("loading:1")
    }

    fn exchange(&self, words: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{words}\r\n").as_bytes())?;
        // It answers, and then closes its side too. (A Sentinel knows no QUIT.)
        stream.shutdown(Shutdown::Write)?;
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
