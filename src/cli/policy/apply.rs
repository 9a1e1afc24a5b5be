//! `claviger policy apply`: writes the policies in files to a server, unless any of them is invalid.

use super::get::path;
use super::manifests::{self, Document, Manifests};
use super::output::print_line;
use crate::cli::connection::Connection;
use crate::cli::failure::{Failure, fault_line};
use crate::cli::server::ServerArguments;
use crate::document::Fault;
use crate::wire::policy_object::PolicyObject;
use http::Method;
use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The options of `claviger policy apply`.
#[derive(Debug, clap::Args)]
pub struct Apply {
    #[command(flatten)]
    pub server: ServerArguments,
    /// File with one or more policies (`-`: standard input); repeatable.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Validate and print what would change, but store nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A policy that differs from the server's.
struct Write {
    document: Document,
    /// Precondition: only the version that was compared is replaced.
    condition: (HeaderName, HeaderValue),
    body: Zeroizing<Vec<u8>>,
}

/// Compares each policy with the server's, has the server validate all that differ, and then writes them.
pub async fn run(apply: &Apply, server: &Connection) -> Result<(), Failure> {
    let Manifests { documents, mut wrong } = manifests::read(&apply.files);
    for document in documents.iter().filter(|document| document.name.contains('/')) {
        wrong.push(format!("{}: is the custom resource of a namespace: apply it with kubectl", document.place));
    }
    if !wrong.is_empty() {
        return Err(Failure::Usage(wrong));
    }
    let mut writes = Vec::new();
    let mut same = Vec::new();
    for document in documents {
        match compare(document, server).await? {
            Ok(write) => writes.push(write),
            Err(name) => same.push(name),
        }
    }
    let mut done = Vec::with_capacity(writes.len());
    let mut wrong = Vec::new();
    for write in &writes {
        match write.send(server, true).await {
            Ok(word) => done.push(word),
            Err(Failure::Refused { status: 422, problem: Some(problem), .. }) if !problem.errors.is_empty() => {
                let fault = |error: &crate::wire::problem::ProblemError| {
                    fault_line(&write.document.place, &Fault::new(&error.pointer, &error.detail))
                };
                wrong.push(format!("{}: {}", write.document.place, problem.code));
                wrong.extend(problem.errors.iter().map(fault));
            }
            Err(other) => return Err(other),
        }
    }
    if !wrong.is_empty() {
        wrong.push("nothing was written".into());
        return Err(Failure::Invalid(wrong));
    }
    for name in same {
        print_line(&format!("{name}: unchanged"))?;
    }
    for (write, would) in writes.iter().zip(done) {
        let name = &write.document.name;
        if apply.dry_run {
            print_line(&format!("{name}: would be {would}"))?;
        } else {
            print_line(&format!("{name}: {}", write.send(server, false).await?))?;
        }
    }
    Ok(())
}

/// The change to write, or the name of a policy that is unchanged.
async fn compare(document: Document, server: &Connection) -> Result<Result<Write, String>, Failure> {
    let current: Option<PolicyObject> = match server.get(&path(&document.name)).await {
        Ok(answer) => Some(answer.json()?),
        Err(failure) if failure.is_not_found() => None,
        Err(failure) => return Err(failure),
    };
    let cannot = |_| Failure::Failed(format!("{}: cannot be JSON", document.place));
    if let Some(current) = &current {
        let there = serde_json::to_value(&current.spec).map_err(cannot)?;
        let wanted = serde_json::to_value(&document.manifest.spec).map_err(cannot)?;
        if there == wanted {
            return Ok(Err(document.name));
        }
    }
    let condition = match current {
        Some(current) => {
            let etag = HeaderValue::from_str(&format!("\"{}\"", current.revision));
            (IF_MATCH, etag.map_err(|_| Failure::Failed("the server sent an invalid revision".into()))?)
        }
        None => (IF_NONE_MATCH, HeaderValue::from_static("*")),
    };
    let body = Zeroizing::new(serde_json::to_vec(&document.tree).map_err(cannot)?);
    Ok(Ok(Write { document, condition, body }))
}

impl Write {
    async fn send(&self, server: &Connection, dry_run: bool) -> Result<&'static str, Failure> {
        let path = format!("{}?dryRun={dry_run}", path(&self.document.name));
        let answer = server.send(&Method::PUT, &path, Some(self.condition.clone()), self.body.clone()).await?;
        Ok(if answer.status == 201 { "created" } else { "updated" })
    }
}
