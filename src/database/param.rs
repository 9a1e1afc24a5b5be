//! The parameters of statements.

use std::borrow::Cow;
use std::sync::Arc;

/// The value of a placeholder in a statement.
#[derive(Debug, Clone)]
pub enum Param<'a> {
    /// A text. PostgreSQL does not support the character NUL, so the conversions replace it by U+FFFD, for SQLite too.
    Text(Cow<'a, str>),
    /// A text without NUL characters. SQLite's thread gets another reference to it, not a copy.
    Shared(Arc<str>),
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
    /// A list of byte strings. SQLite does not support it and gets NULL.
    Blobs(&'a [&'a [u8]]),
}

impl Param<'_> {
    /// The text, or `None` if the value is of another type or NULL.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Shared(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Cow::Borrowed(text).into()
    }
}

impl<'a> From<Cow<'a, str>> for Param<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text })
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl From<&Arc<str>> for Param<'_> {
    fn from(text: &Arc<str>) -> Self {
        if text.contains('\0') { Self::from(text.to_string()) } else { Self::Shared(text.clone()) }
    }
}

impl From<String> for Param<'_> {
    fn from(text: String) -> Self {
        Cow::<str>::Owned(text).into()
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::NoText, Into::into)
    }
}

impl<'a> From<Option<Cow<'a, str>>> for Param<'a> {
    fn from(text: Option<Cow<'a, str>>) -> Self {
        text.map_or(Self::NoText, Into::into)
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
    fn nul_is_replaced_in_texts() {
        assert!(matches!(Param::from("a\0b"), Param::Text(text) if text == "a\u{FFFD}b"));
        assert!(matches!(Param::from("ab"), Param::Text(Cow::Borrowed("ab"))));
        let shared = Arc::<str>::from("ab");
        assert!(matches!(Param::from(&shared), Param::Shared(text) if Arc::ptr_eq(&text, &shared)));
        assert_eq!(Param::from(&Arc::<str>::from("a\0b")).as_text(), Some("a\u{FFFD}b"));
    }
}
