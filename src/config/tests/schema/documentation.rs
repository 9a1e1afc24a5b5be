//! What `default.yaml` says about each key: its comment and its default.

use crate::config::DEFAULT_YAML;
use serde_json::Value;
use std::collections::BTreeMap;

/// By path, such as `stores[].vault.timeout`.
pub(super) struct Documentation {
    comments: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
    /// How values are written, such as durations and sizes: the last paragraph of the comment at the beginning of the file.
    pub(super) value_syntax: String,
}

impl Documentation {
    pub(super) fn parse() -> Self {
        let mut values = BTreeMap::new();
        flatten("", &crate::document::parse(DEFAULT_YAML).expect("well-formed"), &mut values);
        let mut comments = BTreeMap::new();
        let introduction = parse_comments(&mut comments);
        let value_syntax = introduction.lines().next_back().expect("a paragraph").to_owned();
        Self { comments, values, value_syntax }
    }

    /// The value of a key; `None` if the file does not have the key.
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        self.values.get(path)
    }

    /// The comment of a key. It also applies to the following keys without one, if they are neither maps nor lists.
    pub(super) fn comment(&self, path: &str) -> Option<String> {
        let parent = path.rsplit_once('.').and_then(|(parent, _)| self.comments.get(parent));
        let reference = |comment: &String| Some(comment.strip_prefix("As for ")?.strip_suffix('.')?.to_owned());
        let comment = self.comments.get(path);
        // `As for stores[].vault.`: the comments of the same key there, and of the keys below it.
        match comment.or(parent).and_then(reference) {
            Some(kind) => {
                let below: Vec<&str> = path.split('.').skip(kind.split('.').count()).collect();
                self.comment(&format!("{kind}.{}", below.join(".")))
            }
            None => comment.cloned(),
        }
    }
}

fn flatten(path: &str, value: &Value, values: &mut BTreeMap<String, Value>) {
    values.insert(path.to_owned(), value.clone());
    for (key, value) in value.as_object().into_iter().flatten() {
        flatten(&join(path, key), value, values);
    }
}

fn join(path: &str, key: &str) -> String {
    if matches!(path, "" | "entries") { key.to_owned() } else { format!("{path}.{key}") }
}

/// Collects the comments above the keys, and returns the one above all keys.
fn parse_comments(comments: &mut BTreeMap<String, String>) -> String {
    let (mut introduction, mut comment) = (String::new(), String::new());
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut previous: Option<(usize, String)> = None;
    for line in DEFAULT_YAML.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(more) = text.strip_prefix('#') {
            append_line(&mut comment, more.strip_prefix(' ').unwrap_or(more));
        } else if text.is_empty() {
            let apart = std::mem::take(&mut comment);
            if introduction.is_empty() {
                introduction = apart;
            }
            previous = None;
        } else {
            let (key, value) = text.split_once(':').expect("a key");
            parents.retain(|(other, _)| *other < indent);
            let path = join(parents.last().map_or("", |(_, path)| path), key);
            let is_leaf = indent > 0 && !key.contains("[]") && value.trim() != "[]";
            let own = Some(std::mem::take(&mut comment)).filter(|own| !own.is_empty());
            let above = previous.take().filter(|(other, _)| is_leaf && *other == indent).map(|(_, comment)| comment);
            if let Some(comment) = own.or(above) {
                previous = Some((indent, comment.clone()));
                comments.insert(path.clone(), comment);
            }
            parents.push((indent, path));
        }
    }
    introduction
}

/// Joins the lines of a paragraph. Indented lines, which are examples, remain lines.
fn append_line(comment: &mut String, line: &str) {
    let is_example = |line: &str| line.starts_with(' ');
    if line.is_empty() {
        comment.push('\n');
        return;
    }
    if !comment.is_empty() && !comment.ends_with('\n') {
        let last = comment.lines().next_back().unwrap_or_default();
        comment.push(if is_example(line) || is_example(last) { '\n' } else { ' ' });
    }
    comment.push_str(line);
}
