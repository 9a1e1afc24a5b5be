//! Prints tables, JSON and YAML, with control characters escaped.

use crate::cli::command_error::CommandError;
use crate::cli::terminal::{escape_for_terminal, escape_json_for_terminal, is_interpreted};
use crate::document::to_yaml;
use crate::wire::policy::{Metadata, PolicyManifest};
use crate::wire::policy_object::PolicyObject;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;

/// The only output format other than text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum JsonFormat {
    /// JSON.
    Json,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Answer of the API.
    Json,
    /// Manifests for `apply`.
    Yaml,
}

/// Prints a text unchanged.
pub fn print(text: &str) -> Result<(), CommandError> {
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|error| CommandError::Other(format!("cannot print: {}", error.kind())))
}

/// Prints a line of untrusted text, escaped.
pub fn print_line(line: &str) -> Result<(), CommandError> {
    print(&format!("{}\n", escape_for_terminal(line)))
}

/// Prints indented JSON, in which characters that a terminal interprets are escaped.
pub fn print_json<T: Serialize>(value: &T) -> Result<(), CommandError> {
    print(&format_json(value)?)
}

fn format_json<T: Serialize>(value: &T) -> Result<String, CommandError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|_| CommandError::Other("the answer cannot be written as JSON".into()))?;
    Ok(escape_json_for_terminal(&text) + "\n")
}

/// Prints policies as manifests for `apply`, as YAML. A manifest with a character that a terminal interprets is JSON, which is YAML
/// too, because the YAML serializer does not escape all of these characters.
pub fn print_manifests(policies: impl IntoIterator<Item = PolicyObject>) -> Result<(), CommandError> {
    let mut text = String::new();
    for policy in policies {
        let mut metadata = Metadata::with_name(Some(policy.name));
        let mut kind = "Policy";
        if policy.source == "kubernetes" {
            match metadata.name.as_deref().and_then(|name| name.split_once('/')) {
                Some((namespace, name)) => {
                    let namespace = namespace.into();
                    metadata = Metadata::with_name(Some(name.to_owned()));
                    metadata.namespace = Some(namespace);
                }
                None => kind = "ClusterPolicy",
            }
        }
        let manifest = PolicyManifest {
            api_version: Some("claviger.dev/v1alpha1".into()),
            kind: Some(kind.into()),
            metadata: Some(metadata),
            spec: Some(policy.spec),
        };
        let mut yaml =
            to_yaml(&manifest).map_err(|_| CommandError::Other("the policy cannot be written as YAML".into()))?;
        if yaml.contains(|c| c != '\n' && is_interpreted(c)) {
            yaml = format_json(&manifest)?;
        }
        text.push_str(if text.is_empty() { "" } else { "---\n" });
        text.push_str(&yaml);
    }
    print(&text)
}

/// Prints rows in aligned columns.
pub fn print_table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), CommandError> {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| escape_for_terminal(cell))))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    print(&text)
}
