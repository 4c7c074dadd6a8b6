//! Programs started by the tests that cannot outlive them.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

/// Starts the program given as arguments, says its process id, and ends it when standard
/// input is closed. That happens when the guarded value is dropped and also when the test
/// binary dies, however it dies, since the kernel closes its pipes. The signals a terminal
/// sends to the whole group interrupt the wait, which has the same effect. A program that was stopped goes on, so
/// that it can end.
const GUARDIAN: &str = r#"
trap : INT TERM HUP
"$@" </dev/null >"$GUARDED_LOG" 2>&1 &
echo "$!"
read -r _
kill -TERM "$!" 2>/dev/null
kill -CONT "$!" 2>/dev/null
wait "$!"
[ -z "$GUARDED_FOLDER" ] || rm -rf -- "$GUARDED_FOLDER"
"#;

/// How long a program that was told to end may take. One that refuses is killed: Redis does not end while it writes its
/// first append-only file, and forgets that it was told.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A running program, ended with the value or with the test binary, whichever ends first.
pub struct Guarded {
    guardian: Child,
    leash: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
}

impl Guarded {
    /// Starts `program` with `arguments`; what it prints goes to the file `log`. The folder
    /// `owned`, if there is one, is removed once the program has ended.
    ///
    /// # Panics
    ///
    /// If there is no `sh`.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        owned: Option<&Path>,
    ) -> Self {
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(program)
            .args(arguments)
            .env("GUARDED_LOG", log)
            .env("GUARDED_FOLDER", owned.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The shell would remark that the program was ended.
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let leash = guardian.stdin.take();
        let mut line = String::new();
        BufReader::new(guardian.stdout.take().expect("a pipe was asked for"))
            .read_line(&mut line)
            .expect("the guardian says the process id");
        let pid = line.trim().parse().expect("a process id");
        Self {
            guardian,
            leash,
            pid,
            log: log.to_owned(),
        }
    }

    /// Ends the program at once, as a crash or a power cut would (SIGKILL), and waits until
    /// it is gone.
    pub fn kill9(mut self) {
        self.signal("KILL");
        self.release();
    }

    /// Sends the program that signal.
    pub fn signal(&self, name: &str) {
        let is_taken = self.is_taken(name);
        assert!(is_taken, "process {} took no {name}", self.pid);
    }

    /// Sends the program that signal, if it is still there.
    fn is_taken(&self, name: &str) -> bool {
        let sent = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "kill", name])
            .arg(self.pid.to_string())
            .status();
        sent.expect("sh starts").success()
    }

    /// What the program has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process id of the program.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until `ready` gives something and returns it.
    ///
    /// # Panics
    ///
    /// If it does not within twenty seconds; the message holds what the program printed.
    pub fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(response) = ready() {
                return response;
            }
            assert!(
                Instant::now() < deadline,
                "the program is not ready; it said:\n{}",
                self.log()
            );
            // Between two looks at the condition, not instead of one.
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn release(&mut self) {
        drop(self.leash.take());
        let deadline = Instant::now() + ENDS_WITHIN;
        while matches!(self.guardian.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                // It may have ended just now.
                let _ = self.is_taken("KILL");
                break;
            }
            // Between two looks at the condition, not instead of one.
            thread::sleep(Duration::from_millis(5));
        }
        // The guardian has nothing left to do but to clear up; there is no error to act on.
        let _ = self.guardian.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.release();
    }
}

/// A port that is free now. Another program may take it before it is used, so a caller must
/// notice when its own program could not.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// A port of the loopback interface that stays the test's own while nobody listens on it: the system
/// hands it out to no other listener and to no outgoing connection.
pub struct Port(TcpSocket);

impl Port {
    /// One that is free.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Who listens on it says the same, as the standard library and Redis do.
        socket.set_reuseaddr(true).expect("an option");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        Self(socket)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Listens on it.
    pub fn listen(&self) -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.number())).expect("a port of our own")
    }
}
