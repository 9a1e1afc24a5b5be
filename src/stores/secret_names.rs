//! The names of secrets in cloud stores. Each path has one name, and no two paths have the same name. Pure.
//!
//! Key Vault compares names without case, so an upper-case letter is escaped there: branch `Main` must not read what
//! `main` owns. The length and the alphabets are those of the stores' documentation.

use crate::config::stores::Kind;

/// How the secrets of a store are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretNaming {
    /// The path, with `+` for `~`, which AWS does not have.
    AwsSecretsManager,
    /// Letters, digits and `-`, without case; at most 127.
    AzureKeyVault,
    /// Letters, digits, `-` and `_`; at most 255.
    GcpSecretManager,
}

impl SecretNaming {
    /// The naming of a kind of store. `None` for stores that have paths themselves.
    #[must_use]
    pub const fn for_store(kind: &Kind) -> Option<Self> {
        match kind {
            Kind::AwsSecretsManager(_) => Some(Self::AwsSecretsManager),
            Kind::AzureKeyVault(_) => Some(Self::AzureKeyVault),
            Kind::GcpSecretManager(_) => Some(Self::GcpSecretManager),
            Kind::Vault(_) | Kind::File(_) => None,
        }
    }

    /// The name of the secret of a path; `None` if the path has no valid name in the store.
    #[must_use]
    pub fn secret_name(self, path: &str) -> Option<String> {
        let name = match self {
            Self::AwsSecretsManager => return aws_name(path),
            Self::AzureKeyVault | Self::GcpSecretManager => self.encode(path),
        };
        let max_length = if self == Self::AzureKeyVault { 127 } else { 255 };
        (name.len() <= max_length).then_some(name)
    }

    /// The encoding of one segment of a path. The name of a path is its segments, joined by [`Self::separator`].
    #[must_use]
    pub fn encode_segment(self, segment: &str) -> Option<String> {
        match self {
            Self::AwsSecretsManager => aws_name(segment),
            Self::AzureKeyVault | Self::GcpSecretManager => Some(self.encode(segment)),
        }
    }

    /// The encoding of a slash.
    #[must_use]
    pub const fn separator(self) -> &'static str {
        match self {
            Self::AwsSecretsManager => "/",
            Self::AzureKeyVault => "--",
            Self::GcpSecretManager => "__",
        }
    }

    /// The escape character: one is itself, two are a slash, and three begin an escape.
    const fn escape_character(self) -> u8 {
        if matches!(self, Self::AzureKeyVault) { b'-' } else { b'_' }
    }

    /// Whether a byte of a path is the same in a name.
    const fn is_unchanged(self, byte: u8) -> bool {
        match self {
            Self::AzureKeyVault => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            _ => byte.is_ascii_alphanumeric() || byte == b'-',
        }
    }

    /// Encodes a path. A run of the escape character has length 1 (itself, between two unchanged bytes), 2 (a slash), 3 (an
    /// escape: two hex digits follow) or 5 (a slash, then an escape), so a name is the name of one path only.
    fn encode(self, path: &str) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let (bytes, escape) = (path.as_bytes(), self.escape_character());
        let is_unchanged_at = |index: Option<usize>| {
            index.and_then(|index| bytes.get(index)).is_some_and(|byte| self.is_unchanged(*byte))
        };
        let mut name = String::with_capacity(path.len() + 16);
        for (index, byte) in bytes.iter().copied().enumerate() {
            let is_between =
                byte == escape && is_unchanged_at(index.checked_sub(1)) && is_unchanged_at(Some(index + 1));
            if self.is_unchanged(byte) || is_between {
                name.push(char::from(byte));
            } else if byte == b'/' {
                name.push_str(self.separator());
            } else {
                for part in [escape, escape, escape, HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]] {
                    name.push(char::from(part));
                }
            }
        }
        name
    }
}

/// AWS does not allow `~` in names, and encoded paths have no `+`, so two paths never have the same name. Without colons a name
/// is not an ARN, which could be of another account. `!` is in the names of secrets that AWS manages (`rds!cluster-...`).
fn aws_name(path: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-!~".contains(c);
    path.chars().all(is_allowed).then(|| path.replace('~', "+"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLOUDS: [SecretNaming; 2] = [SecretNaming::AzureKeyVault, SecretNaming::GcpSecretManager];

    /// A second implementation: decodes the path from a name.
    fn decode(naming: SecretNaming, name: &str) -> Option<String> {
        let (mut path, mut rest, escape) = (Vec::new(), name.as_bytes(), naming.escape_character());
        while let Some(first) = rest.first() {
            let run_length = rest.iter().take_while(|byte| **byte == escape).count();
            match run_length {
                0 => {
                    path.push(*first);
                    rest = &rest[1..];
                    continue;
                }
                1 => path.push(escape),
                2 | 5 => path.push(b'/'),
                3 => {}
                _ => return None,
            }
            rest = &rest[run_length..];
            if run_length == 3 || run_length == 5 {
                let (digits, after) = rest.split_at_checked(2)?;
                path.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
        }
        String::from_utf8(path).ok()
    }

    #[test]
    fn names_are_those_of_the_documentation() {
        for (path, azure, google) in [
            ("homelab/site/main", "homelab--site--main", "homelab__site__main"),
            ("homelab/site/feature~x", "homelab--site--feature---7ex", "homelab__site__feature___7ex"),
            ("homelab/site/Main", "homelab--site-----4dain", "homelab__site__Main"),
            ("a-b", "a-b", "a-b"),
            ("a_b", "a---5fb", "a_b"),
            ("a--b", "a---2d---2db", "a--b"),
            ("a__b", "a---5f---5fb", "a___5f___5fb"),
            ("-a-/-", "---2da---2d-----2d", "-a-__-"),
            ("_a_/_", "---5fa---5f-----5f", "___5fa___5f_____5f"),
            ("v1.2=3", "v1---2e2---3d3", "v1___2e2___3d3"),
            ("é", "---c3---a9", "___c3___a9"),
        ] {
            assert_eq!(SecretNaming::AzureKeyVault.secret_name(path).as_deref(), Some(azure), "{path}");
            assert_eq!(SecretNaming::GcpSecretManager.secret_name(path).as_deref(), Some(google), "{path}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        for (naming, max_length) in [(SecretNaming::AzureKeyVault, 127), (SecretNaming::GcpSecretManager, 255)] {
            assert!(naming.secret_name(&"a".repeat(max_length)).is_some_and(|name| name.len() == max_length));
            assert_eq!(naming.secret_name(&"a".repeat(max_length + 1)), None);
        }
        assert_eq!(SecretNaming::AzureKeyVault.secret_name(&"A".repeat(26)), None, "five characters each");
    }

    #[test]
    fn aws_names_are_paths_with_plus_for_tilde() {
        for (path, name) in [
            ("homelab/site/main", "homelab/site/main"),
            ("homelab/site/feature~x", "homelab/site/feature+x"),
            ("a/=2B~=7E", "a/=2B+=7E"),
            ("rds!cluster-1a96", "rds!cluster-1a96"),
            ("a@b", "a@b"),
            ("my+app", "my+app"),
        ] {
            assert_eq!(SecretNaming::AwsSecretsManager.secret_name(path).as_deref(), Some(name));
        }
        for path in ["arn:aws:secretsmanager:eu-west-1:1:secret:a", "a b", "é", "a%b"] {
            assert_eq!(SecretNaming::AwsSecretsManager.secret_name(path), None, "{path}");
        }
    }

    /// Whether two names are the same secret: Key Vault compares names without case.
    fn are_one_secret(naming: SecretNaming, one: &str, other: &str) -> bool {
        if naming == SecretNaming::AzureKeyVault { one.eq_ignore_ascii_case(other) } else { one == other }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_name_is_decoded_to_its_path(path in "[a-cA-C0-2._~=-]{1,8}(/[a-cA-C0-2._~=-]{1,8}){0,3}") {
            for naming in CLOUDS {
                let name = naming.secret_name(&path);
                prop_assume!(name.is_some());
                let name = name.unwrap();
                let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == naming.escape_character();
                prop_assert!(name.bytes().all(is_allowed), "{name}");
                prop_assert_eq!(decode(naming, &name), Some(path.clone()));
                let parts: Vec<_> = path.split('/').map(|segment| naming.encode_segment(segment).unwrap()).collect();
                prop_assert_eq!(parts.join(naming.separator()), name);
            }
        }

        #[test]
        fn different_paths_have_different_names(one in "[abAB2d~_/-]{1,9}", other in "[abAB2d~_/-]{1,9}") {
            for naming in CLOUDS {
                let [first, second] = [&one, &other].map(|path| naming.encode(path));
                prop_assert_eq!(are_one_secret(naming, &first, &second), one == other, "{} {}", first, second);
            }
        }

        #[test]
        fn paths_that_differ_in_case_are_different_secrets(path in "[a-zA-Z]{1,12}") {
            let other_case = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            let other: String = path.chars().map(other_case).collect();
            for naming in CLOUDS {
                let [first, second] = [&path, &other].map(|path| naming.secret_name(path).unwrap());
                prop_assert!(!are_one_secret(naming, &first, &second), "{first} {second}");
            }
        }
    }
}
