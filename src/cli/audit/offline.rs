//! Files that `claviger audit verify` reads: an export, and the server's standard output.

use crate::audit::{Checker, Known, Stored};
use crate::cli::failure::Failure;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Lines with checkpoints, pruning records and events, among others.
pub fn known(file: &Path) -> Result<Known, Failure> {
    let mut known = Known::default();
    let mut told = 0_u64;
    each_line("--checkpoints", file, |line| {
        // A log pipeline may have added a prefix.
        let json = line.find('{').map_or("", |at| &line[at..]);
        told += u64::from(known.read_line(json.trim_end()));
    })?;
    if told == 0 {
        return Err(Failure::usage(format!("--checkpoints: {}: no line of it tells anything", file.display())));
    }
    Ok(known)
}

/// Passes a line of an export to the checker.
pub fn see(checker: &mut Checker<'_>, line: &str) {
    match Stored::of_line(line) {
        Some((text, hash)) => checker.see(&Stored { text: &text, hash, columns: None }),
        None => checker.see_unreadable(),
    }
}

/// Reads a file line by line; `-` is standard input. Invalid UTF-8 is replaced, and then matches no hash.
pub fn each_line(option: &str, file: &Path, mut each: impl FnMut(&str)) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure::usage(format!("{option}: {}: {}", file.display(), error.kind()));
    let mut reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(256 * 1024, File::open(file).map_err(unreadable)?))
    };
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
        each(String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).as_ref());
        line.clear();
    }
    Ok(())
}
