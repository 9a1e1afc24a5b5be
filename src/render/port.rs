//! The result of rendering, and its errors.

use std::fmt;
use zeroize::Zeroizing;

/// A rendered bundle.
pub struct RenderedBundle {
    /// The body of the download.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The media type of the body.
    pub media_type: &'static str,
}

impl fmt::Debug for RenderedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenderedBundle").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

/// Why a bundle cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The format cannot hold one of the keys.
    #[error(transparent)]
    Unrenderable(#[from] UnrenderableKey),
    /// The requested key is not in the bundle.
    #[error("the bundle does not have the requested key")]
    NoSuchKey,
    /// The format holds one key, and the bundle has several.
    #[error("raw holds one key, and the bundle has several")]
    SeveralKeys,
}

/// The first key of a bundle that the format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key:?} {reason}")]
pub struct UnrenderableKey {
    /// The name of the key.
    pub key: String,
    /// The reason.
    pub reason: UnrenderableReason,
}

/// Why a format cannot hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnrenderableReason {
    /// The name is not a valid variable name.
    NotAVariable,
    /// A variable of this name can make a shell or another program run code, and no policy contains the name literally.
    CanRunCode,
    /// Shells reserve the name: they refuse the assignment, drop the value or execute it.
    ReservedByShells,
    /// A reader of the format drops the name.
    DroppedByReaders,
    /// The value contains NUL.
    ContainsNul,
    /// The value contains a carriage return.
    ContainsCarriageReturn,
    /// Readers with variable expansion would change the value.
    ReadersExpand,
    /// The value is binary and not valid UTF-8.
    NotText,
    /// The readers of the format would read different values, however it is written.
    ReadersDisagree,
    /// The name is not a safe file name.
    NotAFileName,
    /// The name is not one of the credential keys of the format.
    NotACredentialKey,
    /// The key is missing, although other keys of its credential are in the bundle.
    MissingFromCredential,
    /// The value is not an address.
    NotAnAddress,
    /// Another credential has the same address.
    DuplicateAddress,
    /// The value is not a bearer token.
    NotAToken,
    /// The value is not a `config.json` with `auths` and no other member.
    NotAConfigJson,
}

impl UnrenderableReason {
    /// The predicate of the sentence that begins with the name of the key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAVariable => {
                "is not a variable name of letters, digits and underscores that does not begin with a digit"
            }
            Self::CanRunCode => {
                "is the name of a variable that can make programs run code, and no policy contains it literally"
            }
            Self::ReservedByShells => "is a name that shells reserve",
            Self::DroppedByReaders => "is a name that readers of this format drop",
            Self::NotText => "has a binary value that is not text; raw, tar and json can hold it",
            Self::ContainsNul => "has a value with a NUL character, which no variable can hold",
            Self::ContainsCarriageReturn => {
                "has a value with a carriage return, which readers of this format read differently"
            }
            Self::ReadersExpand => {
                "has a value with a dollar sign that some readers of this format expand; dotenv-expand and json can hold it"
            }
            Self::ReadersDisagree => "has a value that the readers of this format read differently",
            Self::NotAFileName => "is not a safe name of a file in at most 100 bytes",
            Self::NotACredentialKey => "is not one of the names from which this format makes credentials",
            Self::MissingFromCredential => "is missing, although other keys of its credential exist",
            Self::NotAnAddress => "has a value that is not an address with a host name in lower case",
            Self::DuplicateAddress => "has the same address as another key",
            Self::NotAToken => "has a value that is not a bearer token",
            Self::NotAConfigJson => "has a value that is not a config.json with auths only",
        }
    }
}

impl fmt::Display for UnrenderableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Receives the pieces of a rendering in order.
pub(super) type Emit<'a> = &'a mut dyn FnMut(&[u8]);
