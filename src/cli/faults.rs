//! Faults of a configuration, for a person.

use crate::document::Fault;
use std::path::Path;

/// Prints every fault with its place.
pub fn print(file: &Path, faults: &[Fault]) {
    for fault in faults {
        let place = fault.dotted();
        let place = if place.is_empty() { "the document" } else { &place };
        eprintln!("{}: {place}: {}", file.display(), fault.detail);
    }
}
