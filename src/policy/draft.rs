//! A policy in the body of a request: `{name, spec}` or a manifest, in JSON or YAML. All faults are reported at once.

use super::bounds::Bounds;
use super::compile::check_name;
use super::manifest::{API_VERSION, KIND, is_within};
use super::matching::Policy;
use crate::document::{Fault, parse, parse_json, prune};
use crate::wire::policy::{Metadata, PolicyBody, PolicyManifest};
use serde_json::Value;
use std::sync::Arc;

/// A body that is a valid policy on this server.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The compiled policy.
    pub policy: Arc<Policy>,
}

/// The syntax of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Why a body is not a valid policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftError {
    /// It has a different policy name than the URL.
    IllFormed(Fault),
    /// It names another policy than the URL.
    OtherName,
    /// All faults; the pointers are relative to the body.
    Invalid(Vec<Fault>),
}

/// Whether a name is valid.
#[must_use]
pub fn is_policy_name(name: &str) -> bool {
    let mut faults = Vec::new();
    check_name(name, "", &mut faults);
    faults.is_empty()
}

/// Whether a policy in force can have this name: a custom resource of a namespace has `namespace/name`.
#[must_use]
pub fn is_name_in_force(name: &str) -> bool {
    match name.split_once('/') {
        Some((namespace, name)) => is_policy_name(namespace) && is_policy_name(name),
        None => is_policy_name(name),
    }
}

impl Draft {
    /// Reads a body. It may leave out its name if the URL has one.
    ///
    /// # Errors
    /// See [`DraftError`].
    pub fn read(body: &[u8], syntax: Syntax, written_to: Option<&str>, bounds: &Bounds) -> Result<Self, DraftError> {
        let text =
            std::str::from_utf8(body).map_err(|_| DraftError::IllFormed(Fault::new("", "the body is not UTF-8")))?;
        let tree = match syntax {
            Syntax::Json => parse_json(text),
            Syntax::Yaml => parse(text),
        };
        let Read { mut manifest, mut faults, name_at } = decode(tree.map_err(DraftError::IllFormed)?);
        if let Some(wanted) = written_to {
            let metadata = manifest.metadata.get_or_insert_default();
            let name = metadata.name.get_or_insert_with(|| wanted.to_owned());
            if name != wanted {
                return Err(DraftError::OtherName);
            }
        }
        let found = match Policy::from_manifest(&manifest, bounds) {
            Ok(policy) if faults.is_empty() => return Ok(Self { policy: Arc::new(policy) }),
            Ok(_) => Vec::new(),
            Err(found) => found,
        };
        // What cannot be decoded looks as if it were missing; its fault is listed already.
        let listed = faults.len();
        for mut fault in found {
            if fault.pointer == "/metadata/name" {
                name_at.clone_into(&mut fault.pointer);
            }
            if !faults[..listed].iter().any(|known| is_within(&fault.pointer, &known.pointer)) {
                faults.push(fault);
            }
        }
        Err(DraftError::Invalid(faults))
    }
}

struct Read {
    manifest: PolicyManifest,
    faults: Vec<Fault>,
    /// The pointer of the name in the body.
    name_at: &'static str,
}

fn decode(mut tree: Value) -> Read {
    let is_manifest = ["apiVersion", "kind", "metadata"].iter().any(|key| tree.get(key).is_some());
    if is_manifest {
        let (manifest, faults) = prune::<PolicyManifest>(&mut tree);
        return Read { manifest: manifest.unwrap_or_default(), faults, name_at: "/metadata/name" };
    }
    let (body, faults) = prune::<PolicyBody>(&mut tree);
    let PolicyBody { name, spec } = body.unwrap_or_default();
    let manifest = PolicyManifest {
        api_version: Some(API_VERSION.into()),
        kind: Some(KIND.into()),
        metadata: Some(Metadata::named(name)),
        spec,
    };
    Read { manifest, faults, name_at: "/name" }
}
