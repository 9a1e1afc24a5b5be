//! Runs a command as a child process and masks secret values in its standard output and standard error.

use super::exit_code::{FAILED, code_of};
use super::signals::{Signals, pass_on};
use crate::cli::failure::Failure;
use crate::cli::printable::printable;
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

/// Shortest value to mask, in bytes. A shorter one would blank out much of the output.
const MIN_VALUE_BYTES: usize = 4;
/// Shortest line of a multi-line value to mask, in bytes.
const MIN_LINE_BYTES: usize = 8;
/// How long processes that a command left behind may be silent before their output is no longer read.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// Runs the command and returns its exit code; 128 plus the number of the signal that ended it.
pub fn run<'v>(
    command: Command,
    secrets: impl Iterator<Item = (&'v str, &'v SecretValue)>,
) -> Result<ExitCode, Failure> {
    let (needles, short) = Needles::new(secrets, MIN_VALUE_BYTES, MIN_LINE_BYTES)
        .map_err(|_| Failure::Failed("the bundle is too large to be masked".into()))?;
    for name in short {
        eprintln!("claviger: {} is not masked: it is shorter than {MIN_VALUE_BYTES} bytes", printable(&name));
    }
    let program = command.get_program().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {}", error.kind())))?;
    runtime.block_on(watched(command, &program, &Arc::new(needles)))
}

async fn watched(command: Command, program: &OsStr, needles: &Arc<Needles>) -> Result<ExitCode, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("the command cannot be watched: {}", error.kind()));
    let mut signals = Signals::new().map_err(failed)?;
    let mut command = tokio::process::Command::from(command);
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return Ok(cannot_run(program, &error)),
    };
    let said = Arc::new(AtomicU64::new(0));
    let mut pumps = Vec::new();
    if let Some(out) = child.stdout.take() {
        let to = io::stdout().as_fd().try_clone_to_owned();
        pumps.push(pump(out.into_owned_fd().map_err(failed)?, to.map_err(failed)?, needles, &said));
    }
    if let Some(out) = child.stderr.take() {
        let to = io::stderr().as_fd().try_clone_to_owned();
        pumps.push(pump(out.into_owned_fd().map_err(failed)?, to.map_err(failed)?, needles, &said));
    }
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended.map_err(failed)?,
            signal = signals.next() => {
                if let Some(id) = child.id() {
                    pass_on(signal, id);
                }
            }
        }
    };
    for mut pump in pumps {
        let mut before = said.load(Ordering::Relaxed);
        // Processes that the command left running keep the pipe open. They are read as long as they write.
        while timeout(FLUSH_AFTER, &mut pump).await.is_err() {
            let now = said.load(Ordering::Relaxed);
            if now == before {
                break;
            }
            before = now;
        }
    }
    Ok(ExitCode::from(code(ended)))
}

/// Copies one stream in a thread of its own, masked; the receiver is notified, or dropped, at its end.
fn pump(from: OwnedFd, to: OwnedFd, needles: &Arc<Needles>, said: &Arc<AtomicU64>) -> oneshot::Receiver<()> {
    let (done, ended) = oneshot::channel();
    let (needles, said) = (needles.clone(), said.clone());
    thread::spawn(move || {
        // If our reader is gone the pipe is closed, and the command gets the same error as without us.
        let _ = copy(&mut File::from(from), &mut File::from(to), &needles, &said);
        let _ = done.send(());
    });
    ended
}

fn copy(from: &mut impl Read, to: &mut impl Write, needles: &Needles, said: &AtomicU64) -> io::Result<()> {
    let mut mask = Mask::new(needles);
    let mut buffer = vec![0; 64 * 1024];
    let mut shown = Vec::with_capacity(buffer.len());
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        said.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 {
            mask.finish(&mut shown);
            return to.write_all(&shown);
        }
        mask.feed(&buffer[..count], &mut shown);
        to.write_all(&shown)?;
        shown.clear();
    }
}

/// The exit code of a command that has ended.
fn code(ended: ExitStatus) -> u8 {
    let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}

/// Reports that a command did not start, and returns the exit code.
pub fn cannot_run(program: &OsStr, error: &io::Error) -> ExitCode {
    eprintln!("claviger: {}: {}", printable(&program.to_string_lossy()), error.kind());
    ExitCode::from(code_of(error.kind()))
}
