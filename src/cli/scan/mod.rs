//! `claviger scan`: searches an image or folder for the secrets of a bundle, in any of several encodings. It reports the key and
//! the place, never the value.
//!
//! An image that cannot be read completely, or that exceeds the size limit, is a failure and never reported as clean.

mod findings;
mod folder;
mod image;
mod kind;
mod sweep;
mod values;
mod watched;
mod zstd_frames;

use super::failure::Failure;
use super::printable::printable;
use crate::leaks::Needles;
use image::Image;
use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use sweep::Sweep;
use values::ValueArguments;

/// Shortest value to search for, in bytes. Shorter ones occur everywhere by chance.
const MIN_VALUE_BYTES: usize = 8;
/// Shortest line of a multi-line value to search for, in bytes.
const MIN_LINE_BYTES: usize = 32;
/// Exit code: a value was found.
const FOUND: u8 = 1;
/// Exit code: the search failed or is incomplete.
const UNREADABLE: u8 = 2;

/// The options of `claviger scan`.
#[derive(Debug, clap::Args)]
pub struct Scan {
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

pub fn run(scan: &Scan) -> ExitCode {
    match search(scan) {
        Ok(code) => code,
        Err(failure) => failure.print_and_code(),
    }
}

fn search(scan: &Scan) -> Result<ExitCode, Failure> {
    let values = values::read(&scan.values)?;
    let (needles, short) =
        Needles::new(values.iter().map(|(name, value)| (name.as_str(), value)), MIN_VALUE_BYTES, MIN_LINE_BYTES)
            .map_err(|_| Failure::Failed("the bundle is too large to be looked for".into()))?;
    for name in &short {
        eprintln!(
            "claviger: {} is skipped: it is shorter than {MIN_VALUE_BYTES} bytes, and would be found by chance",
            printable(name)
        );
    }
    let budget = Cell::new(scan.max_bytes);
    let mut sweep = Sweep::new(&needles, &budget);
    let searched = match (&scan.target.image, &scan.target.path) {
        (Some(image), _) => image.search(&mut sweep),
        (None, Some(path)) => folder::search(&mut sweep, path),
        (None, None) => return Err(Failure::usage("nothing to search is named")),
    };
    let looked_at = scan.max_bytes - budget.get();
    let found = sweep.end().print(&needles)?;
    let searched = searched.map_err(|trouble| {
        let trouble =
            if budget.get() == 0 { format!("more than {} bytes to look at", scan.max_bytes) } else { trouble };
        eprintln!("claviger: {}; it is not known to be clean", printable(&trouble));
    });
    eprintln!(
        "claviger: {} of {} keys looked for in {looked_at} bytes, {found} found",
        needles.len(),
        needles.len() + short.len()
    );
    Ok(match (found, searched) {
        (1.., _) => ExitCode::from(FOUND),
        (0, Err(())) => ExitCode::from(UNREADABLE),
        (0, Ok(())) => ExitCode::SUCCESS,
    })
}
