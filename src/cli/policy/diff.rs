//! `claviger policy diff`: replays the requests of the audit log against changed policies.

use super::list::fetch_policies;
use super::manifests;
use super::output::JsonFormat;
use super::recorded_request::parse_request;
use super::replay_report::ReplayReport;
use crate::cli::audit::{parse_time, query_parameter};
use crate::cli::command_error::CommandError;
use crate::cli::config_file::load_policy_bounds;
use crate::cli::connection::{Connection, with_connection};
use crate::cli::server_arguments::ServerArguments;
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
/// Exit code: the command failed, or found no difference but could not evaluate a changed policy for some requests, so that
/// differences are unknown.
const FAILED: u8 = 2;
/// Time limit of the whole command.
const TIME_LIMIT: Duration = Duration::from_mins(10);
/// The event types of requests for secrets.
const EVENT_TYPES: [&str; 4] = ["ticket.issued", "secrets.read", "ticket.denied", "ticket.failed"];

/// The options of `claviger policy diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// File with new or changed policies (`-`: standard input); repeatable. The server's other policies stay.
    #[arg(short, long = "file", value_name = "FILE", required_unless_present = "deleted")]
    files: Vec<PathBuf>,
    /// Policy that would be deleted; repeatable.
    #[arg(long = "delete", value_name = "NAME")]
    deleted: Vec<String>,
    /// Start of the replayed period: RFC 3339, or an age such as `7d`.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Maximum number of replayed requests of each event type, newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    limit: usize,
    /// Also check the policies against the stores, authenticators and ceiling of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// json: one object (default: text).
    #[arg(short, long)]
    output: Option<JsonFormat>,
}

/// The policies before and after the change, and the time at which each policy of the server was written.
struct PolicySets {
    before: PolicySet,
    after: PolicySet,
    updated_at: BTreeMap<String, Timestamp>,
}

/// Prints the differences, and returns an exit code.
pub fn run(diff: &DiffArguments) -> ExitCode {
    let mut differs = false;
    let result = with_connection(&diff.server, async |server| {
        let timeout_message = "the replay took longer than 10 minutes; shorten it with --since or --limit";
        let report = timeout(TIME_LIMIT, replay(diff, &server)).await;
        let report = report.map_err(|_| CommandError::Other(timeout_message.into()))??;
        differs = report.has_differences();
        report.print(diff.output)?;
        let requests = report.unknown_requests();
        // If there are differences, the exit code is 1 already.
        if differs || requests == 0 {
            return Ok(());
        }
        Err(CommandError::Other(format!(
            "{requests} requests were not replayed because of a changed policy: whether it changes their decisions is unknown"
        )))
    });
    match result {
        Ok(()) if differs => ExitCode::from(DIFFERENT),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = error.report();
            ExitCode::from(FAILED)
        }
    }
}

async fn replay(diff: &DiffArguments, server: &Connection) -> Result<ReplayReport, CommandError> {
    let since = parse_time("--since", &diff.since)?;
    let bounds = diff.config.as_deref().map(load_policy_bounds).transpose()?;
    let changed = manifests::read_manifests(&diff.files).compile(bounds.as_ref()).map_err(CommandError::Usage)?;
    let mut report = ReplayReport::default();
    let sets = compile_sets(diff, changed, fetch_policies(server).await?, bounds)?;
    for event_type in EVENT_TYPES {
        let path = format!("/v1/audit?{}{}", query_parameter("type", event_type), query_parameter("since", &since));
        let mut remaining = diff.limit;
        server
            .read_lines(&path, |line| {
                if remaining == 0 {
                    report.count_unreplayed("beyond --limit", 1);
                    return Ok(());
                }
                remaining -= 1;
                let event: AuditEventObject = serde_json::from_str(line)
                    .map_err(|_| CommandError::Other("the server's answer is not a stream of audit events".into()))?;
                replay_event(&mut report, &event, &sets);
                Ok(())
            })
            .await?;
    }
    Ok(report)
}

/// Replays the request of an event, and adds the result to the report.
fn replay_event(report: &mut ReplayReport, event: &AuditEventObject, sets: &PolicySets) {
    let requests = event.count.unwrap_or(1);
    let recorded = match parse_request(event) {
        Some(Ok(recorded)) => recorded,
        Some(Err(reason)) => return report.count_unreplayed(reason.as_str(), requests),
        None => return,
    };
    let requested_at = recorded.unverified_request.time;
    let is_unchanged = |name: &str| sets.updated_at.get(name).is_some_and(|updated_at| *updated_at <= requested_at);
    let replayed = Replay::new(&sets.before, &sets.after, &is_unchanged).compare(&recorded);
    report.add(&recorded, replayed, requests, &event.time);
}

/// Compiles the policies of the server, and those that would be active after the change.
fn compile_sets(
    diff: &DiffArguments,
    changed: Vec<Policy>,
    current: Vec<PolicyObject>,
    bounds: Option<Bounds>,
) -> Result<PolicySets, CommandError> {
    let mut faults = Vec::new();
    for name in diff.deleted.iter().filter(|name| !current.iter().any(|policy| policy.name == **name)) {
        faults.push(format!("--delete: the server has no policy {name}"));
    }
    if !faults.is_empty() {
        return Err(CommandError::Usage(faults));
    }
    let bounds = bounds.unwrap_or_else(|| permissive_bounds(&current));
    let changed: Vec<_> = changed.into_iter().map(Arc::new).collect();
    let mut updated_at = BTreeMap::new();
    let mut before = Vec::with_capacity(current.len());
    for policy in current {
        match Policy::compile_listed(&policy.name, &policy.spec, &bounds) {
            Ok(compiled) => before.push(Arc::new(compiled)),
            Err(_) => eprintln!("warning: the policy {} does not compile here and is left out", policy.name),
        }
        updated_at.extend(policy.updated_at.parse().ok().map(|time| (policy.name, time)));
    }
    let replaced: BTreeSet<&str> =
        changed.iter().map(|policy| &**policy.name()).chain(diff.deleted.iter().map(String::as_str)).collect();
    let kept = before.iter().filter(|policy| !replaced.contains(&**policy.name())).cloned();
    let after = PolicySet::new(kept.chain(changed.iter().cloned()));
    Ok(PolicySets { after, before: PolicySet::new(before), updated_at })
}

/// Bounds that allow whatever the policies of the server name.
fn permissive_bounds(current: &[PolicyObject]) -> Bounds {
    let to_manifest = |policy: &PolicyObject| PolicyManifest {
        metadata: Some(Metadata::with_name(Some(policy.name.clone()))),
        spec: Some(policy.spec.clone()),
        ..PolicyManifest::default()
    };
    let manifests: Vec<PolicyManifest> = current.iter().map(to_manifest).collect();
    Bounds::permissive(&manifests)
}
