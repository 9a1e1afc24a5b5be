//! Reads manifests of policies from files, and collects the faults of all documents.

use crate::cli::command_error::fault_line;
use crate::cli::input_file;
use crate::document::{Fault, parse_all, prune};
use crate::policy::{is_policy_name, resource_namespace};
use crate::wire::policy::PolicyManifest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One document of a file.
pub struct Document {
    /// The file, and the number of the document in it.
    pub position: String,
    /// The valid name of the policy. For a namespaced custom resource, `namespace/name`.
    pub name: String,
    /// The document before decoding.
    pub tree: Value,
    /// The document, decoded.
    pub manifest: PolicyManifest,
}

/// The documents of several files.
#[derive(Default)]
pub struct Manifests {
    /// The valid documents, each with a unique name.
    pub documents: Vec<Document>,
    /// The faults of the other documents and of files, one per line.
    pub faults: Vec<String>,
}

/// Reads the documents of all files. A document without faults is returned even if others have some.
pub fn read_manifests<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Manifests {
    let Manifests { mut documents, mut faults } = Manifests::default();
    let mut names = BTreeSet::new();
    for file in files {
        let file_name = file.display();
        let text = match input_file::read_text(file) {
            Ok(text) => text,
            Err(line) => {
                faults.push(line);
                continue;
            }
        };
        let trees = match parse_all(&text) {
            Ok(trees) if trees.is_empty() => {
                faults.push(format!("{file_name}: has no policy"));
                continue;
            }
            Ok(trees) => trees,
            Err(fault) => {
                faults.push(fault_line(&file_name.to_string(), &fault));
                continue;
            }
        };
        for (index, tree) in trees.into_iter().enumerate() {
            let position = format!("{file_name}, document {}", index + 1);
            match parse_document(position.clone(), tree, &mut names) {
                Ok(document) => documents.push(document),
                Err(found) => faults.extend(found.iter().map(|fault| fault_line(&position, fault))),
            }
        }
    }
    Manifests { documents, faults }
}

/// Decodes a document, and checks its name. `names` are those of the earlier documents.
fn parse_document(position: String, tree: Value, names: &mut BTreeSet<String>) -> Result<Document, Vec<Fault>> {
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
        Some(name) if !names.insert(full_name(namespace.as_deref(), &name)) => {
            faults.push(Fault::new("/metadata/name", "is the name of another policy here too"));
        }
        Some(name) if faults.is_empty() => {
            return Ok(Document { position, name: full_name(namespace.as_deref(), &name), tree, manifest });
        }
        Some(_) => {}
        None if faults.iter().any(|fault| fault.pointer.starts_with("/metadata") || fault.pointer.is_empty()) => {}
        None => faults.push(Fault::new("/metadata/name", "is missing")),
    }
    Err(faults)
}

fn full_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}
