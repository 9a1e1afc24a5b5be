//! Parses a policy in a request body: `{name, spec}` or a manifest, in JSON or YAML. Reports all faults at once.

use super::bounds::Bounds;
use super::compile::check_name;
use super::compiled_policy::Policy;
use super::manifest::{API_VERSION, KIND, add_compile_faults};
use crate::document::{Fault, parse, parse_json, prune};
use crate::wire::policy::{Metadata, PolicyBody, PolicyManifest};
use serde_json::Value;
use std::sync::Arc;

/// The valid policy of a request body.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The compiled policy.
    pub policy: Arc<Policy>,
}

/// The syntax of a request body.
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
    /// It is not UTF-8, or not well-formed JSON or YAML.
    IllFormed(Fault),
    /// It has another policy name than the URL.
    NameMismatch,
    /// It has these faults. Their pointers are relative to the body.
    Invalid(Vec<Fault>),
}

/// Whether a name is valid: an RFC 1123 subdomain.
#[must_use]
pub fn is_policy_name(name: &str) -> bool {
    let mut faults = Vec::new();
    check_name(name, "", &mut faults);
    faults.is_empty()
}

/// Whether a name is valid for a policy of any source: as [`is_policy_name`], or `namespace/name` for a custom resource.
#[must_use]
pub fn is_policy_or_resource_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((namespace, name)) => is_policy_name(namespace) && is_policy_name(name),
        None => is_policy_name(name),
    }
}

impl Draft {
    /// Parses a request body. It may omit the policy name if the URL has one (`url_name`).
    ///
    /// # Errors
    /// See [`DraftError`].
    pub fn parse(body: &[u8], syntax: Syntax, url_name: Option<&str>, bounds: &Bounds) -> Result<Self, DraftError> {
        let text =
            std::str::from_utf8(body).map_err(|_| DraftError::IllFormed(Fault::new("", "the body is not UTF-8")))?;
        let tree = match syntax {
            Syntax::Json => parse_json(text),
            Syntax::Yaml => parse(text),
        };
        let DecodedBody { mut manifest, mut faults, name_pointer } = decode(tree.map_err(DraftError::IllFormed)?);
        if let Some(url_name) = url_name {
            let metadata = manifest.metadata.get_or_insert_default();
            let name = metadata.name.get_or_insert_with(|| url_name.to_owned());
            if name != url_name {
                return Err(DraftError::NameMismatch);
            }
        }
        let mut compile_faults = match Policy::from_manifest(&manifest, bounds) {
            Ok(policy) if faults.is_empty() => return Ok(Self { policy: Arc::new(policy) }),
            Ok(_) => Vec::new(),
            Err(compile_faults) => compile_faults,
        };
        for fault in compile_faults.iter_mut().filter(|fault| fault.pointer == "/metadata/name") {
            name_pointer.clone_into(&mut fault.pointer);
        }
        add_compile_faults(&mut faults, compile_faults);
        Err(DraftError::Invalid(faults))
    }
}

struct DecodedBody {
    manifest: PolicyManifest,
    faults: Vec<Fault>,
    /// The JSON pointer of the name in the body.
    name_pointer: &'static str,
}

fn decode(mut tree: Value) -> DecodedBody {
    let is_manifest = ["apiVersion", "kind", "metadata"].iter().any(|key| tree.get(key).is_some());
    if is_manifest {
        let (manifest, faults) = prune::<PolicyManifest>(&mut tree);
        return DecodedBody { manifest: manifest.unwrap_or_default(), faults, name_pointer: "/metadata/name" };
    }
    let (body, faults) = prune::<PolicyBody>(&mut tree);
    let PolicyBody { name, spec } = body.unwrap_or_default();
    let manifest = PolicyManifest {
        api_version: Some(API_VERSION.into()),
        kind: Some(KIND.into()),
        metadata: Some(Metadata::with_name(name)),
        spec,
    };
    DecodedBody { manifest, faults, name_pointer: "/name" }
}
