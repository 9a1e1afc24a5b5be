//! The files from which the broker's own credentials at stores are read.

use super::bounded_file;
use super::port::ReadError;
use super::values::owned;
use crate::model::secret::SecretValue;
use std::path::Path;

/// The largest file with a credential.
const MAX_BYTES: usize = 64 * 1024;

/// The text of a file without the line ends behind it.
///
/// # Errors
/// `Unavailable`, and an error in the log, when it cannot be read.
pub(super) async fn read(store: &str, file: &Path) -> Result<SecretValue, ReadError> {
    let file = file.to_owned();
    let text = tokio::task::spawn_blocking(move || bounded_file::read(&file, MAX_BYTES)).await;
    let Ok(Ok(mut text)) = text else { return Err(unusable(store)) };
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(owned(text))
}

/// Says that there is no credential in a file.
pub(super) fn unusable(store: &str) -> ReadError {
    tracing::error!(store, "the file with the broker's credentials is unreadable or empty");
    ReadError::Unavailable
}
