//! `claviger serve`: the broker.

use super::{USAGE, faults};
use crate::app;
use crate::config::{self, Config};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Serves until a signal ends it.
pub fn run(file: &Path) -> ExitCode {
    match config::load(file) {
        Ok(config) => serve(config, |_| {}),
        Err(found) => {
            faults::print(file, &found);
            ExitCode::from(USAGE)
        }
    }
}

/// Serves a checked configuration; `started` is told when it answers.
pub fn serve(config: Config, started: impl FnOnce(&app::Running)) -> ExitCode {
    app::start_logging(&config.telemetry);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(async {
        match app::start(config).await {
            Ok(running) => {
                started(&running);
                running.until_stopped().await;
                ExitCode::SUCCESS
            }
            Err(app::StartError::Policies(found)) => {
                for fault in found {
                    eprintln!("{fault}");
                }
                ExitCode::from(USAGE)
            }
            Err(error) => failed(&error),
        }
    });
    runtime.shutdown_background();
    code
}

/// Prints an error and its causes in one line.
pub fn failed(error: &dyn Error) -> ExitCode {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    eprintln!("claviger: {line}");
    ExitCode::FAILURE
}
