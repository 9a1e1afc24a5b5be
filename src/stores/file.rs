//! A store that is one YAML or JSON file, for development: `{"homelab/site/main": {"KEY": "value"}}`.
//!
//! Read when it is opened and at every reload; a broken file never replaces a good one. Values should be quoted:
//! YAML makes numbers of what looks like one, and `1.50` becomes `1.5` before we see it.

use super::bounded_file::{self, FileFault};
use super::path::StorePath;
use super::{OpenFault, ReadError, SecretStore, outcome_of};
use crate::document::escape;
use crate::metrics::Metrics;
use crate::metrics::labels::StoreOperation;
use crate::model::lease::Lease;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// The largest file that is read.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

type Secrets = HashMap<StorePath, Arc<Lease>>;

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
    /// When it is no good.
    pub(super) fn open(name: &Arc<str>, file: &Path, metrics: &Arc<Metrics>) -> Result<Self, OpenFault> {
        let secrets = ArcSwap::from_pointee(load(file)?);
        Ok(Self { name: name.clone(), file: file.to_owned(), secrets, metrics: metrics.clone() })
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// When it is no good; then the secrets stay what they were.
    pub(super) async fn reload(&self) -> Result<(), OpenFault> {
        let file = self.file.clone();
        let secrets = tokio::task::spawn_blocking(move || load(&file)).await.unwrap_or(Err(OpenFault::Unreadable))?;
        self.secrets.store(Arc::new(secrets));
        Ok(())
    }
}

#[async_trait]
impl SecretStore for FileStore {
    async fn read(&self, path: &StorePath, _request: &RequestId) -> Result<Arc<Lease>, ReadError> {
        let started = Instant::now();
        let result = self.secrets.load().get(path).cloned().ok_or(ReadError::Absent);
        self.metrics.store_request(&self.name, StoreOperation::Read, outcome_of(&result), started.elapsed());
        result
    }
}

fn load(file: &Path) -> Result<Secrets, OpenFault> {
    let text = bounded_file::read(file, MAX_FILE_BYTES).map_err(|fault| match fault {
        FileFault::Unreadable => OpenFault::Unreadable,
        FileFault::TooLarge => OpenFault::TooLarge(MAX_FILE_BYTES),
    })?;
    parse(&text)
}

/// The parser's own message shows the lines around the fault, secrets and all; only the place is kept.
fn parse(text: &str) -> Result<Secrets, OpenFault> {
    let tree = serde_saphyr::from_str::<Value>(text).map_err(|error| {
        let place = error.location();
        let (line, column) = place.map_or((0, 0), |place| (place.line(), place.column()));
        OpenFault::Malformed { line, column }
    })?;
    match tree {
        // An empty file is a store without secrets.
        Value::Null => Ok(Secrets::new()),
        Value::Object(paths) => paths.into_iter().map(secret).collect(),
        _ => Err(OpenFault::Shape(String::new())),
    }
}

fn secret((path, keys): (String, Value)) -> Result<(StorePath, Arc<Lease>), OpenFault> {
    let fault = || OpenFault::Shape(format!("/{}", escape(&path)));
    let checked = StorePath::try_from(path.as_str()).map_err(|_| fault())?;
    let Value::Object(keys) = keys else { return Err(fault()) };
    let lease = Lease { data: values(keys), version: None, stale: false };
    Ok((checked, Arc::new(lease)))
}

fn values(keys: Map<String, Value>) -> BTreeMap<String, Option<SecretValue>> {
    keys.into_iter().map(|(key, value)| (key, value_text(value).map(SecretValue::new))).collect()
}

fn value_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[], &["local"]).unwrap())
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.yaml");
        std::fs::write(&file, text).unwrap();
        (dir, file)
    }

    #[expect(clippy::disallowed_methods, reason = "what came is what is tested")]
    async fn value(store: &FileStore, path: &str, key: &str) -> Result<Option<String>, ReadError> {
        let path = StorePath::try_from(path).unwrap();
        let lease = store.read(&path, &RequestId::random()).await?;
        Ok(lease.data[key].as_ref().map(|value| value.expose_secret().to_owned()))
    }

    #[tokio::test]
    async fn gives_what_stands_in_it_and_nothing_else() {
        let (_dir, file) = written(
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
    async fn a_reload_takes_a_good_file_and_keeps_the_old_secrets_instead_of_a_bad_one() {
        let (_dir, file) = written("a: {K: one}");
        let store = FileStore::open(&"local".into(), &file, &metrics()).unwrap();
        std::fs::write(&file, "a: {K: two}\nb: {K: x}").unwrap();
        assert_eq!(value(&store, "a", "K").await, Ok(Some("one".into())), "only a reload reads the file again");
        assert_eq!(store.reload().await, Ok(()));
        assert_eq!(value(&store, "a", "K").await, Ok(Some("two".into())));

        std::fs::write(&file, "a: [").unwrap();
        assert!(matches!(store.reload().await, Err(OpenFault::Malformed { .. })));
        assert_eq!(value(&store, "a", "K").await, Ok(Some("two".into())));
        std::fs::write(&file, "").unwrap();
        assert_eq!(store.reload().await, Ok(()));
        assert_eq!(value(&store, "a", "K").await, Err(ReadError::Absent));
    }

    #[test]
    fn every_fault_names_its_place_and_no_value() {
        for (text, expected) in [
            ("hunter2", OpenFault::Shape(String::new())),
            ("[hunter2]", OpenFault::Shape(String::new())),
            ("a/b: hunter2", OpenFault::Shape("/a~1b".into())),
            ("a/b: [hunter2]", OpenFault::Shape("/a~1b".into())),
            ("sys/x: {K: hunter2}", OpenFault::Shape("/sys~1x".into())),
            ("a: {K: hunter2}\na: {K: hunter2}", OpenFault::Malformed { line: 2, column: 1 }),
            ("a: {K: hunter2", OpenFault::Malformed { line: 1, column: 4 }),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault, expected, "{text}");
            assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn a_file_over_the_cap_is_refused() {
        let (_dir, file) = written(&format!("a: {{K: \"{}\"}}", "x".repeat(MAX_FILE_BYTES)));
        assert_eq!(load(&file), Err(OpenFault::TooLarge(MAX_FILE_BYTES)));
    }
}
