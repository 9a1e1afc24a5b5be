//! Parses a fetched bundle: the names and values in `export`, `dotenv`, `dotenv-expand` or `json`.
//!
//! As strict as the server writes: a truncated or foreign file is refused.

mod credentials;
mod dotenv;
mod export;
mod json;
pub mod tar;
mod values;

pub use values::Values;

use super::failure::Failure;
use crate::model::format::Format;
use crate::model::secret::SecretValue;
use zeroize::Zeroizing;

/// The text is not a complete bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a complete bundle in format export, dotenv, dotenv-expand or json")]
pub struct NotABundle;

impl From<NotABundle> for Failure {
    fn from(error: NotABundle) -> Self {
        Self::Failed(format!("what was fetched {error}"))
    }
}

/// Parses a bundle, and detects its format.
pub fn read(text: &str) -> Result<Values, NotABundle> {
    if text.starts_with('{') {
        json::read(text)
    } else if text.starts_with("export ") {
        export::read(text)
    } else {
        dotenv::read(text)
    }
    .ok_or(NotABundle)
}

/// The secrets in a bundle of any format, to be masked. `keys` are the names of the bundle.
pub fn secrets(format: Format, bytes: &[u8], keys: &[String]) -> Result<Values, NotABundle> {
    let text = || std::str::from_utf8(bytes).map_err(|_| NotABundle);
    match format {
        Format::Export | Format::Dotenv | Format::DotenvExpand | Format::Json => read(text()?),
        Format::Raw => {
            let name = keys.first().cloned().unwrap_or_default();
            Ok(vec![(name, text_of(bytes))])
        }
        Format::Tar => {
            // Values that are not text are masked as far as they are.
            let value = |(name, contents): (String, Zeroizing<Vec<u8>>)| (name, text_of(&contents));
            Ok(tar::read(bytes).ok_or(NotABundle)?.into_iter().map(value).collect())
        }
        Format::DockerConfig => credentials::docker_config(text()?).ok_or(NotABundle),
        Format::Npmrc => credentials::npmrc(text()?).ok_or(NotABundle),
        Format::Netrc => credentials::netrc(text()?).ok_or(NotABundle),
    }
}

fn text_of(bytes: &[u8]) -> SecretValue {
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
        fn a_complete_bundle_is_read_back_and_a_truncated_one_refused(
            values in prop::collection::btree_map("K[A-Z0-9_]{0,5}", "[a'\"\\\\$#\n\r `=é{]{0,9}", 0..5),
        ) {
            let values: Vec<_> = values.into_iter().collect();
            for format in [Format::Export, Format::Dotenv, Format::DotenvExpand, Format::Json] {
                let Some(text) = rendered(&values, format) else { continue };
                let expected: Values =
                    values.iter().map(|(name, value)| (name.clone(), SecretValue::new(value.clone()))).collect();
                prop_assert_eq!(read(&text), Ok(expected), "{}", text);
                for cut in (1..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                    prop_assert_eq!(read(&text[..cut]), Err(NotABundle), "{}", &text[..cut]);
                }
            }
        }
    }

    #[test]
    fn the_secrets_of_every_format_are_found() {
        let found = |format: Format, values: &[(&str, &str)]| -> Vec<String> {
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
            let secrets = secrets(format, &bytes, &keys).expect("a bundle");
            #[expect(clippy::disallowed_methods, reason = "sample values")]
            secrets.into_iter().map(|(name, value)| format!("{name}={}", value.expose_secret())).collect()
        };
        for format in [Format::Export, Format::Dotenv, Format::DotenvExpand, Format::Json, Format::Tar] {
            assert_eq!(found(format, &[("A", "one\ntwo\n"), ("B", "")]), ["A=one\ntwo\n", "B="], "{format:?}");
        }
        assert_eq!(found(Format::Raw, &[("A", "one\n")]), ["A=one\n"]);
        assert_eq!(
            found(Format::Npmrc, &[("NPM_REGISTRY", "https://npm.example/a"), ("NPM_TOKEN", "abc=")]),
            ["//npm.example/a/:_authToken=abc="]
        );
        assert_eq!(
            found(Format::Netrc, &[("NETRC_MACHINE", "h.example"), ("NETRC_LOGIN", "bob"), ("NETRC_PASSWORD", "pass")]),
            ["h.example=pass"]
        );
        let registry = [("REGISTRY", "r.example"), ("REGISTRY_USERNAME", "bob"), ("REGISTRY_PASSWORD", "a:b")];
        assert_eq!(found(Format::DockerConfig, &registry), ["r.example=Ym9iOmE6Yg==", "r.example=a:b"]);
        let ready = r#"{"auths": {"r.example": {"auth": "Ym9iOmE6Yg==", "identitytoken": "tok"}}}"#;
        assert_eq!(
            found(Format::DockerConfig, &[("DOCKER_AUTH_CONFIG", ready)]),
            ["r.example=Ym9iOmE6Yg==", "r.example=a:b", "r.example=tok"]
        );
        for format in [Format::DockerConfig, Format::Npmrc, Format::Netrc] {
            assert!(found(format, &[]).is_empty());
        }
    }

    #[test]
    fn a_foreign_file_is_refused() {
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
            assert_eq!(read(text), Err(NotABundle), "{text}");
        }
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("{}"), Ok(Vec::new()));
    }
}
