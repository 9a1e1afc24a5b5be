//! Prints the faults of a configuration.

use crate::document::Fault;
use std::path::Path;

/// Prints every fault with its position.
pub fn print(file: &Path, faults: &[Fault]) {
    for fault in faults {
        let place = fault.dotted();
        let place = if place.is_empty() { "the document" } else { &place };
        eprintln!("{}: {place}: {}", file.display(), fault.detail);
    }
}
