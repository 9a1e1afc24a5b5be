//! Reads manifests from files, and collects the faults of all documents.

use crate::cli::failure::fault_line;
use crate::cli::input;
use crate::document::{Fault, parse_all, prune};
use crate::policy::{is_policy_name, resource_namespace};
use crate::wire::policy::PolicyManifest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One document of a file.
pub struct Document {
    /// The file and the index of the document.
    pub place: String,
    /// The policy's name, validated; `namespace/name` of a custom resource of a namespace.
    pub name: String,
    /// The document's text.
    pub tree: Value,
    /// The document, decoded.
    pub manifest: PolicyManifest,
}

/// The documents of the files.
#[derive(Default)]
pub struct Manifests {
    /// The valid documents, each with a unique name.
    pub documents: Vec<Document>,
    /// The faults of the others, one per line.
    pub wrong: Vec<String>,
}

/// Reads the documents of all files.
pub fn read<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Manifests {
    let Manifests { mut documents, mut wrong } = Manifests::default();
    let mut names = BTreeSet::new();
    for file in files {
        let shown = file.display();
        let text = match input::text(file) {
            Ok(text) => text,
            Err(line) => {
                wrong.push(line);
                continue;
            }
        };
        let trees = match parse_all(&text) {
            Ok(trees) if trees.is_empty() => {
                wrong.push(format!("{shown}: has no policy"));
                continue;
            }
            Ok(trees) => trees,
            Err(fault) => {
                wrong.push(fault_line(&shown.to_string(), &fault));
                continue;
            }
        };
        for (index, tree) in trees.into_iter().enumerate() {
            let place = format!("{shown}, document {}", index + 1);
            match document(place.clone(), tree, &mut names) {
                Ok(document) => documents.push(document),
                Err(faults) => wrong.extend(faults.iter().map(|fault| fault_line(&place, fault))),
            }
        }
    }
    Manifests { documents, wrong }
}

fn document(place: String, tree: Value, names: &mut BTreeSet<String>) -> Result<Document, Vec<Fault>> {
    let (manifest, mut faults) = prune::<PolicyManifest>(&mut tree.clone());
    let manifest = manifest.unwrap_or_default();
    let name = manifest.metadata.as_ref().and_then(|metadata| metadata.name.clone());
    let namespace = resource_namespace(&manifest).map(str::to_owned);
    match name {
        Some(_) if namespace.as_deref().is_some_and(|namespace| !is_policy_name(namespace)) => {
            faults.push(Fault::new("/metadata/namespace", "is not the name of a namespace"));
        }
        Some(name) if !is_policy_name(&name) => {
            faults.push(Fault::new("/metadata/name", "is not the name of a policy (an RFC 1123 subdomain)"));
        }
        Some(name) if !names.insert(full(namespace.as_deref(), &name)) => {
            faults.push(Fault::new("/metadata/name", "is the name of another policy here too"));
        }
        Some(name) if faults.is_empty() => {
            return Ok(Document { place, name: full(namespace.as_deref(), &name), tree, manifest });
        }
        Some(_) => {}
        None if faults.iter().any(|fault| fault.pointer.starts_with("/metadata") || fault.pointer.is_empty()) => {}
        None => faults.push(Fault::new("/metadata/name", "is missing")),
    }
    Err(faults)
}

fn full(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}
