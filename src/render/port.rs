//! The port: the result of rendering and its errors.

use std::fmt;
use zeroize::Zeroizing;

/// A rendered bundle.
pub struct Rendered {
    /// The body of the download.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its media type.
    pub media_type: &'static str,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

/// Why nothing was rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The format cannot hold one of the keys.
    #[error(transparent)]
    Unrenderable(#[from] Unrenderable),
    /// The requested key is not in the bundle.
    #[error("the bundle does not have the key that was asked for")]
    NoSuchKey,
    /// The format holds one key, and the bundle has several.
    #[error("raw holds one key, and the bundle has several")]
    SeveralKeys,
}

/// A key that the format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key:?} {reason}")]
pub struct Unrenderable {
    /// The first such key, in the bundle's order.
    pub key: String,
    /// The reason.
    pub reason: Reason,
}

/// Why a format cannot hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its name is not a valid variable name.
    NotAVariable,
    /// Its name can make a shell or another program run code, and no policy names it literally.
    OwnsAShell,
    /// Shells reserve the name: they would refuse the assignment, drop the value or execute it.
    KeptByShells,
    /// A reader of the format drops the name.
    DroppedByReaders,
    /// Its value contains NUL.
    ContainsNul,
    /// Its value contains a carriage return.
    ContainsCarriageReturn,
    /// Readers with variable expansion would change its value.
    ReadersExpand,
    /// Its value is binary and not valid UTF-8.
    NotAText,
    /// No spelling of its value is read as the same value by all readers of the format.
    ReadersDisagree,
    /// Its name is not a safe file name.
    NotAFileName,
    /// Its name is not one of this format's credential keys.
    NoPartOfACredential,
    /// It is missing, although its credential's other keys are in the bundle.
    Missing,
    /// Its value is not an address.
    NotAnAddress,
    /// Another credential has the same address.
    SamePlaceTwice,
    /// Its value is not a bearer token.
    NotAToken,
    /// Its value is not a `config.json` with `auths` and no other member.
    NotAConfigJson,
}

impl Reason {
    /// The sentence that follows the key's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAVariable => "is not a name of letters, digits and underscores that begins with no digit",
            Self::OwnsAShell => "is a name that owns a shell, and no policy writes it literally",
            Self::KeptByShells => "is a name that shells keep for themselves",
            Self::DroppedByReaders => "is a name that readers of this format drop",
            Self::NotAText => "has a value of bytes that are not text; raw, tar and json carry it",
            Self::ContainsNul => "has a value with a NUL character, which no variable can hold",
            Self::ContainsCarriageReturn => {
                "has a value with a carriage return, which readers of this format read differently"
            }
            Self::ReadersExpand => {
                "has a value with a dollar sign that some readers of this format expand; dotenv-expand or json carries it"
            }
            Self::ReadersDisagree => "has a value that the readers of this format read differently",
            Self::NotAFileName => "is not a safe name of a file in at most 100 bytes",
            Self::NoPartOfACredential => "is not a name that this format makes credentials of",
            Self::Missing => "is missing beside the other keys of its credential",
            Self::NotAnAddress => "has a value that is not the address of a host in lower case",
            Self::SamePlaceTwice => "has an address that another key has too",
            Self::NotAToken => "has a value that is not a bearer token",
            Self::NotAConfigJson => "has a value that is not a config.json of auths alone",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Receives the pieces of a rendering in order.
pub(super) type Emit<'a> = &'a mut dyn FnMut(&[u8]);
