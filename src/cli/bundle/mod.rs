//! Parses the names and values of a downloaded bundle: the secrets of one ticket in one format.
//!
//! The parsers accept only what the server renders, so that a truncated or foreign file is refused.

mod credentials;
mod dotenv;
mod export;
mod json;
pub mod tar;
mod values;

pub use values::Values;

use super::command_error::CommandError;
use crate::model::format::Format;
use crate::model::secret::SecretValue;
use zeroize::Zeroizing;

/// The text is not a complete bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a complete bundle in format export, dotenv, dotenv-expand or json")]
pub struct InvalidBundleError;

impl From<InvalidBundleError> for CommandError {
    fn from(error: InvalidBundleError) -> Self {
        Self::Other(format!("the download {error}"))
    }
}

/// Detects the format (`export`, `dotenv`, `dotenv-expand` or `json`), and parses the bundle.
pub fn parse(text: &str) -> Result<Values, InvalidBundleError> {
    if text.starts_with('{') {
        json::parse(text)
    } else if text.starts_with("export ") {
        export::parse(text)
    } else {
        dotenv::parse(text)
    }
    .ok_or(InvalidBundleError)
}

/// Parses the secrets in a bundle of this format, in order to mask them. `keys` are the names of the bundle's keys, of which
/// the first is the name of a value in the format `raw`.
pub fn parse_secrets(format: Format, bytes: &[u8], keys: &[String]) -> Result<Values, InvalidBundleError> {
    let text = || std::str::from_utf8(bytes).map_err(|_| InvalidBundleError);
    match format {
        Format::Export | Format::Dotenv | Format::DotenvExpand | Format::Json => parse(text()?),
        Format::Raw => {
            let name = keys.first().cloned().unwrap_or_default();
            Ok(vec![(name, to_lossy_secret(bytes))])
        }
        Format::Tar => {
            // Of a value that is not UTF-8, only the lines that are UTF-8 are masked.
            let value = |(name, contents): (String, Zeroizing<Vec<u8>>)| (name, to_lossy_secret(&contents));
            Ok(tar::unpack(bytes).ok_or(InvalidBundleError)?.into_iter().map(value).collect())
        }
        Format::DockerConfig => credentials::parse_docker_config(text()?).ok_or(InvalidBundleError),
        Format::Npmrc => credentials::parse_npmrc(text()?).ok_or(InvalidBundleError),
        Format::Netrc => credentials::parse_netrc(text()?).ok_or(InvalidBundleError),
    }
}

/// The value as text, in order to mask it.
pub fn to_lossy_secret(bytes: &[u8]) -> SecretValue {
    SecretValue::new(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundle::{Bundle, Entry};
    use crate::render::render;
    use proptest::prelude::*;

    fn rendered(values: &[(String, String)], format: Format) -> Option<String> {
        let entry =
            |value: &String| Entry { value: SecretValue::new(value.clone()), named_by_policy: false, is_base64: false };
        let entries = values.iter().map(|(name, value)| (name.clone(), entry(value))).collect();
        let bundle = Bundle { entries, ..Bundle::default() };
        let bytes = render(&bundle, &format.into()).ok()?.bytes;
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    proptest! {
        #[test]
        fn complete_bundle_is_parsed_and_truncated_one_is_refused(
            values in prop::collection::btree_map("K[A-Z0-9_]{0,5}", "[a'\"\\\\$#\n\r `=é{]{0,9}", 0..5),
        ) {
            let values: Vec<_> = values.into_iter().collect();
            for format in [Format::Export, Format::Dotenv, Format::DotenvExpand, Format::Json] {
                let Some(text) = rendered(&values, format) else { continue };
                let expected: Values =
                    values.iter().map(|(name, value)| (name.clone(), SecretValue::new(value.clone()))).collect();
                prop_assert_eq!(parse(&text), Ok(expected), "{}", text);
                for cut in (1..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                    prop_assert_eq!(parse(&text[..cut]), Err(InvalidBundleError), "{}", &text[..cut]);
                }
            }
        }
    }

    #[test]
    fn secrets_of_every_format_are_parsed() {
        let parsed = |format: Format, values: &[(&str, &str)]| -> Vec<String> {
            let values: Vec<_> = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let entry = |value: &String| Entry {
                value: SecretValue::new(value.clone()),
                named_by_policy: false,
                is_base64: false,
            };
            let entries = values.iter().map(|(name, value)| (name.clone(), entry(value))).collect();
            let bundle = Bundle { entries, ..Bundle::default() };
            let bytes = render(&bundle, &format.into()).expect("renderable").bytes;
            let keys: Vec<String> = values.into_iter().map(|(name, _)| name).collect();
            let secrets = parse_secrets(format, &bytes, &keys).expect("a bundle");
            #[expect(clippy::disallowed_methods, reason = "sample values")]
            secrets.into_iter().map(|(name, value)| format!("{name}={}", value.expose_secret())).collect()
        };
        for format in [Format::Export, Format::Dotenv, Format::DotenvExpand, Format::Json, Format::Tar] {
            assert_eq!(parsed(format, &[("A", "one\ntwo\n"), ("B", "")]), ["A=one\ntwo\n", "B="], "{format:?}");
        }
        assert_eq!(parsed(Format::Raw, &[("A", "one\n")]), ["A=one\n"]);
        assert_eq!(
            parsed(Format::Npmrc, &[("NPM_REGISTRY", "https://npm.example/a"), ("NPM_TOKEN", "abc=")]),
            ["//npm.example/a/:_authToken=abc="]
        );
        assert_eq!(
            parsed(
                Format::Netrc,
                &[("NETRC_MACHINE", "h.example"), ("NETRC_LOGIN", "bob"), ("NETRC_PASSWORD", "pass")]
            ),
            ["h.example=pass"]
        );
        let registry = [("REGISTRY", "r.example"), ("REGISTRY_USERNAME", "bob"), ("REGISTRY_PASSWORD", "a:b")];
        assert_eq!(parsed(Format::DockerConfig, &registry), ["r.example=Ym9iOmE6Yg==", "r.example=a:b"]);
        let ready = r#"{"auths": {"r.example": {"auth": "Ym9iOmE6Yg==", "identitytoken": "tok"}}}"#;
        assert_eq!(
            parsed(Format::DockerConfig, &[("DOCKER_AUTH_CONFIG", ready)]),
            ["r.example=Ym9iOmE6Yg==", "r.example=a:b", "r.example=tok"]
        );
        for format in [Format::DockerConfig, Format::Npmrc, Format::Netrc] {
            assert!(parsed(format, &[]).is_empty());
        }
    }

    #[test]
    fn foreign_file_is_refused() {
        for text in [
            "A=b",
            "A=b\n",
            "export A=b\n# claviger: 1 keys\n",
            "export A='b'\n# claviger: 2 keys\n",
            "export A='b'; id\n# claviger: 1 keys\n",
            "export A='b'\n\n# claviger: 1 keys\n",
            "export ='b'\n# claviger: 1 keys\n",
            "# claviger: 0 keys\n",
            "# claviger: 1 keys\n",
            "{\"A\":1}",
            "{\"A\":\"b\"} x",
            "[]",
            "<html>",
        ] {
            assert_eq!(parse(text), Err(InvalidBundleError), "{text}");
        }
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse("{}"), Ok(Vec::new()));
    }
}
