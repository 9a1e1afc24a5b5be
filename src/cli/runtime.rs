//! Runs the asynchronous code of commands.

use super::command_error::CommandError;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// Runs a future on this thread.
pub fn block_on<T>(future: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(|error| start_error(&error))?.block_on(future)
}

/// A runtime with several threads.
pub fn multi_thread_runtime() -> Result<Runtime, CommandError> {
    Builder::new_multi_thread().enable_all().build().map_err(|error| start_error(&error))
}

fn start_error(error: &io::Error) -> CommandError {
    CommandError::Other(format!("cannot start: {}", error.kind()))
}
