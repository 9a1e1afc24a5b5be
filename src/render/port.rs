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
    /// The format holds one key, the bundle has several, and the request names none.
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

closed_enum! {
    /// Why a format cannot hold a key. Each text is the predicate of a sentence that begins with the name of the key.
    pub enum UnrenderableReason {
        /// The name is not a valid variable name.
        NotAVariable => "is not a variable name of letters, digits and underscores that does not begin with a digit",
        /// A variable of this name can make a shell or another program run code, and no policy contains the name literally.
        CanRunCode => "is the name of a variable that can make programs run code, and no policy contains it literally",
        /// Shells reserve the name: they refuse the assignment, drop the value or execute it.
        ReservedByShells => "is a name that shells reserve",
        /// A reader of the format drops the name.
        DroppedByReaders => "is a name that readers of this format drop",
        /// The value contains NUL.
        ContainsNul => "has a value with a NUL character, which no variable can hold",
        /// The value contains a carriage return.
        ContainsCarriageReturn => "has a value with a carriage return, which readers of this format read differently",
        /// Readers with variable expansion would change the value.
        ReadersExpand => "has a value with a dollar sign that some readers of this format expand; dotenv-expand and json can hold it",
        /// The value is binary and not valid UTF-8.
        NotText => "has a binary value that is not text; raw, tar and json can hold it",
        /// The readers of the format would read different values, however it is written.
        ReadersDisagree => "has a value that the readers of this format read differently",
        /// The name is not a safe file name.
        NotAFileName => "is not a safe name of a file in at most 100 bytes",
        /// The name is not one of the credential keys of the format.
        NotACredentialKey => "is not one of the names from which this format makes credentials",
        /// The key is missing, although other keys of its credential are in the bundle.
        MissingFromCredential => "is missing, although other keys of its credential exist",
        /// The value is not an address.
        NotAnAddress => "has a value that is not an address with a host name in lower case",
        /// Another credential has the same address.
        DuplicateAddress => "has the same address as another key",
        /// The value is not a bearer token.
        NotAToken => "has a value that is not a bearer token",
        /// The value is not a `config.json` with `auths` and no other member.
        NotAConfigJson => "has a value that is not a config.json with auths only",
    }
}

impl fmt::Display for UnrenderableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Receives the pieces of a rendering in order.
pub(super) type Emit<'a> = &'a mut dyn FnMut(&[u8]);
