//! The bytes of one value, without an added newline, for key files and complete configuration files. An empty bundle is
//! rendered as zero bytes.

use super::binary_values::value_bytes;
use super::port::{Emit, RenderError};
use crate::model::bundle::{Bundle, Entry};

/// Returns the value of the requested key, or without a key the only value. `None` for an empty bundle without a requested key.
pub(super) fn select_value<'a>(bundle: &'a Bundle, key: Option<&str>) -> Result<Option<&'a Entry>, RenderError> {
    match key {
        Some(key) => bundle.entries.get(key).map(Some).ok_or(RenderError::NoSuchKey),
        None if bundle.entries.len() > 1 => Err(RenderError::SeveralKeys),
        None => Ok(bundle.entries.values().next()),
    }
}

pub(super) fn write(value: Option<&Entry>, emit: Emit<'_>) {
    if let Some(entry) = value {
        emit(&value_bytes(entry));
    }
}
