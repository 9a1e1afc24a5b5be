//! `claviger scan`: searches an image or folder for the secrets of a downloaded file or of a ticket, in several encodings. It
//! prints the key and the location of each finding, never the value.
//!
//! An image that cannot be read completely, or that exceeds the size limit, is an error, and never reported as clean.

mod content_kind;
mod findings;
mod folder;
mod image;
mod scanner;
mod searching_reader;
mod values;
mod zstd_frames;

use super::command_error::CommandError;
use super::terminal::escape_for_terminal;
use crate::leaks::Needles;
use image::Image;
use scanner::Scanner;
use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use values::ValueArguments;

/// Minimum length of a value that is searched. A shorter one would be found by chance.
const MIN_VALUE_BYTES: usize = 8;
/// Minimum length of a line of a multi-line value that is searched.
const MIN_LINE_BYTES: usize = 32;
/// Exit code: a value was found.
const FOUND: u8 = 1;
/// Exit code: the search failed or is incomplete.
const INCOMPLETE: u8 = 2;

/// The options of `claviger scan`.
#[derive(Debug, clap::Args)]
pub struct ScanArguments {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    values: ValueArguments,
    /// Maximum number of bytes to search, after decompression. A larger input is a failure, because the rest would not
    /// be searched.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 30)]
    max_bytes: u64,
}

/// The target of the search.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TargetArguments {
    /// Image: oci-archive:FILE, docker-archive:FILE (FILE `-`: standard input), or dir:DIR (OCI layout).
    #[arg(long, value_name = "KIND:PATH")]
    image: Option<Image>,
    /// Folder or file.
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

pub fn run(scan: &ScanArguments) -> ExitCode {
    search(scan).unwrap_or_else(|error| error.report())
}

fn search(scan: &ScanArguments) -> Result<ExitCode, CommandError> {
    let values = values::read_values(&scan.values)?;
    let (needles, short) =
        Needles::new(values.iter().map(|(name, value)| (name.as_str(), value)), MIN_VALUE_BYTES, MIN_LINE_BYTES)
            .map_err(|_| CommandError::Other("the bundle is too large to be looked for".into()))?;
    for name in &short {
        eprintln!(
            "claviger: {} is skipped: it is shorter than {MIN_VALUE_BYTES} bytes, and would be found by chance",
            escape_for_terminal(name)
        );
    }
    let budget = Cell::new(scan.max_bytes);
    let mut scanner = Scanner::new(&needles, &budget);
    let result = match (&scan.target.image, &scan.target.path) {
        (Some(image), _) => image.search(&mut scanner),
        (None, Some(path)) => folder::search(&mut scanner, path),
        (None, None) => return Err(CommandError::usage("nothing to search is named")),
    };
    let searched_bytes = scan.max_bytes - budget.get();
    let found = scanner.into_findings().print(&needles)?;
    let result = result.map_err(|message| {
        let message =
            if budget.get() == 0 { format!("more than {} bytes to look at", scan.max_bytes) } else { message };
        eprintln!("claviger: {}; it is not known to be clean", escape_for_terminal(&message));
    });
    eprintln!(
        "claviger: {} of {} keys looked for in {searched_bytes} bytes, {found} found",
        needles.len(),
        needles.len() + short.len()
    );
    Ok(match (found, result) {
        (1.., _) => ExitCode::from(FOUND),
        (0, Err(())) => ExitCode::from(INCOMPLETE),
        (0, Ok(())) => ExitCode::SUCCESS,
    })
}
