//! An event of the audit log as a request that can be replayed, or why it cannot.

use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod, ServiceAccount, Workload};
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};
use crate::policy::{RecordedRequest, RecordedVerdict};
use crate::wire::audit_list::AuditEventObject;
use crate::wire::caller::CallerObject;
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

/// The mark at the end of a name that was cut.
const CUT: char = '\u{2026}';

/// Why a request cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreplayed {
    /// The event names no caller, repo or branch: it stands for several, or the request was refused before.
    Incomplete,
    /// A long name was cut.
    Cut,
    /// It was decided by attestation, and the log does not hold what was attested.
    Attested,
}

impl Unreplayed {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "the event has no caller, repo or branch",
            Self::Cut => "the event has a name that was cut",
            Self::Attested => "it was refused by attestation, and the log does not hold what was attested",
        }
    }
}

/// The request of an event; none if the event is about something else than policies.
pub fn request(event: &AuditEventObject) -> Option<Result<RecordedRequest, Unreplayed>> {
    let granted = !event.policies.is_empty();
    let verdict = match (event.kind.as_str(), event.reason.as_deref()) {
        ("ticket.issued" | "secrets.read", _) => RecordedVerdict::Allowed,
        ("ticket.denied", Some("denied_by_policy")) => RecordedVerdict::DeniedByPolicy,
        ("ticket.denied", Some("no_policy_matches")) => RecordedVerdict::NoPolicyMatched,
        ("ticket.denied", Some("attestation_failed" | "admission_policy_missing")) => {
            return Some(Err(Unreplayed::Attested));
        }
        // The policies allowed it, and something else did not.
        ("ticket.denied", Some("ticket_limit" | "delivery_not_allowed")) | ("ticket.failed", _) if granted => {
            RecordedVerdict::Allowed
        }
        _ => return None,
    };
    Some(read(event, verdict))
}

fn read(event: &AuditEventObject, verdict: RecordedVerdict) -> Result<RecordedRequest, Unreplayed> {
    let (Some(caller), Some(repo), Some(branch)) = (&event.caller, &event.repo, &event.branch) else {
        return Err(Unreplayed::Incomplete);
    };
    if repo.ends_with(CUT) || branch.ends_with(CUT) {
        return Err(Unreplayed::Cut);
    }
    let (Ok(repo), Ok(branch)) = (Repo::try_from(repo.as_str()), Branch::try_from(branch.as_str())) else {
        return Err(Unreplayed::Incomplete);
    };
    let request = Request { repo: repo.clone(), branch: branch.clone() };
    let source_ip = event.source_ip.as_deref().and_then(|ip| ip.parse().ok());
    let time: Option<Timestamp> = event.time.parse().ok();
    Ok(RecordedRequest {
        caller: described(caller),
        request,
        asked: UnverifiedRequest {
            repo: Some(repo),
            branch: Some(branch),
            source_ip: source_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            time: time.unwrap_or_default(),
        },
        verdict,
        policies: event.policies.iter().cloned().collect(),
    })
}

fn described(caller: &CallerObject) -> Caller {
    let account = caller.namespace.clone().zip(caller.service_account.clone());
    let (workload, unbound) = match (account, &caller.pod) {
        (Some((namespace, service_account)), Some(pod)) => {
            let pod = Pod { name: pod.name.clone(), uid: pod.uid.clone() };
            (Some(Workload { namespace, service_account, pod }), None)
        }
        (Some((namespace, name)), None) => (None, Some(ServiceAccount { namespace, name })),
        (None, _) => (None, None),
    };
    Caller {
        issuer: caller.issuer.as_str().into(),
        subject: caller.subject.clone(),
        groups: Vec::new(),
        workload,
        unbound,
        claims: serde_json::Map::new(),
    }
}
