//! The formats of a rendered bundle.

/// A rendering of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// `export NAME='value'` lines, for `.` in any POSIX shell.
    #[default]
    Export,
    /// `NAME="value"` lines, for dotenv readers of all kinds.
    Dotenv,
    /// The same with `\$` for `$`, for dotenv readers that expand variables.
    DotenvExpand,
    /// One JSON object of strings.
    Json,
    /// The bytes of one value.
    Raw,
    /// An archive with one file for each key.
    Tar,
    /// Registry credentials as the `config.json` of Docker, Buildah and Kaniko.
    DockerConfig,
    /// Registry tokens for npm.
    Npmrc,
    /// Logins for curl, git and other readers of `.netrc`.
    Netrc,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 9] = [
        Self::Export,
        Self::Dotenv,
        Self::DotenvExpand,
        Self::Json,
        Self::Raw,
        Self::Tar,
        Self::DockerConfig,
        Self::Npmrc,
        Self::Netrc,
    ];

    /// The word used in `?format=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Dotenv => "dotenv",
            Self::DotenvExpand => "dotenv-expand",
            Self::Json => "json",
            Self::Raw => "raw",
            Self::Tar => "tar",
            Self::DockerConfig => "docker-config",
            Self::Npmrc => "npmrc",
            Self::Netrc => "netrc",
        }
    }

    /// The media type of the rendering.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Export | Self::Dotenv | Self::DotenvExpand | Self::Npmrc | Self::Netrc => "text/plain; charset=utf-8",
            Self::Json | Self::DockerConfig => "application/json",
            Self::Raw => "application/octet-stream",
            Self::Tar => "application/x-tar",
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
#[error("must be one of export, dotenv, dotenv-expand, json, raw, tar, docker-config, npmrc, netrc")]
pub struct UnknownFormat;

/// The requested rendering: a format, and the key for a format of a single value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendering {
    format: Format,
    key: Option<String>,
}

impl Rendering {
    /// A format, with the key to render if one is given.
    ///
    /// # Errors
    /// A key together with a format that renders all of them.
    pub fn new(format: Format, key: Option<String>) -> Result<Self, KeyNotTaken> {
        if key.is_some() && format != Format::Raw { Err(KeyNotTaken) } else { Ok(Self { format, key }) }
    }

    /// The format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The requested key. Only with [`Format::Raw`].
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl From<Format> for Rendering {
    fn from(format: Format) -> Self {
        Self { format, key: None }
    }
}

/// A key was given for a format that renders all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key goes with the format raw only")]
pub struct KeyNotTaken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_its_word_and_told_where_none_is() {
        let words: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert_eq!(UnknownFormat.to_string(), format!("must be one of {}", words.join(", ")));
        assert_eq!("Raw".parse::<Format>(), Err(UnknownFormat));
    }

    #[test]
    fn only_raw_takes_a_key() {
        for format in Format::ALL {
            assert_eq!(Rendering::new(format, None), Ok(format.into()));
            assert_eq!(Rendering::new(format, Some("A".into())).is_ok(), format == Format::Raw, "{format:?}");
        }
    }
}
