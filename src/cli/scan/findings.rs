//! Collects the findings of a scan, and prints them.

use crate::cli::command_error::CommandError;
use crate::cli::terminal::escape_for_terminal;
use crate::leaks::{Form, Mask, Needles};
use std::collections::BTreeMap;
use std::io::Write as _;

/// Maximum number of printed findings.
const MAX_PRINTED: usize = 1000;

/// The location of a finding: the part of the image or folder, the file in it, and the part of that file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// A layer's digest, a file of the image, or a path in the folder.
    pub part: String,
    /// The file in the part, if the part is an archive.
    pub file: Option<String>,
    pub file_part: FilePart,
}

/// The part of a file that contains a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilePart {
    /// The name, or the target of a link.
    Name,
    /// Metadata in an archive, such as owners and attributes.
    Header,
    /// The contents.
    Content,
    /// The decompressed contents.
    Unpacked,
}

/// The findings: the first offset for each location, key and encoding.
#[derive(Debug, Default)]
pub struct Findings {
    offsets: BTreeMap<(Location, String, Form), u64>,
    /// Number of files in compression formats that are not supported.
    pub unsupported: usize,
}

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, location: Location, name: &str, form: Form, offset: u64) {
        let first = self.offsets.entry((location, name.to_owned(), form)).or_insert(offset);
        *first = offset.min(*first);
    }

    /// Prints one line for each finding on standard output. Returns the number of findings. Values in file names are masked.
    pub fn print(&self, needles: &Needles) -> Result<usize, CommandError> {
        let mut out = std::io::stdout().lock();
        let print_error = |error: std::io::Error| CommandError::Other(format!("cannot print: {}", error.kind()));
        for ((location, name, form), offset) in self.offsets.iter().take(MAX_PRINTED) {
            let mut line = format!("{name} as {} in {}", form.as_str(), mask_values(&location.part, needles));
            if let Some(file) = &location.file {
                line.extend([", ", &mask_values(file, needles)]);
            }
            let line = escape_for_terminal(&line);
            match location.file_part {
                FilePart::Name => writeln!(out, "{line}, in its name"),
                FilePart::Header => writeln!(out, "{line}, in its header"),
                FilePart::Content => writeln!(out, "{line}, at byte {offset}"),
                FilePart::Unpacked => writeln!(out, "{line}, unpacked, at byte {offset}"),
            }
            .map_err(print_error)?;
        }
        if self.offsets.len() > MAX_PRINTED {
            writeln!(out, "and {} more", self.offsets.len() - MAX_PRINTED).map_err(print_error)?;
        }
        if self.unsupported > 0 {
            eprintln!(
                "claviger: {} files are packed as xz, bzip2, zip, 7z or lz4 and were not unpacked",
                self.unsupported
            );
        }
        Ok(self.offsets.len())
    }
}

fn mask_values(name: &str, needles: &Needles) -> String {
    let (mut mask, mut masked) = (Mask::new(needles), Vec::new());
    mask.feed(name.as_bytes(), &mut masked);
    mask.finish(&mut masked);
    String::from_utf8_lossy(&masked).into_owned()
}
