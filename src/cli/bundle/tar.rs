//! An archive with one file for each key.

use super::Values;
use crate::model::secret::SecretValue;
use std::io::Read as _;
use zeroize::Zeroizing;

/// Reads the files. Values that are not text are read as far as they are.
pub fn read(bytes: &[u8]) -> Option<Values> {
    let mut values = Values::new();
    for entry in tar::Archive::new(bytes).entries().ok()? {
        let mut entry = entry.ok()?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut value = Zeroizing::new(Vec::new());
        entry.read_to_end(&mut value).ok()?;
        values.push((name, SecretValue::new(String::from_utf8_lossy(&value).into_owned())));
    }
    Some(values)
}
