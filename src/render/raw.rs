//! The bytes of one value, without an added newline: for a key file, or for a complete configuration file held by
//! a store. An empty bundle is zero bytes.

use super::encoded::bytes;
use super::port::{Emit, Refused};
use crate::model::bundle::{Bundle, Entry};

/// The requested value: the named one, or else the only one; `None` for an empty bundle.
pub(super) fn choose<'a>(bundle: &'a Bundle, key: Option<&str>) -> Result<Option<&'a Entry>, Refused> {
    match key {
        Some(key) => bundle.entries.get(key).map(Some).ok_or(Refused::NoSuchKey),
        None if bundle.entries.len() > 1 => Err(Refused::SeveralKeys),
        None => Ok(bundle.entries.values().next()),
    }
}

pub(super) fn write(value: Option<&Entry>, emit: Emit<'_>) {
    if let Some(entry) = value {
        emit(&bytes(entry));
    }
}
