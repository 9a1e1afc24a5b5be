//! YAML with the original spelling of every scalar.
//!
//! Without quotes YAML reads `1.10`, `0123`, `0x1F`, `yes` and `1e3` as numbers and booleans, and the original
//! spelling is lost. If a value must be text, this reader keeps the spelling; if it may be of any type, it reports
//! values that would change.

use super::fault::{Fault, escape, ill_formed};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{NonFiniteFloatPolicy, Options, Spanned};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// A value with its spelling.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// A text.
    Text(String),
    /// A number, a boolean or null in YAML.
    Typed(Typed),
    /// A list.
    List(Vec<Written>),
    /// A map.
    Map(BTreeMap<String, Written>),
}

/// An unquoted scalar that YAML does not read as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    text: String,
    is_null: bool,
}

impl Typed {
    /// Whether it is null, in any spelling.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        self.is_null
    }

    /// Its spelling; `None` for a tag, or for an alias from another document.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let plain = !self.text.is_empty() && !self.text.starts_with(['!', '"', '\'', '&', '*', '|', '>']);
        plain.then_some(&*self.text)
    }

    /// Its spelling if it is also valid JSON: a number digit for digit, `true`, `false` or `null`.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        serde_json::from_str::<Value>(&self.text).ok().filter(|value| !value.is_string())?;
        Some(&self.text)
    }

    /// Whether converting it to a JSON value and back gives the same text.
    fn is_kept(&self) -> bool {
        serde_json::from_str::<Value>(&self.text)
            .is_ok_and(|value| serde_json::to_string(&value).is_ok_and(|text| text == self.text))
    }
}

/// Parses one YAML document.
///
/// # Errors
/// The text is not one well-formed document, or a key is not a text.
pub fn read_written(text: &str) -> Result<Written, serde_saphyr::Error> {
    let mut options = Options::default();
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    let node = serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options)?;
    Ok(written(node, text))
}

/// The JSON pointers of unquoted scalars whose spelling [`super::parse`] changes.
///
/// # Errors
/// The text is not one well-formed document.
pub fn misread(text: &str) -> Result<Vec<String>, Fault> {
    let root = read_written(text).map_err(|error| Fault::new("", ill_formed(&error)))?;
    let mut found = Vec::new();
    collect(&root, &mut String::new(), &mut found);
    Ok(found)
}

/// The faults for values of any type, at places selected by `is_free`: an unquoted scalar whose spelling would
/// change is a fault.
///
/// # Errors
/// The text is not one well-formed document.
pub fn misread_in(text: &str, is_free: impl Fn(&[&str]) -> bool) -> Result<Vec<Fault>, Fault> {
    const DETAIL: &str = "must be put in quotes: without them YAML takes it for a number, a boolean or null and writes it in another way";
    let free = |pointer: &String| is_free(&pointer.split('/').skip(1).collect::<Vec<_>>());
    Ok(misread(text)?.into_iter().filter(free).map(|pointer| Fault::new(pointer, DETAIL)).collect())
}

fn collect(node: &Written, at: &mut String, found: &mut Vec<String>) {
    let length = at.len();
    let mut below = |key: &str, node: &Written| {
        at.push('/');
        at.push_str(key);
        collect(node, at, found);
        at.truncate(length);
    };
    match node {
        Written::Text(_) => {}
        Written::Typed(typed) if typed.is_kept() => {}
        Written::Typed(_) => found.push(at.clone()),
        Written::List(items) => items.iter().enumerate().for_each(|(index, item)| below(&index.to_string(), item)),
        Written::Map(entries) => entries.iter().for_each(|(key, value)| below(&escape(key), value)),
    }
}

fn written(node: Spanned<Node>, source: &str) -> Written {
    let span = node.defined.span();
    let typed = |is_null| {
        let at = span.byte_offset().zip(span.byte_len());
        let range = at.and_then(|(offset, length)| {
            let offset = usize::try_from(offset).ok()?;
            Some(offset..offset.checked_add(usize::try_from(length).ok()?)?)
        });
        let text = range.and_then(|range| source.get(range)).unwrap_or_default().trim().to_owned();
        Written::Typed(Typed { text, is_null })
    };
    match node.value {
        Node::Null => typed(true),
        Node::Typed => typed(false),
        Node::Text(text) => Written::Text(text),
        Node::List(items) => Written::List(items.into_iter().map(|item| written(item, source)).collect()),
        Node::Map(entries) => {
            Written::Map(entries.into_iter().map(|(key, value)| (key, written(value, source))).collect())
        }
    }
}

/// A value in YAML's data model, without the values of numbers and booleans.
enum Node {
    Null,
    Typed,
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
        Ok(Node::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Typed)
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
            // `1` and `"1"` are two keys in YAML and one text here.
            let Entry::Vacant(place) = map.entry(key) else {
                return Err(A::Error::custom("a key stands there twice"));
            };
            place.insert(entries.next_value()?);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Written {
        let Ok(Written::Map(mut map)) = read_written(&format!("K: {text}\n")) else { panic!("{text}") };
        map.remove("K").unwrap()
    }

    #[test]
    fn a_scalar_without_quotes_keeps_its_spelling() {
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
            let spelled = match entry(text) {
                Written::Text(text) => text,
                Written::Typed(typed) => typed.text().unwrap_or_default().to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(spelled, text);
        }
        for text in ["~", "null", "Null", "NULL", ""] {
            let Written::Typed(typed) = entry(text) else { panic!("{text}") };
            assert!(typed.is_null(), "{text}");
            assert_eq!(
                (typed.text(), typed.json()),
                ((!text.is_empty()).then_some(text), (text == "null").then_some(text))
            );
        }
        for (text, meant) in [("'yes'", "yes"), ("\"1.10\"", "1.10"), ("!!str 1.10", "1.10"), ("|-\n  0123", "0123")] {
            assert_eq!(entry(text), Written::Text(meant.into()), "{text}");
        }
    }

    #[test]
    fn an_alias_has_the_spelling_of_its_anchor() {
        let Ok(Written::Map(map)) = read_written("é: &a 1.10\nb: *a\nc: &d [yes]\ne: *d\nf: {<<: {g: 0x1F}}\n") else {
            panic!("well-formed")
        };
        let typed = |text: &str| Written::Typed(Typed { text: text.into(), is_null: false });
        assert_eq!(map["b"], typed("1.10"));
        assert_eq!(map["e"], Written::List(vec![typed("yes")]));
        assert_eq!(map["f"], Written::Map([("g".to_owned(), typed("0x1F"))].into()));
    }

    #[test]
    fn a_typed_scalar_is_json_only_where_json_spells_it_so() {
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
            let Written::Typed(typed) = entry(text) else { panic!("{text} is a text") };
            assert_eq!(typed.json(), json.then_some(text), "{text}");
        }
    }

    #[test]
    fn keys_are_texts_and_none_stands_twice() {
        let Ok(Written::Map(map)) = read_written("1.10: a\nyes: b\n0x1F: c\n") else { panic!("well-formed") };
        assert_eq!(map.keys().collect::<Vec<_>>(), ["0x1F", "1.10", "yes"]);
        for text in ["1: a\n\"1\": b", "a: 1\na: 2", "~: a", "? [a]\n: b"] {
            assert!(read_written(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_changes_its_spelling_is_told_with_its_place() {
        let text = "a: {b/c: 1.10, d: 1.5, e: 10, f: true, g: null, h: text}\ni: [1, yes, {j: ~}]\nk: 1e3\n";
        assert_eq!(misread(text), Ok(vec!["/a/b~1c".into(), "/i/1".into(), "/i/2/j".into(), "/k".into()]));
        let faults = misread_in(text, |at| at.first() == Some(&"a")).unwrap();
        assert_eq!(faults.iter().map(Fault::dotted).collect::<Vec<_>>(), ["a.b/c"]);
        assert!(misread("a: [").is_err());
    }
}
