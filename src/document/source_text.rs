//! A YAML parser that keeps the source text of unquoted scalars.
//!
//! YAML reads an unquoted `1.10`, `0123`, `0x1F`, `yes` or `1e3` as a number or boolean, whose source text is lost. Where a
//! value must be text, [`parse_with_source`] gives its source text. Where a value may have any type,
//! [`check_reinterpreted_scalars`] reports scalars whose source text would change.

use super::fault::{Fault, escape_pointer_token, syntax_error_detail};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{NonFiniteFloatPolicy, Options, Spanned};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// A value whose scalars have their source text.
#[derive(Debug, PartialEq, Eq)]
pub enum SourceValue {
    /// A text.
    Text(String),
    /// A number, a boolean or null.
    Scalar(SourceScalar),
    /// A list.
    List(Vec<SourceValue>),
    /// A map.
    Map(BTreeMap<String, SourceValue>),
}

/// The source text of an unquoted scalar that YAML does not read as text.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceScalar {
    text: String,
    is_null: bool,
}

impl SourceScalar {
    /// Whether the scalar is null: `null`, `~` or empty.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        self.is_null
    }

    /// The source text. `None` if it is empty, as for a null without a text, or begins with a tag or another indicator of YAML.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let is_plain = !self.text.is_empty() && !self.text.starts_with(['!', '"', '\'', '&', '*', '|', '>']);
        is_plain.then_some(&*self.text)
    }

    /// The source text if it is valid JSON: a number in JSON's notation, `true`, `false` or `null`. `None` for the other
    /// nulls of YAML.
    #[must_use]
    pub fn text_if_json(&self) -> Option<&str> {
        serde_json::from_str::<Value>(&self.text).ok().filter(|value| !value.is_string())?;
        Some(&self.text)
    }

    /// Whether parsing the source text as JSON and serialising the value gives the same text.
    fn is_unaltered(&self) -> bool {
        serde_json::from_str::<Value>(&self.text)
            .is_ok_and(|value| serde_json::to_string(&value).is_ok_and(|text| text == self.text))
    }
}

/// Parses one YAML document with the source text of its scalars.
///
/// # Errors
/// The text is not one well-formed document, or a key is not a text.
pub fn parse_with_source(text: &str) -> Result<SourceValue, serde_saphyr::Error> {
    let mut options = Options::default();
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    let node = serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options)?;
    Ok(to_source_value(node, text))
}

/// Returns the JSON pointers of unquoted scalars whose source text [`super::parse`] does not keep.
///
/// # Errors
/// The text is not one well-formed document.
pub fn reinterpreted_scalars(text: &str) -> Result<Vec<String>, Fault> {
    let root = parse_with_source(text).map_err(|error| Fault::new("", syntax_error_detail(&error)))?;
    let mut found = Vec::new();
    collect_altered(&root, &mut String::new(), &mut found);
    Ok(found)
}

/// Returns a fault for each unquoted scalar whose source text [`super::parse`] does not keep, where a value may have any type.
/// `is_untyped` selects these places by the path of keys.
///
/// # Errors
/// The text is not one well-formed document.
pub fn check_reinterpreted_scalars(text: &str, is_untyped: impl Fn(&[&str]) -> bool) -> Result<Vec<Fault>, Fault> {
    const DETAIL: &str = "must be put in quotes: without them YAML takes it for a number, a boolean or null and writes it in another way";
    let is_checked = |pointer: &String| is_untyped(&pointer.split('/').skip(1).collect::<Vec<_>>());
    Ok(reinterpreted_scalars(text)?.into_iter().filter(is_checked).map(|pointer| Fault::new(pointer, DETAIL)).collect())
}

fn collect_altered(node: &SourceValue, pointer: &mut String, found: &mut Vec<String>) {
    let length = pointer.len();
    let mut descend = |key: &str, node: &SourceValue| {
        pointer.push('/');
        pointer.push_str(key);
        collect_altered(node, pointer, found);
        pointer.truncate(length);
    };
    match node {
        SourceValue::Text(_) => {}
        SourceValue::Scalar(scalar) if scalar.is_unaltered() => {}
        SourceValue::Scalar(_) => found.push(pointer.clone()),
        SourceValue::List(items) => {
            items.iter().enumerate().for_each(|(index, item)| descend(&index.to_string(), item));
        }
        SourceValue::Map(entries) => entries.iter().for_each(|(key, value)| descend(&escape_pointer_token(key), value)),
    }
}

fn to_source_value(node: Spanned<Node>, source: &str) -> SourceValue {
    let span = node.defined.span();
    let scalar = |is_null| {
        let offset_and_length = span.byte_offset().zip(span.byte_len());
        let range = offset_and_length.and_then(|(offset, length)| {
            let offset = usize::try_from(offset).ok()?;
            Some(offset..offset.checked_add(usize::try_from(length).ok()?)?)
        });
        let text = range.and_then(|range| source.get(range)).unwrap_or_default().trim().to_owned();
        SourceValue::Scalar(SourceScalar { text, is_null })
    };
    match node.value {
        Node::Null => scalar(true),
        Node::Scalar => scalar(false),
        Node::Text(text) => SourceValue::Text(text),
        Node::List(items) => SourceValue::List(items.into_iter().map(|item| to_source_value(item, source)).collect()),
        Node::Map(entries) => {
            SourceValue::Map(entries.into_iter().map(|(key, value)| (key, to_source_value(value, source))).collect())
        }
    }
}

/// A YAML value without the values of numbers and booleans.
enum Node {
    Null,
    Scalar,
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(BTreeMap<String, Spanned<Node>>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            // `1` and `"1"` are different keys in YAML, but the same text.
            let Entry::Vacant(place) = map.entry(key) else {
                return Err(A::Error::custom("duplicate key"));
            };
            place.insert(entries.next_value()?);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> SourceValue {
        let Ok(SourceValue::Map(mut map)) = parse_with_source(&format!("K: {text}\n")) else { panic!("{text}") };
        map.remove("K").unwrap()
    }

    #[test]
    fn an_unquoted_scalar_keeps_its_source_text() {
        for text in [
            "1.10",
            "0123",
            "0x1F",
            "0o17",
            "0b1",
            "yes",
            "No",
            "on",
            "y",
            "TRUE",
            "12345678901234567890123",
            "1e3",
            "1_000",
            "+5",
            "-0",
            "5.",
            ".5",
            ".inf",
            "-.INF",
            ".nan",
            "1e999",
            "190:20:30",
            "2026-01-02",
            "2026-01-02T03:04:05Z",
        ] {
            let source_text = match entry(text) {
                SourceValue::Text(text) => text,
                SourceValue::Scalar(scalar) => scalar.text().unwrap_or_default().to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(source_text, text);
        }
        for text in ["~", "null", "Null", "NULL", ""] {
            let SourceValue::Scalar(scalar) = entry(text) else { panic!("{text}") };
            assert!(scalar.is_null(), "{text}");
            assert_eq!(
                (scalar.text(), scalar.text_if_json()),
                ((!text.is_empty()).then_some(text), (text == "null").then_some(text))
            );
        }
        for (text, meant) in [("'yes'", "yes"), ("\"1.10\"", "1.10"), ("!!str 1.10", "1.10"), ("|-\n  0123", "0123")] {
            assert_eq!(entry(text), SourceValue::Text(meant.into()), "{text}");
        }
    }

    #[test]
    fn an_alias_has_the_source_text_of_its_anchor() {
        let Ok(SourceValue::Map(map)) =
            parse_with_source("é: &a 1.10\nb: *a\nc: &d [yes]\ne: *d\nf: {<<: {g: 0x1F}}\n")
        else {
            panic!("well-formed")
        };
        let scalar = |text: &str| SourceValue::Scalar(SourceScalar { text: text.into(), is_null: false });
        assert_eq!(map["b"], scalar("1.10"));
        assert_eq!(map["e"], SourceValue::List(vec![scalar("yes")]));
        assert_eq!(map["f"], SourceValue::Map([("g".to_owned(), scalar("0x1F"))].into()));
    }

    #[test]
    fn text_if_json_is_some_only_for_json_scalars() {
        for (text, json) in [
            ("1.10", true),
            ("-12", true),
            ("1e3", true),
            ("12345678901234567890123", true),
            ("true", true),
            ("0123", false),
            ("0x1F", false),
            ("yes", false),
            ("True", false),
            (".5", false),
            ("+5", false),
            (".inf", false),
        ] {
            let SourceValue::Scalar(scalar) = entry(text) else { panic!("{text} is a text") };
            assert_eq!(scalar.text_if_json(), json.then_some(text), "{text}");
        }
    }

    #[test]
    fn keys_are_texts_and_duplicates_are_refused() {
        let Ok(SourceValue::Map(map)) = parse_with_source("1.10: a\nyes: b\n0x1F: c\n") else { panic!("well-formed") };
        assert_eq!(map.keys().collect::<Vec<_>>(), ["0x1F", "1.10", "yes"]);
        for text in ["1: a\n\"1\": b", "a: 1\na: 2", "~: a", "? [a]\n: b"] {
            assert!(parse_with_source(text).is_err(), "{text}");
        }
    }

    #[test]
    fn altered_scalars_are_reported_with_their_place() {
        let text = "a: {b/c: 1.10, d: 1.5, e: 10, f: true, g: null, h: text}\ni: [1, yes, {j: ~}]\nk: 1e3\n";
        assert_eq!(reinterpreted_scalars(text).unwrap(), ["/a/b~1c", "/i/1", "/i/2/j", "/k"]);
        let faults = check_reinterpreted_scalars(text, |at| at.first() == Some(&"a")).unwrap();
        assert_eq!(faults.iter().map(Fault::dotted_path).collect::<Vec<_>>(), ["a.b/c"]);
        assert!(reinterpreted_scalars("a: [").is_err());
    }
}
