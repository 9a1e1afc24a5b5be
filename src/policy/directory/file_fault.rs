//! A fault in a policy file, with its place.

use crate::document::Fault;
use std::fmt;

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The file's name; `.` for the directory itself.
    pub file: String,
    /// Which of the file's documents, from 1 and without the empty ones; none for the whole file.
    pub document: Option<usize>,
    /// Where in it, and what.
    pub fault: Fault,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        if !self.fault.pointer.is_empty() {
            write!(f, ", {}", self.fault.dotted())?;
        }
        write!(f, ": {}", self.fault.detail)
    }
}
