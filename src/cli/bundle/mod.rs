//! Parses a fetched bundle: the names and values in `export`, `dotenv`, `dotenv-expand` or `json`.
//!
//! As strict as the server writes: a truncated or foreign file is refused.

mod dotenv;
mod export;
mod json;

use crate::model::secret::SecretValue;

/// Names and values, in the order of the file.
pub type Values = Vec<(String, SecretValue)>;

/// The text is not a complete bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no bundle as export, dotenv, dotenv-expand or json, or not all of it")]
pub struct NotABundle;

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

/// Removes the line that counts the keys. It is required, unless there are no keys, and must be right.
fn end_line(rest: &str, keys: usize) -> Option<()> {
    let is_end = if keys == 0 { rest.is_empty() } else { rest == format!("# claviger: {keys} keys\n") };
    is_end.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundle::{Bundle, Entry};
    use crate::model::format::Format;
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
