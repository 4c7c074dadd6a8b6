//! Log lines are written by a thread of their own, many at a time, so that no request waits for the log's reader.
//!
//! Lines wait in a piece of memory of bounded size. If it is full, because the reader is slow, further lines are left
//! out and counted.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many bytes of lines wait at most; as many may be on their way to the reader.
const MOST: usize = 4 << 20;

/// How many bytes of memory are kept for the next lines.
const KEPT: usize = 64 << 10;

/// How long the first line waits for others.
const TOGETHER: Duration = Duration::from_millis(10);

/// How long [`Batches::flush`] waits for the reader.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines of a log, on their way to its writer.
#[derive(Default)]
pub(super) struct Batches {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Whole lines.
    lines: Vec<u8>,
    /// How many were left out since that was last said.
    left_out: u64,
    /// Whether the thread has lines that it has not written yet.
    is_writing: bool,
    /// Whether somebody waits until everything is written.
    is_awaited: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.left_out == 0
    }
}

impl Batches {
    /// Starts the thread. It calls `say_left_out` with the number of lines that were left out.
    pub(super) fn start(
        mut writer: impl Write + Send + 'static,
        say_left_out: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let batches = Arc::new(Self::default());
        let own = batches.clone();
        let run = move || {
            let mut lines = Vec::new();
            loop {
                let left_out = own.take(&mut lines);
                if left_out > 0 {
                    say_left_out(left_out);
                }
                // An error of the log's reader must not stop the server.
                let _ = writer.write_all(&lines);
                lines.clear();
                lines.shrink_to(KEPT);
            }
        };
        thread::Builder::new().name("log".to_owned()).spawn(run)?;
        Ok(batches)
    }

    /// Adds a line. Never waits for the reader.
    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > MOST {
            waiting.left_out += 1;
            return;
        }
        let is_first = waiting.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.changed.notify_all();
        }
    }

    /// Takes what waits in exchange for the empty `lines`, once there is something; how many lines were left out.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        self.changed.notify_all();
        let is_empty = |waiting: &mut Waiting| waiting.is_empty();
        let waited = self.changed.wait_while(waiting, is_empty);
        waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let may_wait = |waiting: &mut Waiting| !waiting.is_awaited;
        let waited = self.changed.wait_timeout_while(waiting, TOGETHER, may_wait);
        waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        waiting.is_writing = true;
        mem::swap(&mut waiting.lines, lines);
        mem::take(&mut waiting.left_out)
    }

    /// Waits until all lines are written, or the reader took too long.
    pub(super) fn flush(&self) {
        let mut waiting = self.waiting();
        waiting.is_awaited = true;
        self.changed.notify_all();
        let is_left = |waiting: &mut Waiting| waiting.is_writing || !waiting.is_empty();
        let waited = self.changed.wait_timeout_while(waiting, PATIENCE, is_left);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_awaited = false;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that holds this lock panics between two changes.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one line with each write.
impl Write for &Batches {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes what is written only when it is let.
    struct Reader {
        lets: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // After the test has let go of it, it takes everything.
            let _ = self.lets.recv();
            let _ = self.taken.send(text.to_owned());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Log {
        batches: Arc<Batches>,
        let_take: Sender<()>,
        taken: Receiver<Vec<u8>>,
        left_out: Receiver<u64>,
    }

    fn log() -> Log {
        let ((let_take, lets), (taking, taken)) = (channel(), channel());
        let (say, left_out) = channel();
        let reader = Reader {
            lets,
            taken: taking,
        };
        let say = move |count| say.send(count).expect("the test listens");
        Log {
            batches: Batches::start(reader, say).expect("a thread"),
            let_take,
            taken,
            left_out,
        }
    }

    /// Waits until the thread has taken what waits, and writes it.
    fn until_it_writes(batches: &Batches) {
        let is_left = |waiting: &mut Waiting| !waiting.is_empty() || !waiting.is_writing;
        // The thread tells nobody when it takes; so this looks again and again.
        while is_left(&mut batches.waiting()) {
            thread::yield_now();
        }
    }

    #[test]
    fn lines_that_come_while_the_reader_takes_others_are_written_at_once_and_in_order() {
        let log = log();
        log.batches.add(b"first\n");
        until_it_writes(&log.batches);
        let lines = |range: std::ops::Range<u32>| -> String {
            range.map(|number| format!("line {number}\n")).collect()
        };
        for number in 0..1000 {
            log.batches.add(format!("line {number}\n").as_bytes());
        }
        drop(log.let_take);
        log.batches.flush();
        let taken: Vec<_> = log.taken.try_iter().collect();
        assert_eq!(taken, [b"first\n".to_vec(), lines(0..1000).into_bytes()]);
        assert_eq!(log.left_out.try_iter().count(), 0);
    }

    #[test]
    fn a_reader_that_stands_still_delays_nobody_takes_bounded_memory_and_learns_what_it_missed() {
        let log = log();
        log.batches.add(b"first\n");
        until_it_writes(&log.batches);
        let line = [b'x'; 1024];
        for _ in 0..MOST / line.len() + 7 {
            log.batches.add(&line);
        }
        assert_eq!(log.batches.waiting().lines.len(), MOST);
        drop(log.let_take);
        log.batches.flush();
        assert_eq!(log.left_out.try_iter().sum::<u64>(), 7);
        let taken: usize = log.taken.try_iter().map(|text| text.len()).sum();
        assert_eq!(taken, b"first\n".len() + MOST);
    }

    #[test]
    fn a_reader_that_never_takes_does_not_hold_up_the_end() {
        let log = log();
        log.batches.add(b"first\n");
        log.batches.flush();
        assert_eq!(log.taken.try_iter().count(), 0);
    }

    #[test]
    fn what_was_added_is_written_when_a_flush_returns() {
        let log = log();
        drop(log.let_take);
        for number in 0..200 {
            let line = format!("line {number}\n");
            log.batches.add(line.as_bytes());
            log.batches.flush();
            let taken = log.taken.try_iter().collect::<Vec<_>>().concat();
            assert_eq!(taken, line.into_bytes());
        }
    }
}
