//! Prints the faults of a configuration file.

use crate::document::Fault;
use std::path::Path;

/// Prints one line for each fault: the file, the key, and what is wrong.
pub fn print_config_faults(file: &Path, faults: &[Fault]) {
    for fault in faults {
        let key = fault.dotted_path();
        let key = if key.is_empty() { "the document" } else { &key };
        eprintln!("{}: {key}: {}", file.display(), fault.detail);
    }
}
