//! How a bundle can be handed over.

/// A rendering of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// `export NAME='value'` lines, for `.` in any POSIX shell.
    #[default]
    Export,
    /// `NAME="value"` lines, for dotenv readers.
    Dotenv,
    /// One JSON object of strings.
    Json,
}

impl Format {
    /// Every format there is.
    pub const ALL: [Self; 3] = [Self::Export, Self::Dotenv, Self::Json];

    /// The word used in `?format=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Dotenv => "dotenv",
            Self::Json => "json",
        }
    }

    /// The media type of the rendering.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Export | Self::Dotenv => "text/plain; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(UnknownFormat)
    }
}

/// The text is not the name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of export, dotenv, json")]
pub struct UnknownFormat;
