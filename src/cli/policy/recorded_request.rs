//! Converts an event of the audit log to a request that can be replayed.

use crate::model::branch::Branch;
use crate::model::caller::{Caller, Pod};
use crate::model::repo::Repo;
use crate::model::request::{Request, UnverifiedRequest};
use crate::policy::{RecordedDecision, RecordedRequest};
use crate::wire::audit_list::AuditEventObject;
use crate::wire::caller::CallerObject;
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

/// The mark at the end of a truncated name.
const TRUNCATION_MARK: char = '\u{2026}';

closed_enum! {
    /// Why a request cannot be replayed.
    pub enum ReplayObstacle {
        /// The event lacks the caller, repo or branch: it stands for several requests, or the request was refused early.
        Incomplete => "the event has no caller, repo or branch",
        /// A long name was truncated.
        Truncated => "the event has a name that was cut",
        /// Attestation decided, and the log does not have the attested facts.
        Attested => "it was refused by attestation, and the log does not hold what was attested",
    }
}

/// The request of an event, or why it cannot be replayed. `None` if policies did not decide the request.
pub fn parse_request(event: &AuditEventObject) -> Option<Result<RecordedRequest, ReplayObstacle>> {
    let has_policies = !event.policies.is_empty();
    let decision = match (event.kind.as_str(), event.reason.as_deref()) {
        ("ticket.issued" | "secrets.read", _) => RecordedDecision::Allowed,
        ("ticket.denied", Some("denied_by_policy")) => RecordedDecision::DeniedByPolicy,
        ("ticket.denied", Some("no_policy_matches")) => RecordedDecision::NoPolicyMatched,
        ("ticket.denied", Some("attestation_failed" | "admission_policy_missing")) => {
            return Some(Err(ReplayObstacle::Attested));
        }
        // The policies allowed the request, and then another check refused it, or it failed. An event with a ticket id is about a
        // failed redemption; the request for that ticket has another event.
        ("ticket.denied", Some("ticket_limit" | "delivery_not_allowed")) | ("ticket.failed", _)
            if has_policies && event.ticket_id.is_none() =>
        {
            RecordedDecision::Allowed
        }
        _ => return None,
    };
    Some(convert(event, decision))
}

fn convert(event: &AuditEventObject, decision: RecordedDecision) -> Result<RecordedRequest, ReplayObstacle> {
    let (Some(caller), Some(repo), Some(branch)) = (&event.caller, &event.repo, &event.branch) else {
        return Err(ReplayObstacle::Incomplete);
    };
    if repo.ends_with(TRUNCATION_MARK) || branch.ends_with(TRUNCATION_MARK) {
        return Err(ReplayObstacle::Truncated);
    }
    let (Ok(repo), Ok(branch)) = (Repo::try_from(repo.as_str()), Branch::try_from(branch.as_str())) else {
        return Err(ReplayObstacle::Incomplete);
    };
    let request = Request { repo: repo.clone(), branch: branch.clone() };
    let source_ip = event.source_ip.as_deref().and_then(|ip| ip.parse().ok());
    let time: Option<Timestamp> = event.time.parse().ok();
    Ok(RecordedRequest {
        caller: to_caller(caller),
        request,
        unverified_request: UnverifiedRequest {
            repo: Some(repo),
            branch: Some(branch),
            source_ip: source_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            time: time.unwrap_or_default(),
        },
        decision,
        policies: event.policies.iter().cloned().collect(),
    })
}

fn to_caller(caller: &CallerObject) -> Caller {
    let account = caller.namespace.clone().zip(caller.service_account.clone());
    let pod = caller.pod.as_ref().map(|pod| Pod { name: pod.name.clone(), uid: pod.uid.clone() });
    Caller::from_event(&caller.issuer, &caller.subject, account, pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failed_redemptions_are_not_requests() {
        let is_request = |kind: &str, reason: &str, policies: &[&str], ticket_id: Option<&str>| {
            let event = json!({
                "seq": 1, "id": "e", "time": "2026-01-31T12:00:00Z", "chain": "c", "hash": "", "prevHash": "", "type": kind,
                "outcome": "failed", "reason": reason, "caller": {"issuer": "ci", "subject": "a"}, "sourceIp": null,
                "repo": "site", "branch": "main", "policies": policies, "keys": [], "ticketId": ticket_id, "secrets": [],
                "requestId": null, "traceId": null, "durationMs": 1,
            });
            let event: AuditEventObject = serde_json::from_value(event).expect("an event");
            match parse_request(&event) {
                None => false,
                Some(Ok(request)) => request.decision == RecordedDecision::Allowed,
                Some(Err(obstacle)) => panic!("{}", obstacle.as_str()),
            }
        };
        assert!(is_request("ticket.failed", "store_unavailable", &["site"], None), "allowed, and then not fetched");
        assert!(!is_request("ticket.failed", "unrenderable", &["site"], Some("t-1")), "the redemption failed");
        assert!(!is_request("ticket.failed", "invalid_repo", &[], None), "no policy decided");
        assert!(is_request("ticket.denied", "ticket_limit", &["site"], None));
        assert!(is_request("ticket.issued", "", &["site"], Some("t-1")));
    }
}
