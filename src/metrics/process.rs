//! Metrics of the process, under the names that Prometheus' own clients use.

use std::fmt;
use std::fs;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// How many ticks a second `/proc/self/stat` counts in: fixed by the kernel's interface on every
/// machine that we are built for.
const TICKS_PER_S: f64 = 100.0;

/// The metrics that are read for each scrape. Without `/proc` there is only the start time.
#[derive(Debug)]
pub(super) struct Process {
    /// When it started.
    pub(super) started: Timestamp,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let started_s = self.started.as_millisecond() as f64 / 1000.0;
        gauge(
            &mut encoder,
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            Some(started_s),
        )?;
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        if let Some(seconds) = read("stat").as_deref().and_then(cpu_seconds) {
            let counter = ConstCounter::new(seconds);
            let metric = encoder.encode_descriptor(
                "process_cpu_seconds",
                "Processor time used, of user and system",
                None,
                counter.metric_type(),
            )?;
            counter.encode(metric)?;
        }
        let status = read("status").unwrap_or_default();
        for (name, help, line) in [
            ("process_resident_memory_bytes", "Memory in use", "VmRSS:"),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                "VmSize:",
            ),
        ] {
            gauge(&mut encoder, name, help, kilobytes(&status, line))?;
        }
        gauge(
            &mut encoder,
            "process_open_fds",
            "File descriptors in use",
            // The folder itself is open while it is read.
            fs::read_dir("/proc/self/fd")
                .ok()
                .map(|folder| folder.count().saturating_sub(1) as f64),
        )?;
        gauge(
            &mut encoder,
            "process_max_fds",
            "File descriptors that may be in use at once",
            read("limits").as_deref().and_then(soft_descriptor_limit),
        )
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<f64>,
) -> Result<(), fmt::Error> {
    let Some(value) = value else { return Ok(()) };
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

/// `utime` and `stime` of `/proc/self/stat` (proc_pid_stat(5)). They are counted from behind the
/// program's name, which stands in brackets and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_S)
}

/// A line of `/proc/self/status`, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// The soft limit in `/proc/self/limits`; none when it is unlimited.
fn soft_descriptor_limit(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_as_documented() {
        let stat = "7 (a (odd) name) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (name) S 1"), None);
        let status = "Name:\tguichet\nVmSize:\t  2048 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(12.0 * 1024.0));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(soft_descriptor_limit(limits), Some(1024.0));
        let unlimited =
            "Max open files            unlimited            unlimited            files\n";
        assert_eq!(soft_descriptor_limit(unlimited), None);
    }
}
