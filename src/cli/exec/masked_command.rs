//! Runs a command as a child process and masks secret values in its standard output and standard error.

use super::exit_code::{FAILED, start_error_code};
use super::signals::{SignalReceiver, forward};
use crate::cli::command_error::CommandError;
use crate::cli::terminal::escape_for_terminal;
use crate::leaks::{Mask, Needles};
use crate::model::secret::SecretValue;
use rustix::process::Signal;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

/// Minimum length of a masked value. A shorter one would hide much of the output.
const MIN_VALUE_BYTES: usize = 4;
/// Minimum length of a masked line of a multi-line value.
const MIN_LINE_BYTES: usize = 8;
/// After the command has ended, its output is read until the pipes are silent for this long. A pipe whose last output is still
/// being written to a slow reader is not silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);

/// Runs the command. Returns its exit code, or 128 plus the number of the signal that ended it.
pub fn run<'v>(
    command: Command,
    secrets: impl Iterator<Item = (&'v str, &'v SecretValue)>,
) -> Result<ExitCode, CommandError> {
    let (needles, short) = Needles::new(secrets, MIN_VALUE_BYTES, MIN_LINE_BYTES)
        .map_err(|_| CommandError::Other("the bundle is too large to be masked".into()))?;
    for name in short {
        eprintln!("claviger: {} is not masked: it is shorter than {MIN_VALUE_BYTES} bytes", escape_for_terminal(&name));
    }
    let program = command.get_program().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Other(format!("cannot start: {}", error.kind())))?;
    runtime.block_on(run_child(command, &program, &Arc::new(needles)))
}

async fn run_child(command: Command, program: &OsStr, needles: &Arc<Needles>) -> Result<ExitCode, CommandError> {
    let watch_error =
        |error: io::Error| CommandError::Other(format!("the command cannot be watched: {}", error.kind()));
    let mut signals = SignalReceiver::new().map_err(watch_error)?;
    let mut command = tokio::process::Command::from(command);
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return Ok(report_start_error(program, &error)),
    };
    let progress = Arc::new(CopyProgress::default());
    let mut copies = Vec::new();
    if let Some(out) = child.stdout.take() {
        let to = io::stdout().as_fd().try_clone_to_owned();
        copies.push(spawn_copy(
            out.into_owned_fd().map_err(watch_error)?,
            to.map_err(watch_error)?,
            needles,
            &progress,
        ));
    }
    if let Some(out) = child.stderr.take() {
        let to = io::stderr().as_fd().try_clone_to_owned();
        copies.push(spawn_copy(
            out.into_owned_fd().map_err(watch_error)?,
            to.map_err(watch_error)?,
            needles,
            &progress,
        ));
    }
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(watch_error)?,
            signal = signals.next() => {
                if let Some(id) = child.id() {
                    forward(signal, id);
                }
            }
        }
    };
    tokio::select! {
        () = wait_for_output(copies, &progress) => Ok(ExitCode::from(exit_code(status))),
        signal = stop_signal(&mut signals) => Ok(ExitCode::from(signal_exit_code(signal.as_raw()))),
    }
}

/// Waits for a signal that ends the wait for output. Without it, a reader that never reads would block this process for ever.
async fn stop_signal(signals: &mut SignalReceiver) -> Signal {
    // A signal at the end of the command may have been for both, as SIGINT of a terminal is. It must not cut the command's output.
    let deadline = Instant::now() + SILENCE_LIMIT;
    while timeout_at(deadline, signals.next()).await.is_ok() {}
    signals.next().await
}

/// Waits until the streams have ended or are silent. Processes that the command left running keep the pipes open, and are read as
/// long as they write.
async fn wait_for_output(copies: Vec<oneshot::Receiver<()>>, progress: &CopyProgress) {
    for mut end in copies {
        let mut last = progress.bytes_read.load(Ordering::SeqCst);
        while timeout(SILENCE_LIMIT, &mut end).await.is_err() {
            // In this order: if a write begins between the two loads, the second load sees its bytes.
            let writes = progress.writes.load(Ordering::SeqCst);
            let now = progress.bytes_read.load(Ordering::SeqCst);
            if now == last && writes == 0 {
                break;
            }
            last = now;
        }
    }
}

/// What the copies of both streams have done so far.
#[derive(Default)]
struct CopyProgress {
    bytes_read: AtomicU64,
    /// How many streams are being written. A write lasts as long as the reader does not read.
    writes: AtomicUsize,
}

/// Copies one stream with masking, in a new thread. The returned receiver completes when the stream ends.
fn spawn_copy(
    from: OwnedFd,
    to: OwnedFd,
    needles: &Arc<Needles>,
    progress: &Arc<CopyProgress>,
) -> oneshot::Receiver<()> {
    let (done, ended) = oneshot::channel();
    let (needles, progress) = (needles.clone(), progress.clone());
    thread::spawn(move || {
        // A failed write closes the pipe, so that the command gets the same error as without masking.
        let _ = copy(&mut File::from(from), &mut File::from(to), &needles, &progress);
        let _ = done.send(());
    });
    ended
}

fn copy(from: &mut impl Read, to: &mut impl Write, needles: &Needles, progress: &CopyProgress) -> io::Result<()> {
    let mut mask = Mask::new(needles);
    let mut buffer = vec![0; 64 * 1024];
    let mut masked = Vec::with_capacity(buffer.len());
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        progress.writes.fetch_add(1, Ordering::SeqCst);
        progress.bytes_read.fetch_add(count as u64, Ordering::SeqCst);
        if count == 0 {
            mask.finish(&mut masked);
        } else {
            mask.feed(&buffer[..count], &mut masked);
        }
        let written = to.write_all(&masked);
        progress.writes.fetch_sub(1, Ordering::SeqCst);
        written?;
        if count == 0 {
            return Ok(());
        }
        masked.clear();
    }
}

/// The exit code of a command that has ended.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.or_else(|| status.signal().map(signal_exit_code)).unwrap_or(FAILED)
}

/// The exit code after a signal with this number.
pub fn signal_exit_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(FAILED)
}

/// Reports that a command did not start, and returns the exit code.
pub fn report_start_error(program: &OsStr, error: &io::Error) -> ExitCode {
    eprintln!("claviger: {}: {}", escape_for_terminal(&program.to_string_lossy()), error.kind());
    ExitCode::from(start_error_code(error.kind()))
}
