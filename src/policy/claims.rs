//! OIDC claims as text, for patterns and for placeholders.

use serde_json::Value;
use std::borrow::Cow;

/// The text of a string is the string, that of a number or boolean is its JSON. Lists, objects and null have no
/// text.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The texts that a pattern is matched against: that of the claim or, for a list, those of its elements.
pub(super) fn texts_of(value: &Value) -> impl Iterator<Item = Cow<'_, str>> {
    let values = match value {
        Value::Array(elements) => elements.as_slice(),
        single => std::slice::from_ref(single),
    };
    values.iter().filter_map(text_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_and_lists_of_them_have_texts_and_nothing_else_has() {
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
            assert_eq!(texts_of(&value).collect::<Vec<_>>(), texts, "{value}");
        }
    }
}
