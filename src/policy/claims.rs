//! Converts OIDC claims to text, for patterns and for placeholders.

use serde_json::Value;
use std::borrow::Cow;

/// The string itself, or the JSON text of a number or boolean. `None` for lists, objects and null.
pub(super) fn claim_to_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The texts that a pattern is matched against: the text of the claim or, if it is a list, of each element that has one.
pub(super) fn claim_to_texts(value: &Value) -> impl Iterator<Item = Cow<'_, str>> {
    let values = match value {
        Value::Array(elements) => elements.as_slice(),
        scalar => std::slice::from_ref(scalar),
    };
    values.iter().filter_map(claim_to_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_scalars_and_their_lists_have_texts() {
        for (value, texts) in [
            (json!("a"), vec!["a"]),
            (json!(""), vec![""]),
            (json!(17), vec!["17"]),
            (json!(-1), vec!["-1"]),
            (json!(1.5), vec!["1.5"]),
            (json!(true), vec!["true"]),
            (json!(false), vec!["false"]),
            (json!(null), vec![]),
            (json!({"a": "b"}), vec![]),
            (json!([]), vec![]),
            (json!(["a", 1, null, {"b": "c"}, ["d"]]), vec!["a", "1"]),
        ] {
            assert_eq!(claim_to_texts(&value).collect::<Vec<_>>(), texts, "{value}");
        }
    }
}
