//! 6. Hand over: a bundle and a format become bytes. Pure: no async, no clock, no I/O.
//!
//! Either every key is rendered so that each reader of the format gives back the very value, or nothing is rendered
//! and the first key in the way is named.

mod dotenv;
mod export;
mod json;
mod line;
mod shell_names;

use crate::model::bundle::{Bundle, Entry};
use crate::model::format::Format;
use std::fmt;
use zeroize::Zeroizing;

/// A bundle as it is handed over.
pub struct Rendered {
    /// The body of the download.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its media type.
    pub media_type: &'static str,
}

/// The format cannot carry one of the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key:?} {reason}")]
pub struct Unrenderable {
    /// The first such key, in the order of the bundle.
    pub key: String,
    /// Why it cannot be carried.
    pub reason: Reason,
}

/// Why a format cannot carry a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its name is no name of a variable.
    NotAVariable,
    /// Its name owns a shell, and no policy writes it literally.
    OwnsAShell,
    /// Shells keep the name for themselves: they would refuse, drop or execute the value.
    KeptByShells,
    /// A reader of the format drops the name.
    DroppedByReaders,
    /// Its value contains NUL.
    ContainsNul,
    /// There is no spelling of its value that all readers of the format read alike.
    ReadersDisagree,
}

impl Reason {
    /// The sentence behind the key's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAVariable => "is not a name of letters, digits and underscores that begins with no digit",
            Self::OwnsAShell => "is a name that owns a shell, and no policy writes it literally",
            Self::KeptByShells => "is a name that shells keep for themselves",
            Self::DroppedByReaders => "is a name that readers of this format drop",
            Self::ContainsNul => "has a value with a NUL character, which no variable can hold",
            Self::ReadersDisagree => "has a value that the readers of this format read differently",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Takes the pieces of a rendering, one after the other.
type Emit<'a> = &'a mut dyn FnMut(&[u8]);
/// Whether a format can carry a key.
type Check = fn(&str, &Entry) -> Result<(), Reason>;
/// Writes a bundle of which every key was checked.
type Write = fn(&Bundle, Emit<'_>);

/// Renders a bundle.
///
/// # Errors
/// Names the first key that the format cannot carry.
pub fn render(bundle: &Bundle, format: Format) -> Result<Rendered, Unrenderable> {
    let (check, write): (Check, Write) = match format {
        Format::Export => (export::check, export::write),
        Format::Dotenv => (dotenv::check, dotenv::write),
        Format::Json => (json::check, json::write),
    };
    for (key, entry) in &bundle.entries {
        check(key, entry).map_err(|reason| Unrenderable { key: key.clone(), reason })?;
    }
    // Measured first, then written: a buffer that grew would leave copies of the values behind.
    let mut length = 0;
    write(bundle, &mut |piece| length += piece.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    write(bundle, &mut |piece| bytes.extend_from_slice(piece));
    Ok(Rendered { bytes, media_type: format.media_type() })
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
