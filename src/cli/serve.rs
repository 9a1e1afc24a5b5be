//! `claviger serve`: runs the broker.

use super::failure::USAGE;
use super::faults;
use crate::app::{self, StartError};
use crate::config::{self, Config};
use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};

/// Serves until a signal ends the process.
pub fn run(file: &Path) -> ExitCode {
    match config::load(file) {
        Ok(config) => serve(config, |_| {}),
        Err(found) => {
            faults::print(file, &found);
            ExitCode::from(USAGE)
        }
    }
}

/// One processor is left for the thread that writes the database, which nearly every request waits for. With one other
/// processor, a single thread avoids hand-overs.
fn runtime() -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1));
    match workers {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// Serves a checked configuration; `started` is notified once it listens.
pub fn serve(config: Config, started: impl FnOnce(&app::Running)) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(async {
        let traces = match app::start_logging(&config.telemetry) {
            Ok(traces) => traces,
            Err(error) => return failed(&error),
        };
        let code = match app::start(config).await {
            Ok(running) => {
                started(&running);
                running.until_stopped().await;
                ExitCode::SUCCESS
            }
            Err(error) => cannot_start(&error),
        };
        if let Some(traces) = traces {
            traces.end();
        }
        code
    });
    runtime.shutdown_background();
    code
}

/// Prints why the process cannot start, and returns the exit code.
pub fn cannot_start(error: &StartError) -> ExitCode {
    let StartError::Configuration(faults) = error else { return failed(error) };
    for fault in faults {
        eprintln!("{fault}");
    }
    ExitCode::from(USAGE)
}

/// Prints an error and its causes in one line.
pub fn failed(error: &dyn Error) -> ExitCode {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Some errors include their cause.
        if !line.ends_with(&told) {
            line = format!("{line}: {told}");
        }
        cause = error.source();
    }
    eprintln!("claviger: {line}");
    ExitCode::FAILURE
}
