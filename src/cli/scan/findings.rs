//! Findings, and their output.

use crate::cli::failure::Failure;
use crate::cli::printable::printable;
use crate::leaks::{Form, Mask, Needles};
use std::collections::BTreeMap;
use std::io::Write as _;

/// Maximum number of places that are printed.
const MAX_PRINTED: usize = 1000;

/// The place of a finding: the part of the image or folder, the file, and the part of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A layer's digest, or a file of the image.
    pub part: String,
    /// A file in it, if it is an archive.
    pub file: Option<String>,
    pub within: Within,
}

/// The part of a file that contains a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Within {
    /// Its name, or its link target.
    Name,
    /// Metadata in an archive: owners, attributes.
    Header,
    /// Its contents.
    Content,
    /// Its decompressed contents.
    Unpacked,
}

/// The first place of each key, form and file.
#[derive(Debug, Default)]
pub struct Findings {
    found: BTreeMap<(Place, String, Form), u64>,
    /// Files in compression formats that are not supported.
    pub closed: usize,
}

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, place: Place, name: &str, form: Form, at: u64) {
        let first = self.found.entry((place, name.to_owned(), form)).or_insert(at);
        *first = at.min(*first);
    }

    /// Prints a line for each on standard output, and returns their number. A value in a file name is masked.
    pub fn print(&self, needles: &Needles) -> Result<usize, Failure> {
        let mut out = std::io::stdout().lock();
        let unprintable = |error: std::io::Error| Failure::Failed(format!("cannot print: {}", error.kind()));
        for ((place, name, form), at) in self.found.iter().take(MAX_PRINTED) {
            let mut line = format!("{name} as {} in {}", form.as_str(), masked(&place.part, needles));
            if let Some(file) = &place.file {
                line.extend([", ", &masked(file, needles)]);
            }
            let line = printable(&line);
            match place.within {
                Within::Name => writeln!(out, "{line}, in its name"),
                Within::Header => writeln!(out, "{line}, in its header"),
                Within::Content => writeln!(out, "{line}, at byte {at}"),
                Within::Unpacked => writeln!(out, "{line}, unpacked, at byte {at}"),
            }
            .map_err(unprintable)?;
        }
        if self.found.len() > MAX_PRINTED {
            writeln!(out, "and {} more", self.found.len() - MAX_PRINTED).map_err(unprintable)?;
        }
        if self.closed > 0 {
            eprintln!("claviger: {} files are packed as xz, bzip2, zip, 7z or lz4 and were not unpacked", self.closed);
        }
        Ok(self.found.len())
    }
}

fn masked(name: &str, needles: &Needles) -> String {
    let (mut mask, mut shown) = (Mask::new(needles), Vec::new());
    mask.feed(name.as_bytes(), &mut shown);
    mask.finish(&mut shown);
    String::from_utf8_lossy(&shown).into_owned()
}
