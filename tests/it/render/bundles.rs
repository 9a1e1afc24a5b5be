//! Bundles full of hostile values.

use claviger::model::bundle::{Bundle, Entry};
use claviger::model::secret::SecretValue;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Names and values, as a reader should return them.
pub type Variables = BTreeMap<String, String>;

/// Values that break the quoting of some programs.
pub fn hostile_values() -> Vec<String> {
    let fixed = [
        "",
        " ",
        "'",
        "''",
        "''''",
        "\"",
        "\"\"",
        "`",
        "\\",
        "\\\\",
        "\\'",
        "'\\''",
        "\\\"",
        "$",
        "$$",
        "$(touch PWN)",
        "`touch PWN`",
        "'; touch PWN; '",
        "'\ntouch PWN\n'",
        "\"; touch PWN; \"",
        "$((a[$(touch PWN)]))",
        "a[$(touch PWN)]",
        "${PATH}",
        "$PATH",
        "${x:-$(touch PWN)}",
        "() { :; }; touch PWN",
        "!!",
        "!touch",
        "~",
        "*",
        "#",
        " #",
        "a #b",
        "\n",
        "\nx",
        "x\n",
        "\n\n\n",
        "\r",
        "\r\n",
        "x\r\ny",
        "\t",
        "\u{b}\u{c}",
        "trailing\\",
        "trailing\\\n",
        "trailing ",
        " leading",
        "\u{1b}[31m",
        "\u{1}\u{7f}",
        "\u{80}\u{81}\u{85}\u{88}",
        "\u{a0}",
        "\u{feff}",
        "\u{2028}\u{2029}",
        "'a'\u{2028}'b'",
        "\u{202e}",
        "🔑",
        "é e\u{301}",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\r\nMIIE\r\n-----END PRIVATE KEY-----\r\n",
        "::set-env name=X::y",
        "# claviger: 1 keys",
        "x\n# claviger: 1 keys\n",
        "'\n# claviger: 1 keys\n",
        "export A='x'",
        "x'\nexport B='y",
        "x\"\nB=\"y",
        "x\nB=y",
        "{\"a\": \"b\"}",
        "{\n  \"a\": \"it's\"\n}",
        "C:\\temp\\new",
        "C:\\temp\\",
        "\\\\host\\share",
        "$2b$10$abcdefghijklmnopqrstuv",
        "postgres://u:p@h/d?x=1&y=2#z",
        "a=b=c",
        "%2e%2e%00%n%s",
        "\\n\\r\\t\\0\\x41\\u0041",
        "it's \"quoted\"",
        "<<EOF",
        ";|&<>(){}[]?*!",
    ];
    fixed.into_iter().map(str::to_owned).collect()
}

/// Any value without NUL; characters with a special meaning are frequent.
pub fn value() -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(hostile_values());
    let character = prop_oneof![
        8 => proptest::sample::select(vec!['\'', '"', '\\', '$', '`', '\n', '\r', ' ', '#', '=', '{', '}', 'n', 'a']),
        1 => any::<char>().prop_filter("NUL is refused", |c| *c != '\0'),
    ];
    let characters = proptest::collection::vec(character, 0..12).prop_map(String::from_iter);
    proptest::collection::vec(prop_oneof![hostile, characters], 0..4).prop_map(|parts| parts.concat())
}

/// Generates a name for each of the values.
pub fn named(values: impl IntoIterator<Item = String>) -> Variables {
    values.into_iter().enumerate().map(|(index, value)| (format!("K{index}"), value)).collect()
}

pub fn bundle(variables: &Variables) -> Bundle {
    let entry =
        |value: &String| Entry { value: SecretValue::new(value.clone()), named_by_policy: true, is_base64: false };
    let entries = variables.iter().map(|(name, value)| (name.clone(), entry(value))).collect();
    Bundle { entries, ..Bundle::default() }
}
