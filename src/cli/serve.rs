//! `claviger serve`: runs the broker.

use super::command_error::CommandError;
use super::config_file::ConfigArgument;
use crate::app;
use crate::config::Config;
use std::io;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};

/// Serves until a signal ends the process.
pub fn run(file: &ConfigArgument) -> Result<(), CommandError> {
    serve(&file.load()?, |_| {})
}

/// Builds the runtime. It leaves one processor to the thread that writes the database, because nearly every request waits for
/// that thread. If only one other processor remains, a single-threaded runtime avoids switches between threads.
fn new_runtime() -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1));
    match workers {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// Serves a checked configuration until a signal ends the process. Calls `on_started` once the listeners are open.
pub fn serve(config: &Config, on_started: impl FnOnce(&app::Running)) -> Result<(), CommandError> {
    let runtime = new_runtime().map_err(|error| CommandError::from_error(&error))?;
    let result = runtime.block_on(async {
        let exporter = app::start_logging(&config.telemetry).map_err(|error| CommandError::from_error(&error))?;
        let result = match app::start(config.clone()).await {
            Ok(running) => {
                on_started(&running);
                running.until_stopped().await;
                Ok(())
            }
            // The start ends at the first fault of a file. All of them are reported at once.
            Err(error @ app::StartError::Configuration(_)) => {
                Err(app::check_offline(config).map_or_else(CommandError::Usage, |_| error.into()))
            }
            Err(error) => Err(error.into()),
        };
        if let Some(exporter) = exporter {
            exporter.shut_down();
        }
        result
    });
    runtime.shutdown_background();
    result
}
