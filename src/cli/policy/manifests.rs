//! Manifests from files: the documents of each, with every fault of all of them at once.

use crate::cli::failure::fault_line;
use crate::cli::input;
use crate::document::{Fault, parse_all, prune};
use crate::policy::is_policy_name;
use crate::wire::policy::PolicyManifest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One document of a file.
pub struct Document {
    /// The file, and which of its documents.
    pub place: String,
    /// The policy's name; a good one.
    pub name: String,
    /// The document as it stands there.
    pub tree: Value,
    /// The same, decoded.
    pub manifest: PolicyManifest,
}

/// What is in some files.
#[derive(Default)]
pub struct Manifests {
    /// The documents without a fault so far: each has a name of its own, and nothing that no policy has.
    pub documents: Vec<Document>,
    /// What is wrong with the others, line by line.
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
    match name {
        Some(name) if !is_policy_name(&name) => {
            faults.push(Fault::new("/metadata/name", "is not the name of a policy (an RFC 1123 subdomain)"));
        }
        Some(name) if !names.insert(name.clone()) => {
            faults.push(Fault::new("/metadata/name", "is the name of another policy here too"));
        }
        Some(name) if faults.is_empty() => return Ok(Document { place, name, tree, manifest }),
        Some(_) => {}
        None if faults.iter().any(|fault| fault.pointer.starts_with("/metadata") || fault.pointer.is_empty()) => {}
        None => faults.push(Fault::new("/metadata/name", "is missing")),
    }
    Err(faults)
}
