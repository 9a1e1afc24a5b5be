//! The formats in which a bundle is rendered.

closed_enum! {
    /// A format of a rendered bundle. Names as in `?format=`.
    #[derive(Default)]
    pub enum Format {
        /// `export NAME='value'` lines, for the `.` command of any POSIX shell.
        #[default]
        Export => "export",
        /// `NAME="value"` lines, for any dotenv reader.
        Dotenv => "dotenv",
        /// As `Dotenv`, with `\$` for `$`, for dotenv readers that expand variables.
        DotenvExpand => "dotenv-expand",
        /// One JSON object of strings.
        Json => "json",
        /// The bytes of one value.
        Raw => "raw",
        /// A tar archive with one file for each key.
        Tar => "tar",
        /// Registry credentials as the `config.json` of Docker, Buildah and Kaniko.
        DockerConfig => "docker-config",
        /// Registry tokens for npm.
        Npmrc => "npmrc",
        /// Logins for curl, git and other readers of `.netrc`.
        Netrc => "netrc",
    }
}

impl Format {
    /// The media type (`Content-Type`).
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
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, ParseFormatError> {
        Self::from_name(text).ok_or(ParseFormatError)
    }
}

/// The text is not the name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of export, dotenv, dotenv-expand, json, raw, tar, docker-config, npmrc, netrc")]
pub struct ParseFormatError;

/// The format that a client requests; with `raw` also the key of the value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestedFormat {
    format: Format,
    key: Option<String>,
}

impl RequestedFormat {
    /// This format; with `raw`, only the value of this key if one is given.
    ///
    /// # Errors
    /// When a key is given and the format is not [`Format::Raw`].
    pub fn new(format: Format, key: Option<String>) -> Result<Self, KeyNotAllowedError> {
        if key.is_some() && format != Format::Raw { Err(KeyNotAllowedError) } else { Ok(Self { format, key }) }
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

impl From<Format> for RequestedFormat {
    fn from(format: Format) -> Self {
        Self { format, key: None }
    }
}

/// A key was given for a format that renders all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key is allowed only with the format raw")]
pub struct KeyNotAllowedError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_parsed_and_the_error_lists_them() {
        let words: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
        for format in Format::ALL.iter().copied() {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert_eq!(ParseFormatError.to_string(), format!("must be one of {}", words.join(", ")));
        assert_eq!("Raw".parse::<Format>(), Err(ParseFormatError));
    }

    #[test]
    fn only_raw_accepts_a_key() {
        for format in Format::ALL.iter().copied() {
            assert_eq!(RequestedFormat::new(format, None), Ok(format.into()));
            assert_eq!(RequestedFormat::new(format, Some("A".into())).is_ok(), format == Format::Raw, "{format:?}");
        }
    }
}
