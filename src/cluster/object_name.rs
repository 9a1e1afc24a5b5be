//! The syntax of names of Kubernetes objects. A name is checked before it is used in a URL path.

/// Whether a pod, a `ServiceAccount` or a namespace can have this name: an RFC 1123 subdomain of at most 253 bytes.
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(u8::is_ascii_alphanumeric)
                && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_1123_subdomains_are_accepted() {
        for name in ["a", "0", "ci", "build-bot", "a.b-c.d", "x".repeat(253).as_str()] {
            assert!(is_object_name(name), "{name:?} was refused");
        }
        for name in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a/b",
            "a%2fb",
            "a?b",
            "a#b",
            "A",
            "a b",
            "a:b",
            "é",
            "a\0",
            "a\n",
            "a_b",
            "x".repeat(254).as_str(),
        ] {
            assert!(!is_object_name(name), "{name:?} was accepted");
        }
    }
}
