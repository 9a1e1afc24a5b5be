//! Writes a copy of each durable event to standard output, one line per event.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Maximum number of groups of lines that wait for a slow reader of standard output. Further groups are dropped from the copy;
/// the log in the database has them.
const MAX_QUEUED_GROUPS: usize = 1024;

/// Writes lines in a separate thread, so that a stalled reader does not block the audit log.
#[derive(Debug)]
pub struct StdoutWriter {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl StdoutWriter {
    /// Starts the thread.
    pub fn start() -> Self {
        let (lines, queue) = sync_channel(MAX_QUEUED_GROUPS);
        Self { lines: Some(lines), thread: Some(std::thread::spawn(move || write_all(&queue))) }
    }

    /// Queues whole lines. If the queue is full, they are dropped and a warning is logged.
    pub fn write_lines(&self, text: String) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(text).is_err()) {
            tracing::warn!("audit events could not be written to standard output");
        }
    }
}

impl Drop for StdoutWriter {
    /// Waits until all queued lines are written.
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(queue: &Receiver<String>) {
    for text in queue {
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            tracing::warn!("audit events could not be written to standard output");
        }
    }
}
