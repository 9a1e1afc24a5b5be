//! `claviger policy apply`: writes the policies in files to a server, unless any of them is invalid.

use super::get::policy_path;
use super::manifests::{self, Document};
use super::output::print_line;
use crate::cli::command_error::{CommandError, fault_line};
use crate::cli::connection::Connection;
use crate::cli::server_arguments::ServerArguments;
use crate::document::Fault;
use crate::policy::resource_namespace;
use crate::wire::policy_object::PolicyObject;
use http::Method;
use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The options of `claviger policy apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// File with one or more policies (`-`: standard input); repeatable.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Validate and print what would change, but store nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A policy that differs from the server's, and will be written.
struct PendingWrite {
    document: Document,
    /// Precondition: the server still has the version that was compared.
    condition: (HeaderName, HeaderValue),
    body: Zeroizing<Vec<u8>>,
}

/// Compares each policy with the server's, has the server validate those that differ, and then writes them.
pub async fn run(apply: &ApplyArguments, server: &Connection) -> Result<(), CommandError> {
    let manifests = manifests::read_manifests(&apply.files);
    let resources = manifests.documents.iter().filter(|document| resource_namespace(&document.manifest).is_some());
    let refused: Vec<String> = resources
        .map(|document| format!("{}: is the custom resource of a namespace: apply it with kubectl", document.position))
        .collect();
    if manifests.have_faults() || !refused.is_empty() {
        // The server is not contacted. All faults that can be found without its configuration are reported here.
        let mut faults = manifests.compile(None).err().unwrap_or_default();
        faults.extend(refused);
        return Err(CommandError::Usage(faults));
    }
    let mut writes = Vec::new();
    let mut unchanged = Vec::new();
    for document in manifests.documents {
        match compare(document, server).await? {
            Ok(write) => writes.push(write),
            Err(name) => unchanged.push(name),
        }
    }
    let mut outcomes = Vec::with_capacity(writes.len());
    let mut faults = Vec::new();
    for write in &writes {
        match write.send(server, true).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(CommandError::Refused { status: 422, problem: Some(problem), .. }) if !problem.errors.is_empty() => {
                let fault = |error: &crate::wire::problem::ProblemError| {
                    fault_line(&write.document.position, &Fault::new(&error.pointer, &error.detail))
                };
                faults.push(format!("{}: {}", write.document.position, problem.code));
                faults.extend(problem.errors.iter().map(fault));
            }
            Err(other) => return Err(other),
        }
    }
    if !faults.is_empty() {
        faults.push("nothing was written".into());
        return Err(CommandError::InvalidDocuments(faults));
    }
    for name in unchanged {
        print_line(&format!("{name}: unchanged"))?;
    }
    for (write, outcome) in writes.iter().zip(outcomes) {
        let name = &write.document.name;
        if apply.dry_run {
            print_line(&format!("{name}: would be {outcome}"))?;
        } else {
            print_line(&format!("{name}: {}", write.send(server, false).await?))?;
        }
    }
    Ok(())
}

/// Compares a policy with the server's. Returns the write, or as inner error the name of an unchanged policy.
async fn compare(document: Document, server: &Connection) -> Result<Result<PendingWrite, String>, CommandError> {
    let current: Option<PolicyObject> = match server.get(&policy_path(&document.name)).await {
        Ok(response) => Some(response.json()?),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let to_encoding_error = |_| CommandError::Other(format!("{}: cannot be written as JSON", document.position));
    if let Some(current) = &current {
        let current_spec = serde_json::to_value(&current.spec).map_err(to_encoding_error)?;
        let new_spec = serde_json::to_value(&document.manifest.spec).map_err(to_encoding_error)?;
        if current_spec == new_spec {
            return Ok(Err(document.name));
        }
    }
    let condition = match current {
        Some(current) => {
            let etag = HeaderValue::from_str(&format!("\"{}\"", current.revision));
            (IF_MATCH, etag.map_err(|_| CommandError::Other("the server sent an invalid revision".into()))?)
        }
        None => (IF_NONE_MATCH, HeaderValue::from_static("*")),
    };
    let body = Zeroizing::new(serde_json::to_vec(&document.tree).map_err(to_encoding_error)?);
    Ok(Ok(PendingWrite { document, condition, body }))
}

impl PendingWrite {
    async fn send(&self, server: &Connection, dry_run: bool) -> Result<&'static str, CommandError> {
        let path = format!("{}?dryRun={dry_run}", policy_path(&self.document.name));
        let response = server.send(&Method::PUT, &path, Some(self.condition.clone()), self.body.clone()).await?;
        Ok(if response.status == 201 { "created" } else { "updated" })
    }
}
