//! Reads the files of `claviger audit verify`: an export of events, and the standard output of a server.

use crate::audit::{ChainChecker, KnownEvents, StoredEvent};
use crate::cli::command_error::CommandError;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Reads the checkpoints, pruning records and events in the standard output of a server. Other lines are ignored.
///
/// # Errors
/// The file cannot be read, or has no such line.
pub fn read_checkpoints(file: &Path) -> Result<KnownEvents, CommandError> {
    let mut known = KnownEvents::default();
    let mut records = 0_u64;
    for_each_line("--checkpoints", file, |line| {
        // A log pipeline may add a prefix to each line.
        let json = line.find('{').map_or("", |start| &line[start..]);
        records += u64::from(known.add_line(json.trim_end()));
    })?;
    if records == 0 {
        return Err(CommandError::usage(format!(
            "--checkpoints: {}: has no checkpoint, pruning record or event",
            file.display()
        )));
    }
    Ok(known)
}

/// Passes a line of an export to the checker, as an event or as unreadable.
pub fn check_export_line(checker: &mut ChainChecker<'_>, line: &str) {
    match StoredEvent::split_export_line(line) {
        Some((text, hash)) => checker.check(&StoredEvent { text: &text, hash, columns: None }),
        None => checker.add_unreadable(),
    }
}

/// Calls `visit` for each line of a file (`-`: standard input). Invalid UTF-8 is replaced, so that the hash of such an
/// event does not match.
pub fn for_each_line(option: &str, file: &Path, mut visit: impl FnMut(&str)) -> Result<(), CommandError> {
    let unreadable = |error: io::Error| CommandError::usage(format!("{option}: {}: {}", file.display(), error.kind()));
    let mut reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(256 * 1024, File::open(file).map_err(unreadable)?))
    };
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
        visit(String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).as_ref());
        line.clear();
    }
    Ok(())
}
