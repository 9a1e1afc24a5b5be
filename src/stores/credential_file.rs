//! Reads the broker's own credentials from files.

use super::bounded_file;
use super::port::ReadError;
use super::values::into_secret_value;
use crate::model::secret::SecretValue;
use std::path::Path;

/// Maximum size of a credential file.
const MAX_BYTES: usize = 64 * 1024;

/// Reads a file, and removes the line ends at its end.
///
/// # Errors
/// `Unavailable` if the file cannot be read, which is also logged.
pub(super) async fn read(store: &str, file: &Path) -> Result<SecretValue, ReadError> {
    let file = file.to_owned();
    let text = tokio::task::spawn_blocking(move || bounded_file::read(&file, MAX_BYTES)).await;
    let Ok(Ok(mut text)) = text else { return Err(log_unusable(store)) };
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(into_secret_value(text))
}

/// Logs that a file has no credential. Returns [`ReadError::Unavailable`].
pub(super) fn log_unusable(store: &str) -> ReadError {
    tracing::error!(store, "the file with the broker's credentials is unreadable or empty");
    ReadError::Unavailable
}
