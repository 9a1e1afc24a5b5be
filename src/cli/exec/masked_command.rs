//! Runs a command as a child process and masks secret values in its standard output and standard error.

use super::exit_code::{FAILED, start_error_code};
use super::signals::{SignalReceiver, forward};
use crate::cli::command_error::CommandError;
use crate::cli::terminal::escape_for_terminal;
use crate::leaks::{Mask, Needles};
use crate::model::secret::SecretValue;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Minimum length of a masked value. A shorter one would hide much of the output.
const MIN_VALUE_BYTES: usize = 4;
/// Minimum length of a masked line of a multi-line value.
const MIN_LINE_BYTES: usize = 8;
/// After the command has ended, its output is read until the pipes are silent for this long.
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
    let bytes_read = Arc::new(AtomicU64::new(0));
    let mut copies = Vec::new();
    if let Some(out) = child.stdout.take() {
        let to = io::stdout().as_fd().try_clone_to_owned();
        copies.push(spawn_copy(
            out.into_owned_fd().map_err(watch_error)?,
            to.map_err(watch_error)?,
            needles,
            &bytes_read,
        ));
    }
    if let Some(out) = child.stderr.take() {
        let to = io::stderr().as_fd().try_clone_to_owned();
        copies.push(spawn_copy(
            out.into_owned_fd().map_err(watch_error)?,
            to.map_err(watch_error)?,
            needles,
            &bytes_read,
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
    for mut end in copies {
        let mut last = bytes_read.load(Ordering::Relaxed);
        // Processes that the command left running keep the pipe open, and are read as long as they write.
        while timeout(SILENCE_LIMIT, &mut end).await.is_err() {
            let now = bytes_read.load(Ordering::Relaxed);
            if now == last {
                break;
            }
            last = now;
        }
    }
    Ok(ExitCode::from(exit_code(status)))
}

/// Copies one stream with masking, in a new thread. The returned receiver completes when the stream ends.
fn spawn_copy(
    from: OwnedFd,
    to: OwnedFd,
    needles: &Arc<Needles>,
    bytes_read: &Arc<AtomicU64>,
) -> oneshot::Receiver<()> {
    let (done, ended) = oneshot::channel();
    let (needles, bytes_read) = (needles.clone(), bytes_read.clone());
    thread::spawn(move || {
        // A failed write closes the pipe, so that the command gets the same error as without masking.
        let _ = copy(&mut File::from(from), &mut File::from(to), &needles, &bytes_read);
        let _ = done.send(());
    });
    ended
}

fn copy(from: &mut impl Read, to: &mut impl Write, needles: &Needles, bytes_read: &AtomicU64) -> io::Result<()> {
    let mut mask = Mask::new(needles);
    let mut buffer = vec![0; 64 * 1024];
    let mut masked = Vec::with_capacity(buffer.len());
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 {
            mask.finish(&mut masked);
            return to.write_all(&masked);
        }
        mask.feed(&buffer[..count], &mut masked);
        to.write_all(&masked)?;
        masked.clear();
    }
}

/// The exit code of a command that has ended.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}

/// Reports that a command did not start, and returns the exit code.
pub fn report_start_error(program: &OsStr, error: &io::Error) -> ExitCode {
    eprintln!("claviger: {}: {}", escape_for_terminal(&program.to_string_lossy()), error.kind());
    ExitCode::from(start_error_code(error.kind()))
}
