//! The port: what is rendered, and why a bundle is not.

use std::fmt;
use zeroize::Zeroizing;

/// A bundle as it is handed over.
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

/// Nothing is rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The format cannot carry one of the keys.
    #[error(transparent)]
    Unrenderable(#[from] Unrenderable),
    /// The one key that was asked for is not in the bundle.
    #[error("the bundle does not have the key that was asked for")]
    NoSuchKey,
    /// The format holds one key, and the bundle has several.
    #[error("raw holds one key, and the bundle has several")]
    SeveralKeys,
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
    /// Its value contains a carriage return.
    ContainsCarriageReturn,
    /// Readers of the format that expand variables would change its value.
    ReadersExpand,
    /// Its value is bytes, and they are no UTF-8.
    NotAText,
    /// There is no spelling of its value that all readers of the format read alike.
    ReadersDisagree,
    /// Its name is no safe name of a file.
    NotAFileName,
    /// Its name is none that a credential of this format is made of.
    NoPartOfACredential,
    /// It is not in the bundle, and its credential's other keys are.
    Missing,
    /// Its value is no address.
    NotAnAddress,
    /// Another key has its address.
    SamePlaceTwice,
    /// Its value is no bearer token.
    NotAToken,
    /// Its value is no `config.json` that has `auths` and nothing else.
    NotAConfigJson,
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

/// Takes the pieces of a rendering, one after the other.
pub(super) type Emit<'a> = &'a mut dyn FnMut(&[u8]);
