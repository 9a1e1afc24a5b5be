//! `claviger policy diff`: replays the requests of the audit log against changed policies.

use super::list::policies;
use super::manifests::{self, Document, Manifests};
use super::recorded;
use super::replay_report::{Format, Report};
use crate::cli::audit::{parameter, time};
use crate::cli::connection::{Connection, on};
use crate::cli::failure::{Failure, fault_line};
use crate::cli::server::ServerArguments;
use crate::config;
use crate::policy::{Bounds, Policy, PolicySet, Replay};
use crate::wire::audit_list::AuditEventObject;
use crate::wire::policy::{Metadata, PolicyManifest};
use crate::wire::policy_object::PolicyObject;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Exit code: there are differences.
const DIFFERENT: u8 = 1;
/// Exit code: it is not known whether there are any.
const FAILED: u8 = 2;
/// Time limit of the whole command.
const TIME_LIMIT: Duration = Duration::from_mins(10);
/// The event types of requests for secrets.
const KINDS: [&str; 4] = ["ticket.issued", "secrets.read", "ticket.denied", "ticket.failed"];

/// The options of `claviger policy diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    #[command(flatten)]
    server: ServerArguments,
    /// File with new or changed policies (`-`: standard input); repeatable. The server's other policies stay.
    #[arg(short, long = "file", value_name = "FILE", required_unless_present = "deleted")]
    files: Vec<PathBuf>,
    /// Policy that would be deleted; repeatable.
    #[arg(long = "delete", value_name = "NAME")]
    deleted: Vec<String>,
    /// Beginning of the replayed period: RFC 3339, or an age such as `7d`.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Maximum number of replayed requests of each event type, newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    limit: usize,
    /// Also check the policies against the stores, authenticators and ceiling of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Output format (default: text).
    #[arg(short, long)]
    output: Option<Format>,
}

/// The policies before and after, and when each of the server's was written.
struct Sets {
    before: PolicySet,
    after: PolicySet,
    written: BTreeMap<String, Timestamp>,
}

/// Replays, and prints what differs.
pub fn run(diff: &Diff) -> ExitCode {
    let mut differs = false;
    let done = on(&diff.server, async |server| {
        let late = "the replay took longer than 10 minutes; shorten it with --since or --limit";
        let report = timeout(TIME_LIMIT, replay(diff, &server)).await;
        let report = report.map_err(|_| Failure::Failed(late.into()))??;
        differs = report.has_differences();
        report.print(diff.output)
    });
    match done {
        Ok(()) if differs => ExitCode::from(DIFFERENT),
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = failure.print_and_code();
            ExitCode::from(FAILED)
        }
    }
}

async fn replay(diff: &Diff, server: &Connection) -> Result<Report, Failure> {
    let since = time("--since", &diff.since)?;
    let Manifests { documents, wrong } = manifests::read(&diff.files);
    if !wrong.is_empty() {
        return Err(Failure::Usage(wrong));
    }
    let mut report = Report::default();
    let sets = sets(diff, documents, policies(server).await?)?;
    for kind in KINDS {
        let path = format!("/v1/audit?{}{}", parameter("type", kind), parameter("since", &since));
        let mut left = diff.limit;
        server
            .lines(&path, |line| {
                if left == 0 {
                    report.not_replayed("beyond --limit", 1);
                    return Ok(());
                }
                left -= 1;
                let event: AuditEventObject = serde_json::from_str(line)
                    .map_err(|_| Failure::Failed("the server's answer is not a stream of audit events".into()))?;
                add(&mut report, &event, &sets);
                Ok(())
            })
            .await?;
    }
    Ok(report)
}

fn add(report: &mut Report, event: &AuditEventObject, sets: &Sets) {
    let requests = event.count.unwrap_or(1);
    let recorded = match recorded::request(event) {
        Some(Ok(recorded)) => recorded,
        Some(Err(reason)) => return report.not_replayed(reason.as_str(), requests),
        None => return,
    };
    let at = recorded.asked.time;
    let unchanged_since = |name: &str| sets.written.get(name).is_some_and(|written| *written <= at);
    let replayed = Replay::new(&sets.before, &sets.after, &unchanged_since).compare(&recorded);
    report.add(&recorded, replayed, requests, &event.time);
}

/// Compiles the server's policies, and those that would be in force.
fn sets(diff: &Diff, documents: Vec<Document>, current: Vec<PolicyObject>) -> Result<Sets, Failure> {
    let bounds = bounds(diff, &documents, &current)?;
    let mut wrong = Vec::new();
    for name in diff.deleted.iter().filter(|name| !current.iter().any(|policy| policy.name == **name)) {
        wrong.push(format!("--delete: the server has no policy {name}"));
    }
    let mut changed = Vec::with_capacity(documents.len());
    for document in documents {
        let compiled = match (document.name.split_once('/'), &document.manifest.spec) {
            (Some((namespace, name)), Some(spec)) => Policy::compile_resource(namespace, name, spec, &bounds),
            _ => Policy::from_document(document.tree, &bounds),
        };
        match compiled {
            Ok(policy) => changed.push(Arc::new(policy)),
            Err(faults) => wrong.extend(faults.iter().map(|fault| fault_line(&document.place, fault))),
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::Usage(wrong));
    }
    let mut written = BTreeMap::new();
    let mut before = Vec::with_capacity(current.len());
    for policy in current {
        let compiled = match policy.name.split_once('/') {
            Some((namespace, name)) => Policy::compile_resource(namespace, name, &policy.spec, &bounds),
            None => Policy::compile_stored(&policy.name, &policy.spec, &bounds),
        };
        match compiled {
            Ok(compiled) => before.push(Arc::new(compiled)),
            Err(_) => eprintln!("warning: the policy {} does not compile here and is left out", policy.name),
        }
        written.extend(policy.updated_at.parse().ok().map(|at| (policy.name, at)));
    }
    let replaced: BTreeSet<&str> =
        changed.iter().map(|policy| &**policy.name()).chain(diff.deleted.iter().map(String::as_str)).collect();
    let kept = before.iter().filter(|policy| !replaced.contains(&**policy.name())).cloned();
    let after = PolicySet::new(kept.chain(changed.iter().cloned()));
    Ok(Sets { after, before: PolicySet::new(before), written })
}

fn bounds(diff: &Diff, documents: &[Document], current: &[PolicyObject]) -> Result<Bounds, Failure> {
    if let Some(file) = &diff.config {
        let config = config::load(file).map_err(|faults| Failure::faults(&file.display().to_string(), &faults))?;
        return Ok(crate::app::policy_bounds(&config));
    }
    let known = current.iter().map(|policy| PolicyManifest {
        metadata: Some(Metadata::named(Some(policy.name.clone()))),
        spec: Some(policy.spec.clone()),
        ..PolicyManifest::default()
    });
    let manifests: Vec<PolicyManifest> = known.chain(documents.iter().map(|one| one.manifest.clone())).collect();
    Ok(Bounds::permissive(&manifests))
}
