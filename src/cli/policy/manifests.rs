//! Reads manifests of policies from files, and collects the faults of all documents.

use crate::cli::command_error::fault_line;
use crate::cli::input_file;
use crate::document::{Fault, parse_all, prune};
use crate::policy::{Bounds, Policy, is_policy_name, resource_namespace};
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
    /// The faults of decoding, and of the name. With any, `name` may be empty or invalid.
    faults: Vec<Fault>,
}

/// The documents of several files.
#[derive(Default)]
pub struct Manifests {
    /// The documents, valid or not.
    pub documents: Vec<Document>,
    /// The faults of files that have no documents, one per line.
    faults: Vec<String>,
}

impl Manifests {
    /// Compiles all documents. Without `bounds` the policies may name any store and issuer.
    ///
    /// # Errors
    /// The faults of all files and documents, one per line.
    pub fn compile(self, bounds: Option<&Bounds>) -> Result<Vec<Policy>, Vec<String>> {
        let Self { documents, mut faults } = self;
        let permissive = || {
            let manifests: Vec<_> = documents.iter().map(|document| document.manifest.clone()).collect();
            Bounds::permissive(&manifests)
        };
        let bounds = bounds.cloned().unwrap_or_else(permissive);
        let mut policies = Vec::with_capacity(documents.len());
        for document in documents {
            match document.compile(&bounds) {
                Ok(policy) => policies.push(policy),
                Err(lines) => faults.extend(lines),
            }
        }
        if faults.is_empty() { Ok(policies) } else { Err(faults) }
    }

    /// Whether a file cannot be read or split into documents, or a document cannot be decoded or has an invalid name.
    pub fn have_faults(&self) -> bool {
        !self.faults.is_empty() || self.documents.iter().any(|document| !document.faults.is_empty())
    }
}

impl Document {
    /// Compiles the policy, or returns all faults of the document, one per line.
    fn compile(self, bounds: &Bounds) -> Result<Policy, Vec<String>> {
        let Self { position, tree, mut faults, .. } = self;
        match Policy::from_resource_document(tree, bounds) {
            Ok(policy) if faults.is_empty() => return Ok(policy),
            Ok(_) => {}
            // The compiler decodes the document again, and checks its name again.
            Err(mut found) => {
                found.retain(|fault| faults.iter().all(|known| known.pointer != fault.pointer));
                faults.append(&mut found);
            }
        }
        Err(faults.iter().map(|fault| fault_line(&position, fault)).collect())
    }
}

/// Reads the documents of all files. Faults are kept beside the documents, so that further faults can be found in these.
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
            documents.push(parse_document(position, tree, &mut names));
        }
    }
    Manifests { documents, faults }
}

/// Decodes a document, and checks its name. `names` are those of the earlier documents.
fn parse_document(position: String, tree: Value, names: &mut BTreeSet<String>) -> Document {
    let (manifest, mut faults) = prune::<PolicyManifest>(&mut tree.clone());
    let manifest = manifest.unwrap_or_default();
    let name = manifest.metadata.as_ref().and_then(|metadata| metadata.name.clone());
    let namespace = resource_namespace(&manifest);
    let full_name = name.as_ref().map(|name| full_name(namespace, name)).unwrap_or_default();
    match name {
        Some(_) if namespace.is_some_and(|namespace| !is_policy_name(namespace)) => {
            faults.push(Fault::new("/metadata/namespace", "is not the name of a namespace"));
        }
        Some(name) if !is_policy_name(&name) => {
            faults.push(Fault::new("/metadata/name", "is not the name of a policy (an RFC 1123 subdomain)"));
        }
        Some(_) if !names.insert(full_name.clone()) => {
            faults.push(Fault::new("/metadata/name", "is the name of another policy here too"));
        }
        Some(_) => {}
        None if faults.iter().any(|fault| fault.pointer.starts_with("/metadata") || fault.pointer.is_empty()) => {}
        None => faults.push(Fault::new("/metadata/name", "is missing")),
    }
    Document { position, name: full_name, tree, manifest, faults }
}

fn full_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}
