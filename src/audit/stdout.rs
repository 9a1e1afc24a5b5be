//! The copy on standard output: one line per event, after it is durable.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Maximum number of groups of lines that wait for a slow reader. Beyond it the copy loses lines; the log in the
/// database does not.
const QUEUE: usize = 1024;

/// A separate thread writes, so that a stalled reader does not block the audit log.
#[derive(Debug)]
pub struct Stdout {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Stdout {
    /// Starts the thread.
    pub fn start() -> Self {
        let (lines, queue) = sync_channel(QUEUE);
        Self { lines: Some(lines), thread: Some(std::thread::spawn(move || write_all(&queue))) }
    }

    /// Copies whole lines.
    pub fn copy(&self, text: String) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(text).is_err()) {
            tracing::warn!("audit events could not be written to standard output");
        }
    }
}

impl Drop for Stdout {
    /// Queued lines are still written.
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
