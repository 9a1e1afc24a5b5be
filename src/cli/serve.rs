//! `claviger serve`: runs the broker.

use super::command_error::USAGE;
use super::config_faults::print_config_faults;
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
        Err(faults) => {
            print_config_faults(file, &faults);
            ExitCode::from(USAGE)
        }
    }
}

/// Builds the runtime. It leaves one processor to the thread that writes the database, which nearly every request waits
/// for. If one other processor remains, a single-threaded runtime avoids switches between threads.
fn new_runtime() -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1));
    match workers {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// Serves a checked configuration until a signal ends the process. Calls `on_started` once it listens.
pub fn serve(config: Config, on_started: impl FnOnce(&app::Running)) -> ExitCode {
    let runtime = match new_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&error),
    };
    let code = runtime.block_on(async {
        let exporter = match app::start_logging(&config.telemetry) {
            Ok(exporter) => exporter,
            Err(error) => return print_error(&error),
        };
        let code = match app::start(config).await {
            Ok(running) => {
                on_started(&running);
                running.until_stopped().await;
                ExitCode::SUCCESS
            }
            Err(error) => print_start_error(&error),
        };
        if let Some(exporter) = exporter {
            exporter.shut_down();
        }
        code
    });
    runtime.shutdown_background();
    code
}

/// Prints why the process cannot start, and returns the exit code.
pub fn print_start_error(error: &StartError) -> ExitCode {
    let StartError::Configuration(faults) = error else { return print_error(error) };
    for fault in faults {
        eprintln!("{fault}");
    }
    ExitCode::from(USAGE)
}

/// Prints an error and its causes in one line, and returns exit code 1.
pub fn print_error(error: &dyn Error) -> ExitCode {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // The text of some errors includes their cause.
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    eprintln!("claviger: {line}");
    ExitCode::FAILURE
}
