//! What Linux and Redis tell about a process.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;

/// The user and system time of a process so far.
pub fn cpu(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may contain anything; what follows its bracket does not.
    let rest = stat.rsplit_once(')').context("stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux has had 100 of them in a second for programs on every architecture (`man 7 time`).
    Ok(Duration::from_millis(ticks * 10))
}

/// The same, exactly: the sum of the threads that are there now. Those that ended are missing, so it is for a short
/// while of a process that keeps its threads.
pub fn exact_cpu(process: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let times = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let used = times.split_whitespace().next();
        nanos += used.map_or(Ok(0), str::parse::<u64>)?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The memory of a process that is in use now, in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("VmRSS")?.parse::<u64>()? * 1024)
}

/// A figure of what `INFO` says.
pub fn figure(info: &str, name: &str) -> anyhow::Result<u64> {
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.with_context(|| format!("INFO has no {name}"))?;
    Ok(line.trim().parse()?)
}

/// What a Redis server has done so far.
#[derive(Clone, Copy)]
pub struct RedisWork {
    /// Commands, those inside of scripts too.
    pub commands: u64,
    /// Reads of a connection that brought commands. For a single caller these are its round trips.
    pub reads: u64,
}

impl RedisWork {
    /// Asks the server.
    pub async fn so_far(redis: &mut MultiplexedConnection) -> anyhow::Result<Self> {
        let info: String = redis::cmd("INFO")
            .arg("everything")
            .query_async(redis)
            .await?;
        Ok(Self {
            commands: figure(&info, "total_commands_processed")?,
            reads: figure(&info, "total_reads_processed")?,
        })
    }

    /// Commands and reads of each of that many flows.
    pub fn since(self, before: Self, flows: usize) -> (f64, f64) {
        let of = |after: u64, before: u64| (after - before) as f64 / flows as f64;
        (
            of(self.commands, before.commands),
            of(self.reads, before.reads),
        )
    }
}
