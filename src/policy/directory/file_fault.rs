//! A fault in a policy file, with the file and the document.

use crate::document::Fault;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The file's name; `.` for the directory itself.
    pub file: String,
    /// The number of the document in the file, from 1; empty documents are not counted. `None` for the whole file.
    pub document: Option<usize>,
    /// The fault, with its JSON pointer in the document.
    pub fault: Fault,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        if !self.fault.pointer.is_empty() {
            write!(f, ", {}", self.fault.dotted_path())?;
        }
        write!(f, ": {}", self.fault.detail)
    }
}
