//! A store that is one YAML or JSON file, for development: `{"homelab/site/main": {"KEY": "value"}}`.
//!
//! The file is read at start and at every reload; an invalid file never replaces a valid one.
//!
//! A value is its source text, with or without quotes: `1.10`, `0123` and `yes` are texts. `null` counts as missing. A list
//! or map becomes JSON. Two kinds of scalars must be in quotes, because their source text would be lost: nulls other than
//! `null` (`~`, an empty value), and, within a list or map, scalars that are not JSON (`yes`, `0123`). A file with such a
//! scalar without quotes is refused, with the place.

use super::bounded_file::{self, FileError};
use super::port::{OpenError, ReadError, SecretStore, outcome_label};
use super::store_path::StorePath;
use crate::document::{SourceScalar, SourceValue, escape_pointer_token, parse_with_source};
use crate::metrics::Metrics;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::{Secret, SecretValue};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// Maximum size of the file.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

type Secrets = HashMap<StorePath, Arc<Secret>>;

/// The secrets of one file.
pub(super) struct FileStore {
    name: Arc<str>,
    file: PathBuf,
    secrets: ArcSwap<Secrets>,
    metrics: Arc<Metrics>,
}

impl FileStore {
    /// Reads the file.
    ///
    /// # Errors
    /// The file is unreadable or malformed.
    pub(super) fn open(name: &Arc<str>, file: &Path, metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        let secrets = ArcSwap::from_pointee(load(file)?);
        Ok(Self { name: name.clone(), file: file.to_owned(), secrets, metrics: metrics.clone() })
    }

    /// Reads the file, and discards it.
    ///
    /// # Errors
    /// The file is unreadable or malformed.
    pub(super) fn check(file: &Path) -> Result<(), OpenError> {
        load(file).map(|_| ())
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// The file is unreadable or malformed; the old secrets stay.
    pub(super) async fn reload(&self) -> Result<(), OpenError> {
        let file = self.file.clone();
        let secrets = tokio::task::spawn_blocking(move || load(&file)).await.unwrap_or(Err(OpenError::Unreadable))?;
        self.secrets.store(Arc::new(secrets));
        Ok(())
    }
}

#[async_trait]
impl SecretStore for FileStore {
    async fn read(&self, path: &StorePath, _request_id: &RequestId) -> Result<Arc<Secret>, ReadError> {
        let started = Instant::now();
        let result = self.secrets.load().get(path).cloned().ok_or(ReadError::Absent);
        self.metrics.record_store_request(&self.name, StoreOperation::Read, outcome_label(&result), started.elapsed());
        result
    }
}

fn load(file: &Path) -> Result<Secrets, OpenError> {
    let text = bounded_file::read(file, MAX_FILE_BYTES).map_err(|error| match error {
        FileError::Unreadable => OpenError::Unreadable,
        FileError::TooLarge => OpenError::TooLarge(MAX_FILE_BYTES),
    })?;
    parse(&text)
}

/// Parses the file. The message of the YAML parser quotes lines, which may contain secrets, so only the position is taken from
/// it.
fn parse(text: &str) -> Result<Secrets, OpenError> {
    let tree = parse_with_source(text).map_err(|error| {
        let location = error.location();
        let (line, column) = location.map_or((0, 0), |location| (location.line(), location.column()));
        OpenError::Malformed { line, column }
    })?;
    match tree {
        // An empty file is a store without secrets.
        SourceValue::Scalar(scalar) if scalar.is_null() => Ok(Secrets::new()),
        SourceValue::Map(paths) => paths.into_iter().map(parse_secret).collect(),
        _ => Err(OpenError::Shape(String::new())),
    }
}

fn parse_secret((path, keys): (String, SourceValue)) -> Result<(StorePath, Arc<Secret>), OpenError> {
    let pointer = format!("/{}", escape_pointer_token(&path));
    let Ok(checked) = StorePath::try_from(path.as_str()) else { return Err(OpenError::Shape(pointer)) };
    let SourceValue::Map(keys) = keys else { return Err(OpenError::Shape(pointer)) };
    let values = keys.into_iter().map(|(key, value)| {
        let value = value_to_text(value, &format!("{pointer}/{}", escape_pointer_token(&key)))?;
        Ok((key, value.map(SecretValue::new)))
    });
    let secret =
        Secret { data: values.collect::<Result<_, OpenError>>()?, version: None, created_at: None, stale: false };
    Ok((checked, Arc::new(secret)))
}

fn value_to_text(value: SourceValue, pointer: &str) -> Result<Option<String>, OpenError> {
    let unquoted = || OpenError::Unquoted(pointer.to_owned());
    match value {
        SourceValue::Text(text) => Ok(Some(text)),
        // Of the nulls, only `null` is JSON.
        SourceValue::Scalar(scalar) if scalar.is_null() => scalar.text_if_json().map(|_| None).ok_or_else(unquoted),
        SourceValue::Scalar(scalar) => scalar.text().map(str::to_owned).map(Some).ok_or_else(unquoted),
        tree @ (SourceValue::List(_) | SourceValue::Map(_)) => to_json(&tree, pointer).map(Some),
    }
}

/// Converts a value to compact JSON. Numbers keep their digits.
fn to_json(value: &SourceValue, pointer: &str) -> Result<String, OpenError> {
    Ok(match value {
        SourceValue::Text(text) => to_json_string(text),
        SourceValue::Scalar(scalar) => {
            SourceScalar::text_if_json(scalar).ok_or_else(|| OpenError::Unquoted(pointer.to_owned()))?.to_owned()
        }
        SourceValue::List(items) => {
            let items = items.iter().enumerate().map(|(index, item)| to_json(item, &format!("{pointer}/{index}")));
            format!("[{}]", items.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        SourceValue::Map(entries) => {
            let members = entries.iter().map(|(key, value)| {
                Ok(format!(
                    "{}:{}",
                    to_json_string(key),
                    to_json(value, &format!("{pointer}/{}", escape_pointer_token(key)))?
                ))
            });
            format!("{{{}}}", members.collect::<Result<Vec<_>, OpenError>>()?.join(","))
        }
    })
}

fn to_json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[], &["local"]).unwrap())
    }

    fn write_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.yaml");
        std::fs::write(&file, text).unwrap();
        (dir, file)
    }

    #[expect(clippy::disallowed_methods, reason = "the test compares the values")]
    async fn value(store: &FileStore, path: &str, key: &str) -> Result<Option<String>, ReadError> {
        let path = StorePath::try_from(path).unwrap();
        let secret = store.read(&path, &RequestId::random()).await?;
        Ok(secret.data[key].as_ref().map(|value| value.expose_secret().to_owned()))
    }

    #[tokio::test]
    async fn a_secret_of_the_file_is_read_and_others_are_absent() {
        let (_dir, file) = write_file(
            r#"{"homelab/site/main": {"S": "a\nb", "N": 12, "B": true, "Z": null, "O": {"b": [1, "x"], "a": 1}}}"#,
        );
        let store = FileStore::open(&"local".into(), &file, &metrics()).unwrap();
        for (key, expected) in [
            ("S", Some("a\nb")),
            ("N", Some("12")),
            ("B", Some("true")),
            ("Z", None),
            ("O", Some(r#"{"a":1,"b":[1,"x"]}"#)),
        ] {
            assert_eq!(value(&store, "homelab/site/main", key).await, Ok(expected.map(str::to_owned)), "{key}");
        }
        assert_eq!(value(&store, "homelab/site", "S").await, Err(ReadError::Absent));
    }

    #[tokio::test]
    async fn a_reload_with_an_invalid_file_keeps_the_old_secrets() {
        let (_dir, file) = write_file("a: {K: one}");
        let store = FileStore::open(&"local".into(), &file, &metrics()).unwrap();
        std::fs::write(&file, "a: {K: two}\nb: {K: x}").unwrap();
        assert_eq!(value(&store, "a", "K").await, Ok(Some("one".into())), "only a reload reads the file again");
        assert_eq!(store.reload().await, Ok(()));
        assert_eq!(value(&store, "a", "K").await, Ok(Some("two".into())));

        std::fs::write(&file, "a: [").unwrap();
        assert!(matches!(store.reload().await, Err(OpenError::Malformed { .. })));
        assert_eq!(value(&store, "a", "K").await, Ok(Some("two".into())));
        std::fs::write(&file, "").unwrap();
        assert_eq!(store.reload().await, Ok(()));
        assert_eq!(value(&store, "a", "K").await, Err(ReadError::Absent));
    }

    #[test]
    fn errors_have_the_place_and_no_value() {
        for (text, expected) in [
            ("hunter2", OpenError::Shape(String::new())),
            ("[hunter2]", OpenError::Shape(String::new())),
            ("a/b: hunter2", OpenError::Shape("/a~1b".into())),
            ("a/b: [hunter2]", OpenError::Shape("/a~1b".into())),
            ("sys/x: {K: hunter2}", OpenError::Shape("/sys~1x".into())),
            ("a: {K: hunter2}\na: {K: hunter2}", OpenError::Malformed { line: 2, column: 1 }),
            ("a: {K: hunter2", OpenError::Malformed { line: 1, column: 4 }),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test compares the values")]
    fn value_of(text: &str) -> Result<Option<String>, OpenError> {
        let secrets = parse(&format!("a/b: {{K: {text}}}"))?;
        let secret = &secrets[&StorePath::try_from("a/b").unwrap()];
        Ok(secret.data["K"].as_ref().map(|value| value.expose_secret().to_owned()))
    }

    #[test]
    fn an_unquoted_value_keeps_its_source_text() {
        for text in [
            "1.10",
            "0123",
            "0x1F",
            "yes",
            "12345678901234567890123",
            "1e3",
            ".inf",
            "1e999",
            "1_000",
            "2026-01-02",
            "12:30:45",
            "True",
            "-0",
        ] {
            assert_eq!(value_of(text), Ok(Some(text.to_owned())), "{text}");
            assert_eq!(value_of(&format!("\"{text}\"")), Ok(Some(text.to_owned())), "{text} in quotes");
        }
        assert_eq!(value_of("null"), Ok(None));
        assert_eq!(value_of("'null'"), Ok(Some("null".into())));
        assert_eq!(value_of("''"), Ok(Some(String::new())));
        assert_eq!(
            value_of("[1.10, {b: 1e3, a: 2026-01-02}, null]").unwrap().unwrap(),
            r#"[1.10,{"a":"2026-01-02","b":1e3},null]"#
        );
    }

    #[test]
    fn an_ambiguous_unquoted_scalar_is_refused_with_its_place() {
        for (text, place) in [
            ("~", "/a~1b/K"),
            ("Null", "/a~1b/K"),
            ("", "/a~1b/K"),
            ("!!int '12'", "/a~1b/K"),
            ("[a, yes]", "/a~1b/K/1"),
            ("{x/y: 0123}", "/a~1b/K/x~1y"),
            ("{x: [0x1F]}", "/a~1b/K/x/0"),
            ("{x: ~}", "/a~1b/K/x"),
        ] {
            let error = value_of(text).expect_err(text);
            assert_eq!(error, OpenError::Unquoted(place.into()), "{text}");
            assert!(error.to_string().contains("in quotes"), "{error}");
        }
    }

    #[test]
    fn paths_and_keys_keep_their_source_text() {
        let secrets = parse("2024/1.10: {0123: a, yes: b}").unwrap();
        let secret = &secrets[&StorePath::try_from("2024/1.10").unwrap()];
        assert_eq!(secret.data.keys().collect::<Vec<_>>(), ["0123", "yes"]);
        for text in ["a: {1: x, \"1\": y}", "a: {~: x}", "~: {K: x}"] {
            assert!(matches!(parse(text), Err(OpenError::Malformed { line: 1, .. })), "{text}");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let (_dir, file) = write_file(&format!("a: {{K: \"{}\"}}", "x".repeat(MAX_FILE_BYTES)));
        assert_eq!(load(&file), Err(OpenError::TooLarge(MAX_FILE_BYTES)));
    }
}
