//! The value of a placeholder.

use std::borrow::Cow;

/// A value for a placeholder.
#[derive(Debug, Clone)]
pub enum Param<'a> {
    /// A text. PostgreSQL does not support NUL in text; it is replaced by U+FFFD, in both databases.
    Text(Cow<'a, str>),
    /// A NULL text.
    NoText,
    /// An integer.
    Number(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// NULL bytes.
    NoBytes,
    /// A list of texts without NUL characters.
    Texts(&'a [&'a str]),
    /// A list of integers.
    Numbers(&'a [i64]),
    /// A list of bytes, for PostgreSQL only.
    Blobs(&'a [&'a [u8]]),
}

impl Param<'_> {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() })
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Param<'_> {
    fn from(text: String) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() })
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::NoText, Into::into)
    }
}

impl<'a> From<Option<Cow<'a, str>>> for Param<'a> {
    fn from(text: Option<Cow<'a, str>>) -> Self {
        match text {
            Some(Cow::Borrowed(text)) => text.into(),
            Some(Cow::Owned(text)) => text.into(),
            None => Self::NoText,
        }
    }
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_a_nul() {
        assert!(matches!(Param::from("a\0b"), Param::Text(text) if text == "a\u{FFFD}b"));
        assert!(matches!(Param::from("ab"), Param::Text(Cow::Borrowed("ab"))));
    }
}
