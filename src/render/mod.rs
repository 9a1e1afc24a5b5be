//! Stage 6, rendering: a bundle and a format become bytes. Pure: no async, no clock, no I/O.
//!
//! Either every key is rendered such that each reader of the format returns exactly the original value, or nothing
//! is rendered and the error names the first key that prevents it.

mod address;
mod credentials;
mod docker_config;
mod dotenv;
mod dotenv_expand;
mod encoded;
mod export;
mod json;
mod line;
mod netrc;
mod npmrc;
mod port;
mod raw;
mod shell_names;
mod tar;

pub use port::{Reason, Refused, Rendered, Unrenderable};

use crate::model::bundle::{Bundle, Entry};
use crate::model::format::{Format, Rendering};
use port::Emit;
use zeroize::Zeroizing;

/// Renders a bundle.
///
/// # Errors
/// Names the first key that the format cannot hold. With `raw`: the one key is missing or not named.
pub fn render(bundle: &Bundle, rendering: &Rendering) -> Result<Rendered, Refused> {
    let texts = match rendering.format() {
        Format::Json | Format::Raw | Format::Tar => None,
        _ => encoded::as_texts(bundle)?,
    };
    let bundle = texts.as_ref().unwrap_or(bundle);
    let bytes = match rendering.format() {
        Format::Export => {
            check_each(bundle, export::check)?;
            measured(|emit| export::write(bundle, emit))
        }
        Format::Dotenv => {
            check_each(bundle, dotenv::check)?;
            measured(|emit| dotenv::write(bundle, emit))
        }
        Format::DotenvExpand => {
            check_each(bundle, dotenv_expand::check)?;
            measured(|emit| dotenv_expand::write(bundle, emit))
        }
        // JSON can hold every bundle.
        Format::Json => measured(|emit| json::write(bundle, emit)),
        Format::Raw => {
            let value = raw::choose(bundle, rendering.key())?;
            measured(|emit| raw::write(value, emit))
        }
        Format::Tar => {
            check_each(bundle, tar::check)?;
            measured(|emit| tar::write(bundle, emit))
        }
        Format::DockerConfig => {
            let config = docker_config::check(bundle)?;
            measured(|emit| docker_config::write(&config, emit))
        }
        Format::Npmrc => {
            let lines = npmrc::check(bundle)?;
            measured(|emit| npmrc::write(&lines, emit))
        }
        Format::Netrc => {
            let logins = netrc::check(bundle)?;
            measured(|emit| netrc::write(&logins, emit))
        }
    };
    Ok(Rendered { bytes, media_type: rendering.format().media_type() })
}

/// The check for formats in which keys are independent of each other.
fn check_each(bundle: &Bundle, check: fn(&str, &Entry) -> Result<(), Reason>) -> Result<(), Unrenderable> {
    let mut entries = bundle.entries.iter();
    entries.try_for_each(|(key, entry)| check(key, entry).map_err(|reason| Unrenderable { key: key.clone(), reason }))
}

/// Renders twice, first to measure: a growing buffer would leave copies of the values behind.
fn measured(write: impl Fn(Emit<'_>)) -> Zeroizing<Vec<u8>> {
    let mut length = 0;
    write(&mut |piece| length += piece.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    write(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

#[cfg(test)]
mod tests;
