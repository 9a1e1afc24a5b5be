//! Stage 6, rendering: turns a bundle into the bytes of a format. Pure: no async, no clock, no I/O.
//!
//! Every reader of the format reads exactly the original values. If the format cannot hold a key, nothing is rendered, and the
//! error names the first such key.

mod binary_values;
mod credentials;
mod docker_config;
mod dotenv;
mod dotenv_expand;
mod export;
mod json;
mod line;
mod netrc;
mod npmrc;
mod port;
mod raw;
mod registry_address;
mod shell_names;
mod tar;

pub use port::{RenderError, RenderedBundle, UnrenderableKey, UnrenderableReason};

use crate::model::bundle::{Bundle, Entry};
use crate::model::format::{Format, RequestedFormat};
use port::Emit;
use zeroize::Zeroizing;

/// Renders a bundle.
///
/// # Errors
/// The format cannot hold a key. With `raw`: the requested key does not exist, or none is requested and the bundle has several.
pub fn render(bundle: &Bundle, requested: &RequestedFormat) -> Result<RenderedBundle, RenderError> {
    let texts = match requested.format() {
        Format::Json | Format::Raw | Format::Tar => None,
        _ => binary_values::decode_to_texts(bundle)?,
    };
    let bundle = texts.as_ref().unwrap_or(bundle);
    let bytes = match requested.format() {
        Format::Export => {
            check_each(bundle, export::check)?;
            collect_exactly(|emit| export::write(bundle, emit))
        }
        Format::Dotenv => {
            check_each(bundle, dotenv::check)?;
            collect_exactly(|emit| dotenv::write(bundle, emit))
        }
        Format::DotenvExpand => {
            check_each(bundle, dotenv_expand::check)?;
            collect_exactly(|emit| dotenv_expand::write(bundle, emit))
        }
        // JSON can hold every bundle.
        Format::Json => collect_exactly(|emit| json::write(bundle, emit)),
        Format::Raw => {
            let value = raw::select_value(bundle, requested.key())?;
            collect_exactly(|emit| raw::write(value, emit))
        }
        Format::Tar => {
            check_each(bundle, tar::check)?;
            collect_exactly(|emit| tar::write(bundle, emit))
        }
        Format::DockerConfig => {
            let config = docker_config::prepare(bundle)?;
            collect_exactly(|emit| docker_config::write(&config, emit))
        }
        Format::Npmrc => {
            let lines = npmrc::prepare(bundle)?;
            collect_exactly(|emit| npmrc::write(&lines, emit))
        }
        Format::Netrc => {
            let credentials = netrc::prepare(bundle)?;
            collect_exactly(|emit| netrc::write(&credentials, emit))
        }
    };
    Ok(RenderedBundle { bytes, media_type: requested.format().media_type() })
}

/// Checks each key, for formats in which keys are independent of each other.
fn check_each(
    bundle: &Bundle,
    check: fn(&str, &Entry) -> Result<(), UnrenderableReason>,
) -> Result<(), UnrenderableKey> {
    let mut entries = bundle.entries.iter();
    entries
        .try_for_each(|(key, entry)| check(key, entry).map_err(|reason| UnrenderableKey { key: key.clone(), reason }))
}

/// Collects the output of `write` in a buffer of its exact size. `write` is called twice, first to measure, because a growing
/// buffer would leave copies of the values behind.
fn collect_exactly(write: impl Fn(Emit<'_>)) -> Zeroizing<Vec<u8>> {
    let mut length = 0;
    write(&mut |piece| length += piece.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    write(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

#[cfg(test)]
mod tests;
